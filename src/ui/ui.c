#include "ui_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
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
	ui_follow(ui, event);
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
	const char *term = getenv("TERM");

	return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

struct ix_ui *ix_ui_new(enum ix_progress progress, int fd)
{
	struct ix_ui *ui = ix_calloc(1, sizeof(*ui));

	ui->sink.emit = emit;
	ui->fd = fd;
	ui->color = can_draw(fd) && !getenv("NO_COLOR");
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
		char *fields[] = { row->name, row->parent, row->why, row->step, row->transfer };

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
