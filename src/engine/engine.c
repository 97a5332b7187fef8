#include "engine_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fsutil.h"
#include "cache/cache.h"
#include "image/image.h"
#include "io/digest.h"
#include "plan/plan.h"
#include "publish/publish.h"
#include "report/report.h"
#include "sched/sched.h"
#include "state/state.h"
#include "store/store.h"

struct job {
	struct ix_engine *engine;
	const struct ix_stage *stage;
	bool gated; /* an inner stage that comes after its owner's gate */
};

struct ix_engine *ix_engine_new(const struct ix_engine_opts *opts, const struct ix_graph *graph, const struct ix_state *state,
				const struct ix_plan *plan)
{
	struct ix_engine *engine = ix_calloc(1, sizeof(*engine));

	engine->opts = *opts;
	engine->stop = ix_cancel_new_below(opts->cancel);
	engine->opts.cancel = engine->stop;
	engine->opts.image.cancel = engine->stop;
	engine->graph = graph;
	engine->state = state;
	engine->plan = plan;
	engine->results = ix_calloc(graph->nstages, sizeof(*engine->results));
	engine->started_s = ix_time_s();
	engine->cutoff = cutoff_new(engine);
	engine->publish = (struct ix_publish_opts){
		.image = engine->opts.image,
		.sink = opts->sink,
		.interrupt = opts->cancel,
		.channel = opts->channel,
		.keep_logs = !opts->no_log && !opts->local_log,
		.graph = graph,
		.state = state,
		.plan = plan,
	};
	if (opts->publish)
		engine->publisher = ix_publisher_new(&engine->publish);
	return engine;
}

void ix_engine_free(struct ix_engine *engine)
{
	if (!engine)
		return;
	cutoff_free(engine->cutoff);
	ix_publisher_free(engine->publisher);
	ix_cancel_free(engine->stop);
	free(engine->results);
	free(engine);
}

const struct ix_stage_result *ix_engine_result(const struct ix_engine *engine, const struct ix_stage *stage)
{
	return &engine->results[stage->index];
}

static int remember(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	return ix_plan_remember(engine->opts.image.store, engine->opts.remembered, stage, ix_state_stage_key(engine->state, stage), err);
}

static int build(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	const struct ix_stage *stage = planned->stage;
	struct ix_stage_result *result = &engine->results[stage->index];

	ix_report(engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_STAGE_BEGIN,
							 .outcome = IX_OUTCOME_TO_BUILD,
							 .stage = stage->name,
							 .platform = stage->platform,
							 .why = planned->reason,
							 .nsteps = (unsigned)stage->nsteps });
	int r = stage_build(engine, stage, err);
	if (r < 0)
		return r;
	result->outcome = IX_OUTCOME_BUILT;
	if (engine->opts.image.perturbed)
		return 0;
	r = cutoff_remember(engine, stage, err);
	if (r < 0)
		return r;
	/* Remembered last: what explains the next difference is what really came to be. */
	return remember(engine, stage, err);
}

/* The image that was found by the second key is the image of the first one too. */
static int reuse(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	const struct ix_stage *stage = planned->stage;
	struct ix_stage_result *result = &engine->results[stage->index];
	ix_auto_image image = { 0 };
	struct ix_digest second;
	int r;

	/* Loading the image brings its manifest into the store. */
	if ((r = cutoff_image(engine, stage, &image, err)) < 0 ||
	    (r = ix_record_of_same(&engine->publish, stage, &image, &result->manifest,
				   cutoff_second(engine, stage, &second) ? &second : NULL, &result->record, err)) < 0 ||
	    (r = ix_store_set_stage(engine->opts.image.store, ix_state_stage_key(engine->state, stage), &result->manifest, err)) < 0)
		return r;
	return remember(engine, stage, err);
}

/* The reference that a build prints is a name of this store, however the image came to be here: found by its second key, too, or by that of
 * another stage that is made of the same. */
static int name_locally(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	const struct ix_digest *manifest = &engine->results[planned->stage->index].manifest;
	struct ix_digest named;
	int r;

	if (!engine->opts.project || engine->opts.image.perturbed || planned->stage->inner ||
	    !ix_blob_has(engine->opts.image.store, manifest))
		return 0;
	r = ix_store_name(engine->opts.image.store, planned->ref, &named, err);
	if (r < 0 && r != -IX_ENOTFOUND)
		return r;
	return r == 0 && ix_digest_eq(&named, manifest) ? 0 : ix_image_name(&engine->opts.image, manifest, planned->ref, err);
}

static void publish(struct ix_engine *engine, const struct ix_plan_stage *planned)
{
	const struct ix_stage_result *result = &engine->results[planned->stage->index];
	ix_auto_free char *source = cutoff_source(engine, planned->stage);
	struct ix_product product = { .planned = planned, .kind = IX_PRODUCT_FOUND, .manifest = result->manifest, .source = source };

	if (result->outcome == IX_OUTCOME_BUILT)
		product.kind = IX_PRODUCT_BUILT;
	else if (result->outcome == IX_OUTCOME_SAME)
		product.kind = IX_PRODUCT_SAME;
	if (engine->publisher)
		ix_publisher_add(engine->publisher, &product);
}

/* What a stage that is not built is. */
static void take_found(const struct ix_plan_stage *planned, struct ix_stage_result *result)
{
	result->outcome = planned->decision == IX_PLAN_DONE ? IX_OUTCOME_DONE : IX_OUTCOME_FOUND;
	result->manifest = planned->manifest;
}

static int find_or_build(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	int r = cutoff_find(engine, planned->stage, err);

	if (r == 0)
		return build(engine, planned, err);
	return r < 0 ? r : reuse(engine, planned, err);
}

static void tell_end(const struct ix_engine *engine, const struct ix_stage *stage)
{
	const struct ix_stage_result *result = &engine->results[stage->index];

	ix_report(engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_STAGE_END,
							 .outcome = result->outcome,
							 .stage = stage->name,
							 .platform = stage->platform,
							 .ms = result->ms });
}

static int stage_job(void *data, struct ix_err *err)
{
	const struct job *job = data;
	struct ix_engine *engine = job->engine;
	const struct ix_plan_stage *planned = &engine->plan->stages[job->stage->index];
	struct ix_stage_result *result = &engine->results[job->stage->index];
	uint64_t start = ix_now_ms();
	int r = 0;

	/* An inner stage whose owner is not built is asked for by nobody. */
	if (job->gated && engine->results[cutoff_owner(engine, job->stage)->index].outcome == IX_OUTCOME_SAME)
		return 0;
	if (planned->decision == IX_PLAN_BUILD)
		r = find_or_build(engine, planned, err);
	else
		take_found(planned, result);
	if (r >= 0)
		r = name_locally(engine, planned, err);
	result->ms = ix_now_ms() - start;
	if (r < 0)
		result->outcome = r == -IX_ECANCELED ? IX_OUTCOME_CANCELED : IX_OUTCOME_FAILED;
	else
		publish(engine, planned);
	tell_end(engine, job->stage);
	return r;
}

/* --- gates: before the inner stages of a stage run, it is found out whether the stage has to be built at all --- */

static int gate_job(void *data, struct ix_err *err)
{
	const struct job *job = data;
	int r = cutoff_find(job->engine, job->stage, err);

	return r < 0 ? r : 0;
}

/* Waiting for all that a stage is linked to costs time, so it is done only where its image has been made before. */
static bool has_gate(const struct ix_engine *engine, const struct ix_stage *stage)
{
	const struct ix_plan_stage *planned = &engine->plan->stages[stage->index];

	return planned->decision == IX_PLAN_BUILD && !stage->inner && planned->known && !planned->fresh && !engine->opts.no_cutoff;
}

static void add_gates(struct ix_engine *engine, struct ix_sched *sched, struct ix_job *const *jobs, struct job *data, struct ix_job **gates,
		      struct job *gate_data)
{
	for (size_t i = 0; i < engine->graph->nstages; i++) {
		const struct ix_stage *stage = engine->graph->stages[i];
		const struct ix_stage *owner = cutoff_owner(engine, stage);

		if (!stage->inner || !jobs[i] || engine->plan->stages[i].decision != IX_PLAN_BUILD || !owner || !has_gate(engine, owner))
			continue;
		if (!gates[owner->index]) {
			gate_data[owner->index] = (struct job){ .engine = engine, .stage = owner };
			gates[owner->index] = ix_sched_add(sched, 1, gate_job, &gate_data[owner->index]);
		}
		data[i].gated = true;
		ix_job_after(jobs[i], gates[owner->index]);
	}
	/* A gate comes after everything from outside that the stage or one of its inner stages is linked to. */
	for (size_t i = 0; i < engine->graph->nstages; i++) {
		const struct ix_stage *stage = engine->graph->stages[i];
		const struct ix_stage *owner = cutoff_owner(engine, stage);

		for (size_t j = 0; owner && gates[owner->index] && j < stage->nlinks; j++)
			if (!stage->links[j].stage->inner && jobs[stage->links[j].stage->index])
				ix_job_after(gates[owner->index], jobs[stage->links[j].stage->index]);
	}
}

/* Steps mostly wait, for networks and disks and each other, so it is not processors that say how many run at once but memory: so much of it
 * for each. */
static unsigned default_parallel(void)
{
	enum { EACH_KB = 256 << 10, LEAST = 4, MOST = 64 };
	ix_auto_buf text = IX_BUF_INIT(1 << 16);
	const char *line;
	struct ix_err ignored;
	unsigned long long available = 0;

	if (ix_read_file(AT_FDCWD, "/proc/meminfo", &text, &ignored) == 0 && (line = strstr(ix_buf_str(&text), "\nMemAvailable:")) != NULL)
		available = strtoull(line + strlen("\nMemAvailable:"), NULL, 10);
	available /= EACH_KB;
	return available < LEAST ? LEAST : available > MOST ? MOST : (unsigned)available;
}

/* Whoever was faster with a key has published its image: that one is used from now on. */
static int adopt(struct ix_engine *engine, struct ix_err *err)
{
	int r = engine->publisher ? ix_publisher_adopt(engine->publisher, engine->opts.project != NULL, err) : 0;

	for (size_t i = 0; r == 0 && engine->publisher && i < engine->graph->nstages; i++)
		(void)ix_publisher_adopted(engine->publisher, engine->graph->stages[i], &engine->results[i].manifest);
	return r;
}

int ix_engine_run(struct ix_engine *engine, struct ix_err *err)
{
	unsigned parallel = engine->opts.parallel ? engine->opts.parallel : default_parallel();
	ix_scoped(ix_sched_freep) struct ix_sched *sched = ix_sched_new(parallel, engine->stop);
	size_t n = engine->graph->nstages;
	ix_auto_free struct ix_job **jobs = ix_calloc(n, sizeof(struct ix_job *));
	ix_auto_free struct ix_job **gates = ix_calloc(n, sizeof(struct ix_job *));
	ix_auto_free struct job *data = ix_calloc(n, sizeof(*data));
	ix_auto_free struct job *gate_data = ix_calloc(n, sizeof(*gate_data));
	int r;

	for (size_t i = 0; i < n; i++) {
		const struct ix_plan_stage *planned = &engine->plan->stages[i];

		if (planned->decision == IX_PLAN_SKIP)
			continue;
		data[i] = (struct job){ .engine = engine, .stage = planned->stage };
		/* How long a stage takes is not known; its number of steps is the best guess without having run it. */
		jobs[i] = ix_sched_add(sched, planned->decision == IX_PLAN_BUILD ? 10 + planned->stage->nsteps : 1, stage_job, &data[i]);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; jobs[i] && engine->plan->stages[i].decision == IX_PLAN_BUILD && j < engine->graph->stages[i]->nlinks;
		     j++)
			if (jobs[engine->graph->stages[i]->links[j].stage->index])
				ix_job_after(jobs[i], jobs[engine->graph->stages[i]->links[j].stage->index]);
	add_gates(engine, sched, jobs, data, gates, gate_data);
	if (engine->publisher)
		ix_publisher_prepare(engine->publisher, sched, jobs);
	ix_cache_set_work(engine->opts.image.cache, engine->stop);
	r = ix_sched_run(sched, err);
	ix_cache_set_work(engine->opts.image.cache, NULL);
	return r < 0 ? r : adopt(engine, err);
}

int ix_engine_published(const struct ix_engine *engine, struct ix_err *err)
{
	return engine->publisher ? ix_publisher_result(engine->publisher, err) : 0;
}
