/*
 * Walks a plan: stages in the order of their links, several at once; each is found by its second key, or built by a builder, and handed to the publisher.
 */
#ifndef IX_ENGINE_ENGINE_H
#define IX_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "builder/builder.h"
#include "graph/graph.h"
#include "image/image.h"
#include "plan/plan.h"
#include "report/report.h"
#include "state/state.h"

/* Everything is borrowed. */
struct ix_engine_opts {
	struct ix_image_opts image; /* cancel ends the run; perturbed: nothing is remembered */
	struct ix_cancel *cancel;   /* the same */
	struct ix_builder *builder;
	struct ix_sink *sink;
	const char *project;    /* NULL for a lone Dockerfile */
	const char *remembered; /* under which its last builds are remembered */
	const char *channel;    /* moved to what is built; NULL: none */
	unsigned parallel;      /* stages at once; 0: as many as memory allows, 4 to 64 */
	bool no_cutoff;         /* descendants of a stage that is built are built, whatever came out */
	bool publish;           /* push stages and names to the registry */
	bool no_step_cache;     /* --no-cache */
	bool no_log;            /* what steps print is not kept */
	bool local_log;         /* it is kept here only, and not in the record */
};

struct ix_stage_result {
	enum ix_outcome outcome; /* NONE while it is not done; DONE, FOUND, BUILT, SAME, FAILED, CANCELED */
	struct ix_digest manifest;
	struct ix_digest record; /* BUILT, SAME: manifest of its record */
	uint64_t ms;
	unsigned steps_run, steps_cached;
};

/* The topic of facts under which local logs are kept: the stage's key in hex -> what its steps printed. */
#define IX_LOG_TOPIC "log"

struct ix_engine;
/* Nothing runs yet. opts, graph, state and plan are borrowed as long as it lives. */
struct ix_engine *ix_engine_new(const struct ix_engine_opts *opts, const struct ix_graph *graph, const struct ix_state *state,
				const struct ix_plan *plan);
void ix_engine_free(struct ix_engine *engine);
IX_DEFINE_FREEP(struct ix_engine, ix_engine_free)

/* Build what the plan says; once. A failed step is IX_ESTEP with its exit status; its message names the instruction, its detail the Dockerfile's lines.
 * Each stage, and the names, are published beside that as soon as the stage is done: nothing waits for it but the end, and it fails nothing. */
int ix_engine_run(struct ix_engine *engine, struct ix_err *err);
/* What is not published, after the run, all in one error; 0: everything is. */
int ix_engine_published(const struct ix_engine *engine, struct ix_err *err);
/* The engine's; by and by while it runs, final after it. */
const struct ix_stage_result *ix_engine_result(const struct ix_engine *engine, const struct ix_stage *stage);

#endif
