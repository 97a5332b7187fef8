#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "report/report.h"
#include "ui_int.h"

/* Something that goes on: a stage, its step, a transfer. */
struct span {
	char *stage; /* or NULL */
	char *text;
	enum { SPAN_FREE, SPAN_STAGE, SPAN_STEP, SPAN_TRANSFER } kind;
	uint64_t start_ms;
	unsigned lane;
};

struct ix_timeline {
	struct ix_sink sink; /* first */
	pthread_mutex_t lock;
	FILE *file;
	char *path;
	uint64_t start_ms;
	struct span *spans;
	size_t nspans, cap;
	bool any, failed;
	int sys;
};

enum { LANES_TRANSFER = 1000 }; /* their lanes come after those of stages */

static const char *const categories[] = { [SPAN_STAGE] = "stage", [SPAN_STEP] = "step", [SPAN_TRANSFER] = "transfer" };

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct span *find(struct ix_timeline *self, int kind, const char *stage, const char *text)
{
	for (size_t i = 0; i < self->nspans; i++)
		if ((int)self->spans[i].kind == kind && same(self->spans[i].stage, stage) && (!text || same(self->spans[i].text, text)))
			return &self->spans[i];
	return NULL;
}

static bool lane_taken(const struct ix_timeline *self, unsigned lane)
{
	for (size_t i = 0; i < self->nspans; i++)
		if ((self->spans[i].kind == SPAN_STAGE || self->spans[i].kind == SPAN_TRANSFER) && self->spans[i].lane == lane)
			return true;
	return false;
}

static unsigned free_lane(const struct ix_timeline *self, unsigned first)
{
	while (lane_taken(self, first))
		first++;
	return first;
}

static void begin(struct ix_timeline *self, int kind, const struct ix_event *event, const char *text)
{
	const struct span *stage = kind == SPAN_STEP ? find(self, SPAN_STAGE, event->stage, NULL) : NULL;
	struct span *span = find(self, SPAN_FREE, NULL, NULL);
	unsigned lane = stage ? stage->lane : free_lane(self, kind == SPAN_TRANSFER ? LANES_TRANSFER : 1);

	if (!span) {
		IX_GROW(&self->spans, self->nspans, &self->cap);
		span = &self->spans[self->nspans++];
	}
	*span = (struct span){ ix_strdup(event->stage), ix_strdup(text), kind, event->at_ms, lane };
}

static void put(struct ix_timeline *self, const struct ix_buf *line)
{
	if (fwrite(line->data, 1, line->len, self->file) != line->len && !self->failed) {
		self->failed = true;
		self->sys = errno;
	}
}

static void end(struct ix_timeline *self, struct span *span, const struct ix_event *event, const char *outcome)
{
	ix_auto_buf out = { 0 };

	ix_buf_puts(&out, self->any ? ",\n{\"name\":" : "{\"name\":");
	ui_json_string(&out, span->text, strlen(span->text));
	ix_buf_printf(&out, ",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%llu,\"dur\":%llu,\"args\":{", categories[span->kind],
		      span->lane, (unsigned long long)(span->start_ms - self->start_ms) * 1000,
		      (unsigned long long)(event->at_ms - span->start_ms) * 1000);
	if (span->stage) {
		ix_buf_puts(&out, "\"stage\":");
		ui_json_string(&out, span->stage, strlen(span->stage));
	}
	if (outcome && *outcome)
		ix_buf_printf(&out, "%s\"outcome\":\"%s\"", span->stage ? "," : "", outcome);
	if (span->kind == SPAN_TRANSFER)
		ix_buf_printf(&out, "%s\"bytes\":%llu", span->stage ? "," : "", (unsigned long long)event->total);
	ix_buf_puts(&out, "}}");
	put(self, &out);
	self->any = true;
	free(span->stage);
	free(span->text);
	*span = (struct span){ .kind = SPAN_FREE };
}

static void end_if(struct ix_timeline *self, int kind, const struct ix_event *event, const char *text, const char *outcome)
{
	struct span *span = find(self, kind, event->stage, text);

	if (span)
		end(self, span, event, outcome);
}

static void follow(struct ix_timeline *self, const struct ix_event *event)
{
	switch (event->kind) {
	case IX_EVENT_STAGE_BEGIN:
		begin(self, SPAN_STAGE, event, event->stage);
		break;
	case IX_EVENT_STAGE_END:
		end_if(self, SPAN_STEP, event, NULL, "failed"); /* one that had no end of its own */
		end_if(self, SPAN_STAGE, event, NULL, ix_outcome_text(event->outcome));
		break;
	case IX_EVENT_STEP_BEGIN:
	case IX_EVENT_STEP_CACHED:
		begin(self, SPAN_STEP, event, event->text);
		if (event->kind == IX_EVENT_STEP_CACHED)
			end_if(self, SPAN_STEP, event, NULL, "cached");
		break;
	case IX_EVENT_STEP_END:
		end_if(self, SPAN_STEP, event, NULL, event->status ? "failed" : "done");
		break;
	case IX_EVENT_TRANSFER:
		if (!find(self, SPAN_TRANSFER, event->stage, event->text))
			begin(self, SPAN_TRANSFER, event, event->text);
		if (event->done >= event->total)
			end_if(self, SPAN_TRANSFER, event, event->text, NULL);
		break;
	case IX_EVENT_WARNING:
	case IX_EVENT_NOTE:
	case IX_EVENT_STAGE_WAIT:
	case IX_EVENT_LOG:
	case IX_EVENT_PUBLISHED:
		break;
	}
}

static void emit(struct ix_sink *sink, const struct ix_event *event)
{
	struct ix_timeline *self = (struct ix_timeline *)sink;

	pthread_mutex_lock(&self->lock);
	if (self->file)
		follow(self, event);
	pthread_mutex_unlock(&self->lock);
}

int ix_timeline_new(const char *path, struct ix_timeline **ret_timeline, struct ix_err *err)
{
	FILE *file = fopen(path, "we");
	struct ix_timeline *self;

	if (!file)
		return ix_err_sys(err, "create %s", path);
	self = ix_calloc(1, sizeof(*self));
	self->sink.emit = emit;
	self->file = file;
	self->path = ix_strdup(path);
	self->start_ms = ix_now_ms();
	pthread_mutex_init(&self->lock, NULL);
	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file);
	*ret_timeline = self;
	return 0;
}

int ix_timeline_finish(struct ix_timeline *self, struct ix_err *err)
{
	bool failed;

	if (!self || !self->file)
		return 0;
	pthread_mutex_lock(&self->lock);
	fputs("\n]}\n", self->file);
	failed = fclose(self->file) != 0 || self->failed;
	errno = self->failed ? self->sys : errno;
	self->file = NULL;
	pthread_mutex_unlock(&self->lock);
	return failed ? ix_err_sys(err, "write %s", self->path) : 0;
}

void ix_timeline_free(struct ix_timeline *self)
{
	struct ix_err ignored;

	if (!self)
		return;
	(void)ix_timeline_finish(self, &ignored);
	for (size_t i = 0; i < self->nspans; i++) {
		free(self->spans[i].stage);
		free(self->spans[i].text);
	}
	free(self->spans);
	free(self->path);
	pthread_mutex_destroy(&self->lock);
	free(self);
}

struct ix_sink *ix_timeline_sink(struct ix_timeline *self)
{
	return self ? &self->sink : NULL;
}
