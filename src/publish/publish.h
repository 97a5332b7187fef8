/*
 * What is done goes out: images under their keys, their records, second keys, names and channels, as jobs of their own beside a run. It fails
 * nothing, completes what earlier runs left half done, and keeps and opens the records of builds.
 */
#ifndef IX_PUBLISH_PUBLISH_H
#define IX_PUBLISH_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "graph/graph.h"
#include "image/image.h"
#include "plan/plan.h"
#include "report/report.h"
#include "sched/sched.h"
#include "state/state.h"

/* Everything is borrowed. */
struct ix_publish_opts {
	struct ix_image_opts image;
	struct ix_sink *sink;
	const struct ix_cancel *interrupt; /* ends publishing; a run that fails does not */
	const char *channel;               /* moved to what is published; NULL: none */
	bool keep_logs;                    /* what steps print becomes part of records */
	const struct ix_graph *graph;
	const struct ix_state *state;
	const struct ix_plan *plan;
};

/* --- beside a run --- */

struct ix_publisher;
/* opts and what it points at are borrowed as long as it lives. */
struct ix_publisher *ix_publisher_new(const struct ix_publish_opts *opts);
void ix_publisher_free(struct ix_publisher *publisher);
IX_DEFINE_FREEP(struct ix_publisher, ix_publisher_free)

/* Make ready for a run, before it starts; jobs by stage index, NULL for those nobody asks for. What an earlier run left to publish comes after them all. */
void ix_publisher_prepare(struct ix_publisher *publisher, struct ix_sched *sched, struct ix_job *const *jobs);

/* How a stage came to be done. */
enum ix_product_kind { IX_PRODUCT_BUILT, IX_PRODUCT_SAME, IX_PRODUCT_FOUND };
struct ix_product {
	const struct ix_plan_stage *planned;
	enum ix_product_kind kind; /* SAME: found by its second key */
	struct ix_digest manifest;
	const char *source; /* SAME: the reference its blobs can be taken from without moving them; NULL: they are here */
};
/* A stage is done: its image goes out beside the run. Called by the stage's job, once. */
void ix_publisher_add(struct ix_publisher *publisher, const struct ix_product *product);

/* After the run: images of other builders that were faster are brought into the store under their stages' keys and, on request, by name. */
int ix_publisher_adopt(struct ix_publisher *publisher, bool by_name, struct ix_err *err);
/* Is the stage's image another builder's now? */
bool ix_publisher_adopted(const struct ix_publisher *publisher, const struct ix_stage *stage, struct ix_digest *ret_manifest);
/* What is not published, all in one error; 0: everything is. */
int ix_publisher_result(const struct ix_publisher *publisher, struct ix_err *err);

/* --- records of builds (docs/identity.md) --- */

/* What came of a stage that was built. */
struct ix_built {
	const struct ix_image *image;
	const struct ix_digest *manifest;
	const struct ix_step_result *made; /* by step; no media type: no layer */
	const struct ix_second *steps;     /* second keys of the steps; nsteps 0: unknown */
	const struct ix_digest *second;    /* of the stage; NULL: it has none */
	const struct ix_buf *log;
};
int ix_record_of_build(const struct ix_publish_opts *opts, const struct ix_stage *stage, const struct ix_built *built,
		       struct ix_digest *ret_record, struct ix_err *err);
/* Of a stage that was found by its second key. Its manifest is in the store. */
int ix_record_of_same(const struct ix_publish_opts *opts, const struct ix_stage *stage, const struct ix_image *image,
		      const struct ix_digest *manifest, const struct ix_digest *second, struct ix_digest *ret_record, struct ix_err *err);
/* The record of the channel's latest image of the stage, checked against that image, to take layers of its steps from; NULL when there is none to be
 * used. The caller frees it. */
struct ix_record *ix_record_to_reuse(const struct ix_publish_opts *opts, const struct ix_stage *stage);

#endif
