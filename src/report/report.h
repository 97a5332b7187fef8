/*
 * How any room tells the world something: events into a sink. The sink is called from any thread and must do its own locking; it must not
 * block for long. Rooms never print.
 */
#ifndef IX_REPORT_REPORT_H
#define IX_REPORT_REPORT_H

#include <stddef.h>
#include <stdint.h>

enum ix_event_kind {
	IX_EVENT_WARNING,     /* text: one line for the user; what was tolerated ends in ", ignoring" */
	IX_EVENT_NOTE,        /* text: one line, worth knowing */
	IX_EVENT_STAGE_WAIT,  /* the stage is part of the plan: text says what will happen ("build", "pull", "done"), why the reason */
	IX_EVENT_STAGE_BEGIN, /* work on the stage starts; why: the reason it is built */
	IX_EVENT_STAGE_END,   /* text: "built", "pulled", "published", "failed", "canceled"; bytes */
	IX_EVENT_STEP_BEGIN,  /* step i of n of the stage; text: the instruction */
	IX_EVENT_STEP_CACHED, /* its result was known; text: the instruction */
	IX_EVENT_STEP_END,    /* text: the instruction; status: 0 or the exit status */
	IX_EVENT_LOG,         /* bytes a step printed: data, len; stream 1 or 2; whole lines are not guaranteed */
	IX_EVENT_TRANSFER,    /* text: what ("pull sha256:12ab…", "push sha256:…"); done and total bytes */
	IX_EVENT_PUBLISHED,   /* text: a reference that now exists in the registry */
};

struct ix_event {
	enum ix_event_kind kind;
	const char *stage; /* NULL when it is about none */
	const char *text;
	const char *why;
	const char *parent;    /* STAGE_WAIT: the stage it is built from, NULL for none */
	unsigned step, nsteps; /* 1-based */
	int status;
	int stream;
	const char *data;
	size_t len;
	uint64_t done, total, bytes;
	uint64_t ms; /* END events: how long it took */
};

struct ix_sink {
	void (*emit)(struct ix_sink *sink, const struct ix_event *event);
};

/* sink may be NULL: the event is dropped. */
void ix_report(struct ix_sink *sink, const struct ix_event *event);

#endif
