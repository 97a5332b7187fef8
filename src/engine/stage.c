/* One stage: its steps expanded, built on what is known of them, and kept. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "builder/builder.h"
#include "cache/cache.h"
#include "engine_int.h"
#include "image/image.h"
#include "io/digest.h"
#include "oci/image.h"
#include "publish/publish.h"
#include "report/report.h"
#include "state/state.h"
#include "steps/steps.h"
#include "store/store.h"

struct stage_build {
	struct ix_engine *engine;
	const struct ix_stage *stage;
	struct ix_image image; /* grows */
	struct ix_operations operations;
	struct ix_step_result *made; /* by step; no media type: no layer */
	struct ix_record *record;    /* of an earlier build to take layers from, or NULL */
	struct ix_step_log *log;
	struct ix_second second; /* keys of the steps by what the stages they use really are; no steps: unknown */
	int lock;                /* of the operation that is being made, -1: none */
};

/* --- where images come from --- */

static int external_image(struct ix_engine *engine, const struct ix_source *source, struct ix_image *ret_image, struct ix_err *err)
{
	const struct ix_digest *digest = ix_state_image(engine->state, source);

	if (!digest)
		ix_bug("image %s was not resolved", source->text);
	return ix_image_load(&engine->opts.image, source->kind == IX_SOURCE_IMAGE ? source->text : NULL, digest, ret_image, err);
}

static int source_image(void *data, const struct ix_source *source, struct ix_image *ret_image, struct ix_err *err)
{
	struct stage_build *self = data;

	switch (source->kind) {
	case IX_SOURCE_STAGE:
		return cutoff_image(self->engine, source->stage, ret_image, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		return external_image(self->engine, source, ret_image, err);
	case IX_SOURCE_SCRATCH:
	case IX_SOURCE_DIR:
		break;
	}
	*ret_image = (struct ix_image){ 0 };
	return 0;
}

static const struct ix_selection *selection(void *data, size_t step, size_t i)
{
	const struct stage_build *self = data;

	return ix_state_selection(self->engine->state, self->stage, step, i);
}

static char *stage_ref(void *data, const struct ix_stage *stage)
{
	const struct stage_build *self = data;

	return ix_cache_stage_ref(self->engine->opts.image.cache, stage->name, ix_state_stage_key(self->engine->state, stage));
}

/* --- layers of steps --- */

static const struct ix_digest *second_key(const struct stage_build *self, size_t step)
{
	return self->second.nsteps > 0 ? &self->second.steps[step] : NULL;
}

/* A layer that the registry has: the step need not be run, and the layer is fetched only if somebody reads it. */
static int published_step(const struct stage_build *self, const struct ix_digest *key, size_t index, struct ix_step_result *ret_layer,
			  struct ix_err *err)
{
	const struct ix_record_step *step = self->record ? ix_record_find(self->record, key, second_key(self, index)) : NULL;

	if (!step || ix_cache_is_lost(self->engine->opts.image.cache, &step->blob))
		return ix_err_set(err, IX_ENOTFOUND, "no record has the step");
	*ret_layer =
		(struct ix_step_result){ .digest = step->blob, .size = step->size, .diff_id = step->diff_id, .content = step->content };
	snprintf(ret_layer->media_type, sizeof(ret_layer->media_type), "%s", step->media_type);
	return 0;
}

/* What the step gave before: under its key, or when what it uses was made otherwise and came out the same, here or elsewhere. */
static int known_step(const struct stage_build *self, const struct ix_digest *key, size_t index, struct ix_step_result *ret_layer,
		      struct ix_err *err)
{
	struct ix_store *store = self->engine->opts.image.store;
	int r = ix_store_step(store, key, ret_layer, err);

	if (r == -IX_ENOTFOUND && second_key(self, index))
		r = ix_store_step(store, second_key(self, index), ret_layer, err);
	if (r == -IX_ENOTFOUND)
		r = published_step(self, key, index, ret_layer, err);
	return r;
}

static int remember_step(const struct stage_build *self, const struct ix_digest *key, size_t index, const struct ix_step_result *layer,
			 struct ix_err *err)
{
	struct ix_store *store = self->engine->opts.image.store;
	int r = 0;

	if (self->engine->opts.image.perturbed)
		return 0;
	if (second_key(self, index))
		r = ix_store_set_step(store, second_key(self, index), layer, err);
	return r < 0 ? r : ix_store_set_step(store, key, layer, err);
}

static void add_layer(struct stage_build *self, const struct ix_step_result *result)
{
	const struct ix_image_opts *opts = &self->engine->opts.image;
	struct ix_layer_ref *layer = ix_image_add_layer(&self->image);

	layer->blob = (struct ix_descriptor){ .media_type = ix_strdup(result->media_type), .digest = result->digest, .size = result->size };
	layer->diff_id = result->diff_id;
	layer->content = result->content;
	if (!ix_cache_is_local(opts->cache) && !ix_blob_has(opts->store, &result->digest)) {
		layer->image = ix_strdup(self->engine->plan->stages[self->stage->index].ref);
		ix_cache_note_place(opts->cache, layer->image, &result->digest);
	}
	ix_config_add_diff_id(&self->operations.config, &result->diff_id);
}

static const struct ix_digest *key_of(const struct stage_build *self, const struct ix_operation *operation)
{
	return ix_state_step_key(self->engine->state, self->stage, operation->index);
}

static int keep_layer(struct stage_build *self, const struct ix_operation *operation, const struct ix_step_result *layer,
		      struct ix_err *err)
{
	int r = remember_step(self, key_of(self, operation), operation->index, layer, err);

	if (r < 0)
		return r;
	self->made[operation->index] = *layer;
	add_layer(self, layer);
	return 0;
}

static void tell_cached(const struct stage_build *self, const struct ix_operation *operation)
{
	ix_report(self->engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_STEP_CACHED,
							       .stage = self->stage->name,
							       .platform = self->stage->platform,
							       .text = operation->step->text,
							       .step = (unsigned)operation->index + 1,
							       .nsteps = (unsigned)self->stage->nsteps });
	ix_step_log_step(self->log, operation->index + 1, operation->step->text, "cached: ");
}

/* One process makes a step's layer; others wait for its result. */
static int take(void *data, const struct ix_operation *operation, struct ix_err *err)
{
	struct stage_build *self = data;
	const struct ix_engine_opts *opts = &self->engine->opts;
	const struct ix_digest *key = key_of(self, operation);
	struct ix_step_result layer = { 0 };
	int r = ix_store_lock(opts->image.store, "step", key, opts->cancel, &self->lock, err);

	if (r < 0)
		return r;
	if (opts->no_step_cache || self->engine->plan->stages[self->stage->index].fresh)
		return 0;
	r = known_step(self, key, operation->index, &layer, err);
	if (r < 0)
		return r == -IX_ENOTFOUND ? 0 : r;
	self->engine->results[self->stage->index].steps_cached++;
	tell_cached(self, operation);
	r = keep_layer(self, operation, &layer, err);
	ix_closep(&self->lock);
	self->lock = -1;
	return r < 0 ? r : 1;
}

static int give(void *data, const struct ix_operation *operation, const struct ix_step_result *layer, struct ix_err *err)
{
	struct stage_build *self = data;
	int r = 0;

	if (layer) {
		self->engine->results[self->stage->index].steps_run++;
		r = keep_layer(self, operation, layer, err);
	}
	ix_closep(&self->lock);
	self->lock = -1;
	return r;
}

static const struct ix_build_provider provider = { .image = source_image, .selection = selection, .take = take, .give = give };

/* --- all of a stage --- */

static int expand(struct stage_build *self, struct ix_err *err)
{
	const struct ix_stage *stage = self->stage;
	struct ix_steps_opts opts = { .stage_ref = stage_ref, .data = self };
	char now[32];
	int r = source_image(self, &stage->base, &self->image, err);

	if (r < 0)
		return stage->pos.file ? ix_err_wrap(err, "%s:%u:%u", stage->pos.file, stage->pos.line, stage->pos.column) : r;
	ix_rfc3339(stage->epoch >= 0 ? stage->epoch : self->engine->started_s, now);
	opts.now = now;
	return ix_steps_expand(stage, stage->base.kind == IX_SOURCE_SCRATCH ? NULL : &self->image.config, &opts, &self->operations, err);
}

static int execute(struct stage_build *self, struct ix_err *err)
{
	const struct ix_build build = {
		.stage = self->stage,
		.operations = &self->operations,
		.image = &self->image,
		.log = self->log,
		.cancel = self->engine->stop,
		.provider = &provider,
		.data = self,
	};

	if (self->engine->opts.builder->ops->takes_steps)
		self->record = ix_record_to_reuse(&self->engine->publish, self->stage);
	return ix_builder_build(self->engine->opts.builder, &build, err);
}

/* The log of a stage whose record does not have it. */
static int keep_log(const struct stage_build *self, struct ix_err *err)
{
	const struct ix_buf *log = ix_step_log_text(self->log);
	char hex[IX_DIGEST_HEX + 1];

	if (!self->engine->opts.local_log || log->len == 0)
		return 0;
	ix_digest_hex(ix_state_stage_key(self->engine->state, self->stage), hex);
	return ix_store_set_fact(self->engine->opts.image.store, IX_LOG_TOPIC, hex, log->data, log->len, err);
}

static int keep_record(struct stage_build *self, const struct ix_digest *second, struct ix_err *err)
{
	struct ix_stage_result *result = &self->engine->results[self->stage->index];
	const struct ix_built built = {
		.image = &self->image,
		.manifest = &result->manifest,
		.made = self->made,
		.steps = &self->second,
		.second = second,
		.log = ix_step_log_text(self->log),
	};

	return ix_record_of_build(&self->engine->publish, self->stage, &built, &result->record, err);
}

static int finish(struct stage_build *self, struct ix_err *err)
{
	struct ix_engine *engine = self->engine;
	const struct ix_digest *key = ix_state_stage_key(engine->state, self->stage);
	struct ix_stage_result *result = &engine->results[self->stage->index];
	char hex[IX_DIGEST_HEX + 1], second_hex[IX_DIGEST_HEX + 1];
	struct ix_digest second;
	bool has_second = cutoff_second(engine, self->stage, &second);
	uint64_t size;
	int r;

	ix_config_release(&self->image.config);
	self->image.config = self->operations.config;
	self->operations.config = (struct ix_image_config){ 0 };
	r = ix_image_store(&engine->opts.image, &self->image, ix_digest_hex(key, hex),
			   has_second ? ix_digest_hex(&second, second_hex) : NULL, &result->manifest, &size, err);
	/* A trial is nobody's result. */
	if (r < 0 || engine->opts.image.perturbed)
		return r;
	r = keep_record(self, has_second ? &second : NULL, err);
	if (r == 0)
		r = keep_log(self, err);
	return r < 0 ? r : ix_store_set_stage(engine->opts.image.store, key, &result->manifest, err);
}

static void release(struct stage_build *self)
{
	ix_closep(&self->lock);
	ix_record_free(self->record);
	ix_step_log_free(self->log);
	free(self->made);
	ix_second_release(&self->second);
	ix_operations_release(&self->operations);
	ix_image_release(&self->image);
}

int stage_build(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct stage_build self = {
		.engine = engine, .stage = stage, .made = ix_calloc(stage->nsteps, sizeof(*self.made)), .log = ix_step_log_new(), .lock = -1
	};
	int r = cutoff_steps(engine, stage, &self.second, err);

	if (r == 0)
		r = expand(&self, err);
	if (r == 0)
		r = execute(&self, err);
	if (r == 0)
		r = finish(&self, err);
	release(&self);
	return r;
}
