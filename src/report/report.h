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
	IX_EVENT_STAGE_WAIT,  /* the stage is part of the plan: outcome says what will happen (DONE, FOUND, BUILD), why the reason */
	IX_EVENT_STAGE_BEGIN, /* work on the stage starts; why: the reason it is built */
	IX_EVENT_STAGE_END,   /* outcome: DONE, FOUND, BUILT, SAME, FAILED, CANCELED; ms */
	IX_EVENT_STEP_BEGIN,  /* step i of n of the stage; text: the instruction */
	IX_EVENT_STEP_CACHED, /* its result was known; text: the instruction */
	IX_EVENT_STEP_END,    /* text: the instruction; status: 0 or the exit status */
	IX_EVENT_LOG,         /* bytes a step printed: data, len; stream 1 or 2; whole lines are not guaranteed */
	IX_EVENT_TRANSFER,    /* text: what ("pull sha256:12ab…", "push sha256:…"); done and total bytes */
	IX_EVENT_PUBLISHED,   /* text: a reference that now exists in the registry */
};

enum ix_outcome {
	IX_OUTCOME_NONE,
	IX_OUTCOME_DONE,  /* its image is in the store */
	IX_OUTCOME_FOUND, /* its image is in the registry */
	IX_OUTCOME_TO_BUILD,
	IX_OUTCOME_BUILT,
	IX_OUTCOME_SAME, /* nothing was run: what it is made of came out as it was when its image was made */
	IX_OUTCOME_FAILED,
	IX_OUTCOME_CANCELED,
};
/* "done", "found", "build", "built", "same", "failed", "canceled"; "" for NONE. */
const char *ix_outcome_text(enum ix_outcome outcome);

struct ix_event {
	enum ix_event_kind kind;
	enum ix_outcome outcome;
	uint64_t at_ms;       /* when it happened, of a clock that only goes on; set by ix_report */
	const char *stage;    /* NULL when it is about none */
	const char *platform; /* of the stage, where it is known: "linux/amd64" */
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

/* One sink that is several, each told in turn. sinks is borrowed; NULL among them is skipped. */
struct ix_tee {
	struct ix_sink sink; /* first: it is given where a sink is taken */
	struct ix_sink *const *sinks;
	size_t count;
};
void ix_tee_init(struct ix_tee *tee, struct ix_sink *const *sinks, size_t count);

/* A sink that says nothing of what redactor knows (borrowed) to next (borrowed, may be NULL). What steps print is redacted before it becomes an event. */
struct ix_redactor;
struct ix_veil {
	struct ix_sink sink; /* first */
	struct ix_sink *next;
	const struct ix_redactor *redactor;
};
void ix_veil_init(struct ix_veil *veil, struct ix_sink *next, const struct ix_redactor *redactor);

#endif
