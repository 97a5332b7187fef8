/* What the steps of a stage print, kept for its record: "#2 RUN make" before each, cut at a limit. Several threads write. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "builder/builder.h"

enum { LOG_MAX = 8 << 20 };

struct ix_step_log {
	pthread_mutex_t lock;
	struct ix_buf text;
	bool cut;
};

struct ix_step_log *ix_step_log_new(void)
{
	struct ix_step_log *log = ix_calloc(1, sizeof(*log));

	pthread_mutex_init(&log->lock, NULL);
	return log;
}

void ix_step_log_free(struct ix_step_log *log)
{
	if (!log)
		return;
	pthread_mutex_destroy(&log->lock);
	ix_buf_release(&log->text);
	free(log);
}

void ix_step_log_put(struct ix_step_log *log, const char *bytes, size_t len)
{
	static const char mark[] = "\n[the log is longer than this]\n";

	pthread_mutex_lock(&log->lock);
	if (!log->cut && log->text.len + len > LOG_MAX) {
		log->cut = true;
		ix_buf_put(&log->text, mark, sizeof(mark) - 1);
	}
	if (!log->cut)
		ix_buf_put(&log->text, bytes, len);
	pthread_mutex_unlock(&log->lock);
}

void ix_step_log_step(struct ix_step_log *log, size_t number, const char *text, const char *how)
{
	ix_auto_free char *line = NULL;
	bool fresh_line = log->text.len == 0 || log->text.data[log->text.len - 1] == '\n';

	line = ix_asprintf("%s#%zu %s%s\n", fresh_line ? "" : "\n", number, how, text);
	ix_step_log_put(log, line, strlen(line));
}

const struct ix_buf *ix_step_log_text(const struct ix_step_log *log)
{
	return &log->text;
}
