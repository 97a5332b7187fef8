/*
 * Draws events for people and machines: a live tree in a terminal, plain lines for CI logs, JSON lines, or errors only. It knows nothing but
 * events, and writes to standard error.
 */
#ifndef IX_UI_UI_H
#define IX_UI_UI_H

#include "base/err.h"
#include "base/scope.h"
#include "report/report.h"

enum ix_progress { IX_PROGRESS_AUTO, IX_PROGRESS_TTY, IX_PROGRESS_PLAIN, IX_PROGRESS_JSON, IX_PROGRESS_QUIET };

/* "auto", "tty", "plain", "rawjson"/"json", "quiet"; anything else is IX_EARG. */
int ix_progress_parse(const char *text, enum ix_progress *ret_progress, struct ix_err *err);

struct ix_ui;
/* AUTO is TTY when fd is a terminal that can move its cursor, PLAIN otherwise. fd is borrowed. */
struct ix_ui *ix_ui_new(enum ix_progress progress, int fd);
/* Stops drawing and leaves the screen tidy: call it before printing anything else. */
void ix_ui_finish(struct ix_ui *ui);
void ix_ui_free(struct ix_ui *ui);
IX_DEFINE_FREEP(struct ix_ui, ix_ui_free)
struct ix_sink *ix_ui_sink(struct ix_ui *ui);

/*
 * When what happened, as a file in the trace event format of Chrome and Perfetto: a lane for each stage that runs at the same time as others, with its
 * steps, and lanes for what is fetched and pushed. The file is whole when it is freed.
 */
struct ix_timeline;
int ix_timeline_new(const char *path, struct ix_timeline **ret_timeline, struct ix_err *err);
/* Ends the file. What could not be written is an error. NULL is fine. */
int ix_timeline_finish(struct ix_timeline *timeline, struct ix_err *err);
void ix_timeline_free(struct ix_timeline *timeline);
struct ix_sink *ix_timeline_sink(struct ix_timeline *timeline); /* NULL of NULL */

#endif
