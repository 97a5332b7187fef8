/* The state of all stages, kept from events, and what every painter shows of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "ui_int.h"

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

struct row *ui_row(struct ix_ui *ui, const char *name)
{
	for (size_t i = 0; i < ui->nrows; i++)
		if (strcmp(ui->rows[i].name, name) == 0)
			return &ui->rows[i];
	IX_GROW(&ui->rows, ui->nrows, &ui->cap);
	ui->rows[ui->nrows] = (struct row){ .name = ix_strdup(name) };
	return &ui->rows[ui->nrows++];
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
	if (event->outcome == IX_OUTCOME_CANCELED)
		return ROW_CANCELED;
	return event->outcome == IX_OUTCOME_FAILED ? ROW_FAILED : ROW_OK;
}

void ui_follow(struct ix_ui *ui, const struct ix_event *event)
{
	struct row *row = event->stage ? ui_row(ui, event->stage) : NULL;

	if (!row)
		return;
	switch (event->kind) {
	case IX_EVENT_STAGE_WAIT:
		row->outcome = event->outcome;
		set_line(&row->why, event->why);
		set(&row->parent, event->parent);
		break;
	case IX_EVENT_STAGE_BEGIN:
		row->state = ROW_RUNNING;
		row->start_ms = event->at_ms;
		row->nsteps = event->nsteps;
		set_line(&row->why, event->why);
		break;
	case IX_EVENT_STAGE_END:
		row->state = end_state(event);
		row->took_ms = event->ms;
		row->bytes = event->bytes;
		row->outcome = event->outcome;
		set(&row->step, NULL);
		set(&row->transfer, NULL);
		break;
	case IX_EVENT_STEP_BEGIN:
	case IX_EVENT_STEP_CACHED:
		forget_log(row);
		row->index = event->step;
		row->nsteps = event->nsteps;
		row->step_ms = event->at_ms;
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
