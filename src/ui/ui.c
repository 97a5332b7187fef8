#include "ui_int.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"

int ix_progress_parse(const char *text, enum ix_progress *ret_progress, struct ix_err *err)
{
	static const struct {
		const char *name;
		enum ix_progress progress;
	} names[] = { { "auto", IX_PROGRESS_AUTO },    { "tty", IX_PROGRESS_TTY },   { "plain", IX_PROGRESS_PLAIN },
		      { "rawjson", IX_PROGRESS_JSON }, { "json", IX_PROGRESS_JSON }, { "quiet", IX_PROGRESS_QUIET } };

	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*ret_progress = names[i].progress;
			return 0;
		}
	}
	return ix_err_set(err, IX_EARG, "--progress=%s: auto, tty, plain, json or quiet", text);
}

struct row *ui_row(struct ix_ui *ui, const char *name)
{
	for (size_t i = 0; i < ui->nrows; i++)
		if (strcmp(ui->rows[i].name, name) == 0)
			return &ui->rows[i];
	IX_GROW(&ui->rows, ui->nrows, &ui->cap);
	ui->rows[ui->nrows] = (struct row){ .name = ix_strdup(name) };
	return &ui->rows[ui->nrows++];
}

void ui_write(struct ix_ui *ui, const struct ix_buf *text)
{
	struct ix_err ignored;

	if (ix_write_all(ui->fd, ix_buf_str(text), text->len, &ignored) < 0)
		return; /* a log nobody reads any more must not stop a build */
}

char *ui_seconds(uint64_t ms, char out[static 16])
{
	if (ms < 100000)
		snprintf(out, 16, "%u.%us", (unsigned)(ms / 1000), (unsigned)(ms % 1000 / 100));
	else
		snprintf(out, 16, "%um%02us", (unsigned)(ms / 60000), (unsigned)(ms / 1000 % 60));
	return out;
}

/* Behind an escape character: a CSI sequence ends with a letter. */
static size_t skip_escape(const char *line, size_t len, size_t at)
{
	if (at < len && line[at] == '[') {
		at++;
		while (at < len && !(line[at] >= '@' && line[at] <= '~'))
			at++;
		return at < len ? at + 1 : at;
	}
	return at < len ? at + 1 : at;
}

/* Its length. A C1 byte or what is no UTF-8 is shown as a number. */
static size_t put_character(struct ix_buf *out, const char *at, size_t len)
{
	size_t n = ix_showable(at, len);

	if (n > 0)
		ix_buf_put(out, at, n);
	else
		ix_buf_printf(out, "\\x%02x", (unsigned char)*at);
	return n ? n : 1;
}

void ui_clean_line(struct ix_buf *out, const char *line, size_t len)
{
	size_t start = out->len;

	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)line[i++];

		if (c == 27)
			i = skip_escape(line, len, i);
		else if (c == '\r')
			out->len = i < len ? start : out->len; /* a line written over itself: the last version counts */
		else if (c == '\t')
			ix_buf_puts(out, "    ");
		else if (c >= 32 && c != 127)
			i += put_character(out, line + i - 1, len - i + 1) - 1;
	}
	if (out->data)
		out->data[out->len] = '\0';
}

static void set(char **field, const char *text)
{
	free(*field);
	*field = ix_strdup(text);
}

/* Of one line: more would tear the picture. */
static void set_line(char **field, const char *text)
{
	free(*field);
	*field = text ? ix_printable(text, SIZE_MAX) : NULL;
}

static void keep_line(struct row *row, const char *line, size_t len)
{
	ix_auto_buf clean = { 0 };

	ui_clean_line(&clean, line, len);
	ix_strv_add(&row->tail, ix_buf_str(&clean));
}

static void trim_tail(struct row *row)
{
	size_t extra = row->tail.count > TAIL_LINES ? row->tail.count - TAIL_LINES : 0;

	for (size_t i = 0; i < extra; i++)
		free(row->tail.items[i]);
	if (extra > 0)
		memmove(row->tail.items, row->tail.items + extra, TAIL_LINES * sizeof(char *));
	row->tail.count -= extra;
}

/* Before and not behind it: the plain painter prints the new lines from the tail, however many they are. */
static void keep_log(struct row *row, const char *data, size_t len)
{
	trim_tail(row);
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) : len;

		/* A step may print megabytes without ending a line. */
		if (row->partial.len + n < 65536)
			ix_buf_put(&row->partial, data, n);
		if (newline) {
			keep_line(row, ix_buf_str(&row->partial), row->partial.len);
			ix_buf_reset(&row->partial);
			n++;
		}
		data += n;
		len -= n;
	}
}

static void forget_log(struct row *row)
{
	ix_strv_release(&row->tail);
	ix_buf_reset(&row->partial);
}

static enum row_state end_state(const struct ix_event *event)
{
	if (!event->status)
		return ROW_OK;
	return strcmp(event->text, "canceled") == 0 ? ROW_CANCELED : ROW_FAILED;
}

/* What all painters need to know, kept up to date. */
static void follow(struct ix_ui *ui, const struct ix_event *event)
{
	struct row *row = event->stage ? ui_row(ui, event->stage) : NULL;

	if (!row)
		return;
	switch (event->kind) {
	case IX_EVENT_STAGE_WAIT:
		set_line(&row->what, event->text);
		set_line(&row->why, event->why);
		set(&row->parent, event->parent);
		break;
	case IX_EVENT_STAGE_BEGIN:
		row->state = ROW_RUNNING;
		row->start_ms = ix_now_ms();
		row->nsteps = event->nsteps;
		set_line(&row->why, event->why);
		break;
	case IX_EVENT_STAGE_END:
		row->state = end_state(event);
		row->took_ms = event->ms;
		row->bytes = event->bytes;
		set_line(&row->what, event->text);
		set(&row->step, NULL);
		set(&row->transfer, NULL);
		break;
	case IX_EVENT_STEP_BEGIN:
	case IX_EVENT_STEP_CACHED:
		forget_log(row);
		row->index = event->step;
		row->nsteps = event->nsteps;
		row->step_ms = ix_now_ms();
		set_line(&row->step, event->text);
		set(&row->transfer, NULL);
		break;
	case IX_EVENT_LOG:
		keep_log(row, event->data, event->len);
		break;
	case IX_EVENT_TRANSFER: {
		char done[16], total[16];
		ix_auto_free char *text =
			ix_asprintf("%s %s / %s", event->text, ix_human_size(event->done, done), ix_human_size(event->total, total));

		set(&row->transfer, event->done < event->total ? text : NULL);
		break;
	}
	case IX_EVENT_STEP_END:
	case IX_EVENT_PUBLISHED:
	case IX_EVENT_WARNING:
	case IX_EVENT_NOTE:
		break;
	}
}

void ui_failure(struct ix_ui *ui, const struct row *row, const struct ix_event *event, struct ix_buf *out)
{
	const char *red = ui->color ? "\033[31m" : "", *off = ui->color ? "\033[0m" : "";

	if (event->status == 0)
		return;
	ix_buf_printf(out, "%s------\n > [%s %u/%u] %s:%s\n", red, row->name, event->step, event->nsteps, event->text, off);
	for (size_t i = row->tail.count > TAIL_LINES ? row->tail.count - TAIL_LINES : 0; i < row->tail.count; i++)
		ix_buf_printf(out, "%s\n", row->tail.items[i]);
	if (row->partial.len > 0) {
		ui_clean_line(out, ix_buf_str(&row->partial), row->partial.len);
		ix_buf_putc(out, '\n');
	}
	ix_buf_printf(out, "%s------%s\n", red, off);
}

static void quiet_event(struct ix_ui *ui, const struct ix_event *event)
{
	ix_auto_buf out = { 0 };

	if (event->kind == IX_EVENT_STEP_END)
		ui_failure(ui, ui_row(ui, event->stage), event, &out);
	ui_write(ui, &out);
}

/* What people read: an instruction, a name or a reason from outside does nothing to the terminal. Logs are cleaned line by line. */
struct words {
	char *text, *why, *stage, *parent;
};

static void words_release(struct words *words)
{
	free(words->text);
	free(words->why);
	free(words->stage);
	free(words->parent);
}

static char *clean(const char *text)
{
	return text ? ix_printable_lines(text) : NULL;
}

static struct ix_event clean_event(const struct ix_event *event, struct words *ret_words)
{
	struct ix_event shown = *event;

	*ret_words = (struct words){ clean(event->text), clean(event->why), clean(event->stage), clean(event->parent) };
	shown.text = ret_words->text;
	shown.why = ret_words->why;
	shown.stage = ret_words->stage;
	shown.parent = ret_words->parent;
	return shown;
}

static void emit(struct ix_sink *sink, const struct ix_event *raw)
{
	struct ix_ui *ui = (struct ix_ui *)sink;
	ix_scoped(words_release) struct words words = { 0 };
	const struct ix_event shown = clean_event(raw, &words), *event = &shown;

	pthread_mutex_lock(&ui->lock);
	follow(ui, event);
	switch (ui->progress) {
	case IX_PROGRESS_TTY:
		tty_event(ui, event);
		break;
	case IX_PROGRESS_JSON:
		json_event(ui, raw);
		break;
	case IX_PROGRESS_QUIET:
		quiet_event(ui, event);
		break;
	case IX_PROGRESS_PLAIN:
	case IX_PROGRESS_AUTO:
		plain_event(ui, event);
		break;
	}
	pthread_mutex_unlock(&ui->lock);
}

static bool can_draw(int fd)
{
	const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */

	return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

struct ix_ui *ix_ui_new(enum ix_progress progress, int fd)
{
	struct ix_ui *ui = ix_calloc(1, sizeof(*ui));

	ui->sink.emit = emit;
	ui->fd = fd;
	ui->color = can_draw(fd) && !getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
	ui->progress = progress != IX_PROGRESS_AUTO ? progress : can_draw(fd) ? IX_PROGRESS_TTY : IX_PROGRESS_PLAIN;
	ui->start_ms = ix_now_ms();
	pthread_mutex_init(&ui->lock, NULL);
	pthread_cond_init(&ui->wake, NULL);
	if (ui->progress == IX_PROGRESS_TTY)
		tty_start(ui);
	return ui;
}

void ix_ui_finish(struct ix_ui *ui)
{
	if (ui && ui->progress == IX_PROGRESS_TTY)
		tty_stop(ui);
}

void ix_ui_free(struct ix_ui *ui)
{
	if (!ui)
		return;
	ix_ui_finish(ui);
	for (size_t i = 0; i < ui->nrows; i++) {
		struct row *row = &ui->rows[i];
		char *fields[] = { row->name, row->parent, row->what, row->why, row->step, row->transfer };

		for (size_t j = 0; j < IX_ARRAY_LEN(fields); j++)
			free(fields[j]);
		ix_buf_release(&row->partial);
		ix_strv_release(&row->tail);
	}
	free(ui->rows);
	pthread_mutex_destroy(&ui->lock);
	pthread_cond_destroy(&ui->wake);
	free(ui);
}

struct ix_sink *ix_ui_sink(struct ix_ui *ui)
{
	return &ui->sink;
}
