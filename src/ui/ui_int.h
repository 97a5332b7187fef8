/* What the painters share: the state of all stages, kept from events. */
#ifndef IX_UI_UI_INT_H
#define IX_UI_UI_INT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "ui/ui.h"

enum row_state { ROW_WAITING, ROW_RUNNING, ROW_OK, ROW_FAILED, ROW_CANCELED };

enum { TAIL_LINES = 30 };

struct row {
	char *name;
	char *parent;
	enum ix_outcome outcome; /* what is to come of it, in the end what has */
	char *why;
	char *step;     /* current instruction */
	char *transfer; /* current transfer */
	unsigned index, nsteps;
	uint64_t start_ms, step_ms, took_ms, bytes;
	enum row_state state;
	struct ix_buf partial; /* a log line without its end */
	struct ix_strv tail;   /* the last lines of the current step, and all of the last chunk */
};

struct ix_ui {
	struct ix_sink sink; /* first: events come in through it */
	enum ix_progress progress;
	int fd;
	bool color;
	pthread_mutex_t lock;
	struct row *rows;
	size_t nrows, cap;
	uint64_t start_ms;

	/* tty */
	pthread_t painter;
	pthread_cond_t wake;
	bool painting, stop;
	unsigned drawn; /* lines of the picture on the screen */
};

/* --- row.c --- */

struct row *ui_row(struct ix_ui *ui, const char *name);
/* What all painters need to know, kept up to date. */
void ui_follow(struct ix_ui *ui, const struct ix_event *event);
void ui_write(struct ix_ui *ui, const struct ix_buf *text);
char *ui_seconds(uint64_t ms, char out[static 16]);
/* One log line made safe: no control bytes, tabs widened, colours dropped. Appended. */
void ui_clean_line(struct ix_buf *out, const char *line, size_t len);
/* The last lines of a failed step, as docker shows them. */
void ui_failure(struct ix_ui *ui, const struct row *row, const struct ix_event *event, struct ix_buf *out);

/* --- text.c --- */

/* A JSON string, valid whatever the bytes are, appended. */
void ui_json_string(struct ix_buf *out, const char *text, size_t len);

/* --- the painters --- */

void plain_event(struct ix_ui *ui, const struct ix_event *event);
void json_event(struct ix_ui *ui, const struct ix_event *event);
/* Lines that stay, above the picture. */
void tty_event(struct ix_ui *ui, const struct ix_event *event);
void tty_start(struct ix_ui *ui);
void tty_stop(struct ix_ui *ui);

#endif
