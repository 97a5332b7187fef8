/* What the files of the engine share: a run, and one stage of it. */
#ifndef IX_ENGINE_ENGINE_INT_H
#define IX_ENGINE_ENGINE_INT_H

#include "engine/engine.h"
#include "publish/publish.h"

struct ix_engine {
	struct ix_engine_opts opts;
	const struct ix_graph *graph;
	const struct ix_state *state;
	const struct ix_plan *plan;
	struct ix_stage_result *results; /* by stage index; each is written by its stage's job */
	struct cutoff *cutoff;           /* second identities */
	int64_t started_s;               /* what is built without an epoch was created then */
	struct ix_publish_opts publish;
	struct ix_publisher *publisher; /* NULL: nothing is published */
	struct ix_cancel *stop;         /* raised when a stage fails, and when the caller's is */
};

/* --- cutoff.c --- */

struct cutoff *cutoff_new(struct ix_engine *engine);
void cutoff_free(struct cutoff *cutoff);
/* The second keys of the stage's steps, when all it is linked to is there. */
int cutoff_steps(struct ix_engine *engine, const struct ix_stage *stage, struct ix_second *ret_second, struct ix_err *err);
/* Look for an image that was made of the same inputs though they came about otherwise: 1 found, and the stage has its result; 0 not. Asked once
 * for a stage; from then on the answer stays. */
int cutoff_find(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* Keep the image of a stage that was built under its second key too. */
int cutoff_remember(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* The second key of a stage whose links are all there; false: it has none. */
bool cutoff_second(struct ix_engine *engine, const struct ix_stage *stage, struct ix_digest *ret_second);
/* The image that a stage which is done has, wherever it was found. */
int cutoff_image(struct ix_engine *engine, const struct ix_stage *stage, struct ix_image *ret_image, struct ix_err *err);
/* The tag under which a stage was found by its second key, NULL when it was not. Caller frees. */
char *cutoff_source(struct ix_engine *engine, const struct ix_stage *stage);
/* The stage that an inner stage is a part of; itself when it is not inner. */
const struct ix_stage *cutoff_owner(const struct ix_engine *engine, const struct ix_stage *stage);

/* --- stage.c --- */

/* Build it; its result is there then, but for the outcome. */
int stage_build(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);

#endif
