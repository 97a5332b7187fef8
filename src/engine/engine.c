#include "engine_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "sched/sched.h"

struct job {
	struct ix_engine *engine;
	const struct ix_stage *stage;
	bool gated; /* an inner stage that comes after its owner's gate */
};

int ix_engine_new(const struct ix_engine_opts *opts, const struct ix_graph *graph, const struct ix_state *state, const struct ix_plan *plan,
		  struct ix_engine **ret_engine, struct ix_err *err)
{
	struct ix_engine *engine = ix_calloc(1, sizeof(*engine));

	(void)err;
	engine->opts = *opts;
	engine->graph = graph;
	engine->state = state;
	engine->plan = plan;
	engine->results = ix_calloc(graph->nstages, sizeof(*engine->results));
	engine->started_s = ix_time_s();
	engine->cutoff = cutoff_new(engine);
	host_prepare(engine);
	*ret_engine = engine;
	return 0;
}

void ix_engine_free(struct ix_engine *engine)
{
	if (!engine)
		return;
	cutoff_free(engine->cutoff);
	free(engine->results);
	free(engine->ca_bundle);
	free(engine->resolv_conf);
	free(engine);
}

const struct ix_stage_result *ix_engine_result(const struct ix_engine *engine, const struct ix_stage *stage)
{
	return &engine->results[stage->index];
}

/* The names a target is published under. From an image that is in the repository already this is one manifest PUT each. */
static int publish_names(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	struct ix_stage_result *result = &engine->results[planned->stage->index];

	for (size_t i = 0; i < planned->nnames; i++) {
		struct ix_published moved;

		if (planned->names[i].current)
			continue;
		if (ix_cache_publish_name(engine->opts.cache, planned->names[i].name, &result->manifest,
					  ix_cache_is_local(engine->opts.cache) ? NULL : planned->ref, planned->stage->name, &moved,
					  err) < 0)
			return -(int)err->code;
		result->pushed_bytes += moved.bytes;
	}
	return 0;
}

static void warn(struct ix_engine *engine, const struct ix_stage *stage, const struct ix_err *err)
{
	ix_auto_free char *text = ix_asprintf("stage '%s': %s, ignoring", stage->name, err->msg);

	ix_report(engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .stage = stage->name, .text = text });
}

/* What was built earlier and not published has its record in the store. */
static bool has_record(struct ix_engine *engine, const struct ix_stage *stage, struct ix_stage_result *result)
{
	ix_auto_kept_record kept = { 0 };
	struct ix_err ignored;

	if (!ix_digest_is_zero(&result->record))
		return true;
	if (ix_cache_record_of_key(engine->opts.cache, stage->name, ix_state_stage_key(engine->state, stage), &kept, &ignored) < 0)
		return false;
	result->record = kept.digest;
	return true;
}

/* What goes beside the image: its record, its second key, the channel. The image is there without them, so their failure is only told. */
static void publish_beside(struct ix_engine *engine, const struct ix_plan_stage *planned, const char *second)
{
	struct ix_stage_result *result = &engine->results[planned->stage->index];
	const struct ix_digest *key = ix_state_stage_key(engine->state, planned->stage);
	struct ix_cache *cache = engine->opts.cache;
	const char *stage = planned->stage->name;
	struct ix_published moved;
	struct ix_err err;

	if (!has_record(engine, planned->stage, result))
		return;
	if (ix_cache_publish_record(cache, stage, key, &result->record, &err) < 0)
		warn(engine, planned->stage, &err);
	if (second && result->outcome == IX_OUTCOME_BUILT &&
	    ix_cache_publish_name(cache, second, &result->manifest, planned->ref, NULL, &moved, &err) < 0)
		warn(engine, planned->stage, &err);
	if (!engine->opts.channel || atomic_load(&engine->channel_refused))
		return;
	if (ix_cache_move_channel(cache, stage, engine->opts.channel, key, &result->manifest, &result->record, &err) < 0 &&
	    !atomic_exchange(&engine->channel_refused, true)) {
		ix_err_wrap(&err, "channel %s cannot be moved", engine->opts.channel);
		warn(engine, planned->stage, &err);
	}
}

/* Under its key: an image that another name of the repository has already is put there by its manifest alone. What another builder put there
 * meanwhile stays, and is used. */
static int publish_key(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	struct ix_stage_result *result = &engine->results[planned->stage->index];
	const struct ix_digest *key = ix_state_stage_key(engine->state, planned->stage);
	ix_auto_free char *second = NULL;
	struct ix_published moved = { 0 };
	struct ix_found there = { .stage = planned->stage->name, .key = key };
	int r;

	if (ix_cache_is_local(engine->opts.cache) || planned->stage->inner || result->remote)
		return 0;
	second = cutoff_ref(engine, planned->stage);
	if (!planned->remote && !planned->replace && ix_cache_lookup(engine->opts.cache, &there, 1, NULL, NULL, 0, err) < 0)
		return -(int)err->code;
	if (there.remote) {
		result->manifest = there.manifest;
		result->remote = true;
		return 0;
	}
	r = ix_cache_publish_stage(engine->opts.cache, planned->stage->name, key, &result->manifest,
				   result->outcome == IX_OUTCOME_SAME ? second : NULL, &moved, err);
	/* What is built although it was there cannot replace it everywhere: tags may be immutable. */
	if (r == -IX_EFAIL && planned->remote) {
		ix_err_wrap(err, "the registry keeps the image it has");
		warn(engine, planned->stage, err);
		return 0;
	}
	if (r < 0)
		return r;
	result->pushed_bytes += moved.bytes;
	result->remote = true;
	publish_beside(engine, planned, second);
	return 0;
}

static int publish(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	if (!engine->opts.publish)
		return 0;
	return publish_key(engine, planned, err) < 0 ? -(int)err->code : publish_names(engine, planned, err);
}

static int tag_locally(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	struct ix_stage_result *result = &engine->results[planned->stage->index];
	uint64_t size;
	int fd;

	if (planned->stage->inner)
		return 0;
	if (ix_blob_open(engine->opts.store, &result->manifest, &fd, &size, err) < 0)
		return -(int)err->code;
	close(fd);
	return ix_store_tag(engine->opts.store, planned->ref, &result->manifest, IX_MEDIA_MANIFEST, size, err);
}

static int remember(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	return ix_plan_remember(engine->opts.store, engine->opts.remembered, stage, ix_state_stage_key(engine->state, stage), err);
}

static int build(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	const struct ix_stage *stage = planned->stage;
	struct ix_stage_result *result = &engine->results[stage->index];

	ix_report(engine->opts.sink,
		  &(struct ix_event){
			  .kind = IX_EVENT_STAGE_BEGIN, .stage = stage->name, .why = planned->reason, .nsteps = (unsigned)stage->nsteps });
	if (stage_build(engine, stage, err) < 0)
		return -(int)err->code;
	result->outcome = IX_OUTCOME_BUILT;
	if (engine->opts.perturbed)
		return 0;
	if (cutoff_remember(engine, stage, err) < 0)
		return -(int)err->code;
	if ((engine->opts.project && !stage->inner && tag_locally(engine, planned, err) < 0) || publish(engine, planned, err) < 0)
		return -(int)err->code;
	/* Remembered last: what explains the next difference is what really came to be. */
	return remember(engine, stage, err);
}

/* The image that was found by the second key is the image of the first one too. */
static int reuse(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err)
{
	const struct ix_stage *stage = planned->stage;
	struct ix_stage_result *result = &engine->results[stage->index];

	if (record_same(engine, stage, err) < 0 ||
	    ix_store_set_stage(engine->opts.store, ix_state_stage_key(engine->state, stage), &result->manifest, err) < 0 ||
	    publish(engine, planned, err) < 0)
		return -(int)err->code;
	return remember(engine, stage, err);
}

static int stage_job(void *data, struct ix_err *err)
{
	const struct job *job = data;
	struct ix_engine *engine = job->engine;
	const struct ix_plan_stage *planned = &engine->plan->stages[job->stage->index];
	struct ix_stage_result *result = &engine->results[job->stage->index];
	uint64_t start = ix_now_ms();
	const char *outcome = "built";
	int r = 0;

	if (planned->decision == IX_PLAN_BUILD) {
		/* An inner stage whose owner is not built is asked for by nobody. */
		if (job->gated && engine->results[cutoff_owner(engine, job->stage)->index].outcome == IX_OUTCOME_SAME)
			return 0;
		r = cutoff_find(engine, job->stage, err);
		if (r > 0)
			outcome = "same";
		r = r < 0 ? r : r > 0 ? reuse(engine, planned, err) : build(engine, planned, err);
	} else {
		result->outcome = planned->decision == IX_PLAN_DONE ? IX_OUTCOME_DONE : IX_OUTCOME_FOUND;
		result->manifest = planned->manifest;
		result->remote = planned->remote;
		outcome = planned->decision == IX_PLAN_DONE ? "done" : "found";
		r = publish(engine, planned, err);
	}
	result->ms = ix_now_ms() - start;
	if (r < 0) {
		result->outcome = IX_OUTCOME_FAILED;
		outcome = r == -IX_ECANCELED ? "canceled" : "failed";
	}
	ix_report(engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_STAGE_END,
							 .stage = job->stage->name,
							 .text = outcome,
							 .ms = result->ms,
							 .bytes = result->pushed_bytes,
							 .status = r < 0 });
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

static unsigned default_parallel(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 2 ? 2 : n > 64 ? 64 : (unsigned)n;
}

int ix_engine_run(struct ix_engine *engine, struct ix_err *err)
{
	unsigned parallel = engine->opts.parallel ? engine->opts.parallel : default_parallel();
	ix_scoped(ix_sched_freep) struct ix_sched *sched = ix_sched_new(parallel, engine->opts.cancel);
	size_t n = engine->graph->nstages;
	ix_auto_free struct ix_job **jobs = ix_calloc(n, sizeof(struct ix_job *));
	ix_auto_free struct ix_job **gates = ix_calloc(n, sizeof(struct ix_job *));
	ix_auto_free struct job *data = ix_calloc(n, sizeof(*data));
	ix_auto_free struct job *gate_data = ix_calloc(n, sizeof(*gate_data));

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
	return ix_sched_run(sched, err);
}
