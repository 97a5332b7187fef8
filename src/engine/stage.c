#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/path.h"
#include "copy_int.h"
#include "engine_int.h"

int err_at_step(struct ix_err *err, const struct ix_step *step)
{
	ix_auto_free char *shown = ix_printable(step->text, 400);

	if (!step->pos.file)
		return ix_err_code(err);
	/* Errors of the language bring their place along. */
	if (strncmp(err->msg, step->pos.file, strlen(step->pos.file)) != 0)
		ix_err_wrap(err, "%s:%u:%u", step->pos.file, step->pos.line, step->pos.column);
	if (!err->detail[0])
		ix_err_detail(err, "%5u | %s", step->pos.line, shown);
	return ix_err_code(err);
}

/* --- words --- */

char *build_arg_value(struct build *build, const struct ix_arg *arg)
{
	const struct ix_engine *engine = build->engine;

	if (!arg->link)
		return ix_strdup(arg->value);
	return ix_cache_stage_ref(engine->opts.cache, arg->link->name, ix_state_stage_key(engine->state, arg->link));
}

struct scope {
	struct build *build;
	struct ix_strv args; /* NAME=value */
};

static const char *lookup(void *data, const char *name)
{
	const struct scope *scope = data;
	/* Those that a later ENV hides are not among them. */
	const char *value = ix_env_get(&scope->args, name);

	return value ? value : ix_env_get(&scope->build->image.config.env, name);
}

static int expand(struct build *build, const struct ix_step *step, const char *word, bool keep_quotes, char **ret_text, struct ix_err *err)
{
	struct scope scope = { .build = build };
	const struct ix_expand_opts opts = { .escape = step->escape, .lookup = lookup, .data = &scope, .keep_quotes = keep_quotes };
	int r;

	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = build_arg_value(build, &step->args[i]);

		if (value)
			ix_env_set(&scope.args, step->args[i].name, value);
	}
	r = ix_expand(&opts, word, ret_text, err);
	ix_strv_release(&scope.args);
	return r;
}

int build_expand(struct build *build, const struct ix_step *step, const char *word, char **ret_text, struct ix_err *err)
{
	return expand(build, step, word, false, ret_text, err);
}

int build_expand_text(struct build *build, const struct ix_step *step, const char *text, char **ret_text, struct ix_err *err)
{
	return expand(build, step, text, true, ret_text, err);
}

/* --- where images come from --- */

static int load_external(struct ix_engine *engine, const struct ix_source *source, struct image *ret_image, struct ix_err *err)
{
	const struct ix_digest *digest = ix_state_image(engine->state, source);

	if (!digest)
		ix_bug("image %s was not resolved", source->text);
	return image_load(&engine->opts, source->kind == IX_SOURCE_IMAGE ? source->text : NULL, digest, ret_image, err);
}

int stage_image(struct ix_engine *engine, const struct ix_stage *stage, struct image *ret_image, struct ix_err *err)
{
	const struct ix_stage_result *result = &engine->results[stage->index];
	ix_auto_free char *second = NULL;
	const char *ref = NULL;

	if (result->outcome == IX_OUTCOME_NONE || result->outcome == IX_OUTCOME_FAILED)
		ix_bug("stage '%s' is used before it is there", stage->name);
	/* What is not in the store is in the repository: what was found by its second key under that key's tag. Inner stages have no tag. */
	if (result->outcome == IX_OUTCOME_SAME)
		second = cutoff_ref(engine, stage);
	if (!stage->inner && !ix_cache_is_local(engine->opts.cache))
		ref = engine->plan->stages[stage->index].ref;
	return image_load(&engine->opts, second ? second : ref, &result->manifest, ret_image, err);
}

int stage_source(struct ix_engine *engine, const struct ix_source *source, struct image *ret_image, struct ix_err *err)
{
	switch (source->kind) {
	case IX_SOURCE_STAGE:
		return stage_image(engine, source->stage, ret_image, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		return load_external(engine, source, ret_image, err);
	case IX_SOURCE_SCRATCH:
	case IX_SOURCE_DIR:
		break;
	}
	*ret_image = (struct image){ 0 };
	return 0;
}

static int begin(struct build *build, struct ix_err *err)
{
	struct ix_image_config *config = &build->image.config;
	const struct ix_stage *stage = build->stage;
	int r = stage_source(build->engine, &stage->base, &build->image, err);

	if (r < 0)
		return r;
	if (!config->platform.arch[0] && (r = ix_platform_parse(stage->platform, &config->platform, err)) < 0)
		return r;
	if (!ix_env_get(&config->env, "PATH"))
		ix_env_set(&config->env, "PATH", IX_DEFAULT_PATH);
	if (!config->working_dir && stage->base.kind == IX_SOURCE_SCRATCH)
		config->working_dir = ix_strdup("/");
	/* Triggers of the base were made steps when the graph was; they are not handed on. */
	ix_strv_release(&config->onbuild);
	return 0;
}

/* --- steps --- */

/* " --chown=app", expanded; nothing when it was not given. */
static void put_flag(struct build *build, const struct ix_step *step, const char *name, const char *word, struct ix_buf *text)
{
	ix_auto_free char *value = NULL;
	struct ix_err ignored;

	if (word && build_expand(build, step, word, &value, &ignored) == 0 && *value)
		ix_buf_printf(text, " %s%s", name, value);
}

/* What docker history shows. */
static char *copy_created_by(struct build *build, const struct ix_step *step)
{
	ix_auto_free char *dest = NULL;
	ix_auto_buf text = { 0 };
	struct ix_err ignored;

	ix_buf_puts(&text, ix_step_word(step->kind));
	put_flag(build, step, "--chown=", step->chown, &text);
	put_flag(build, step, "--chmod=", step->chmod, &text);
	for (size_t i = 0; i < step->nwords; i++)
		ix_buf_printf(&text, " %s", step->words[i]);
	if (build_expand(build, step, step->dest, &dest, &ignored) == 0)
		ix_buf_printf(&text, " %s", dest);
	ix_buf_puts(&text, " # buildkit");
	return ix_buf_steal(&text);
}

static void add_layer(struct build *build, const struct ix_step_result *result, char *created_by_take)
{
	struct layer_ref *layer = image_add_layer(&build->image);

	layer->blob = (struct ix_descriptor){ .media_type = ix_strdup(result->media_type), .digest = result->digest, .size = result->size };
	layer->diff_id = result->diff_id;
	layer->content = result->content;
	if (!ix_cache_is_local(build->engine->opts.cache) && !ix_blob_has(build->engine->opts.store, &result->digest)) {
		layer->image = ix_strdup(build->engine->plan->stages[build->stage->index].ref);
		ix_cache_note_place(build->engine->opts.cache, layer->image, &result->digest);
	}
	ix_config_add_diff_id(&build->image.config, &result->diff_id);
	image_history(&build->image, build->now, created_by_take, false);
	free(created_by_take);
}

static int set_workdir(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = &build->image.config;
	ix_auto_free char *text = NULL;
	char *path;
	int r = build_expand(build, step, step->words[0], &text, err);

	if (r < 0)
		return r;
	/* Nothing is where it was; an absolute path stays as it is written. */
	path = *text == '/' ? ix_steal(&text) : ix_path_resolve(config->working_dir ? config->working_dir : "/", text);
	free(config->working_dir);
	config->working_dir = path;
	return 0;
}

static bool makes_layer(const struct build *build, const struct ix_step *step)
{
	if (step->kind == IX_STEP_WORKDIR)
		return strcmp(build->image.config.working_dir, "/") != 0;
	return step->kind == IX_STEP_RUN || step->kind == IX_STEP_COPY || step->kind == IX_STEP_ADD;
}

static int execute(struct build *build, const struct ix_step *step, struct ix_step_result *ret_result, struct ix_err *err)
{
	if (step->kind == IX_STEP_RUN)
		return run_step(build, step, ret_result, err);
	if (step->kind == IX_STEP_WORKDIR)
		return workdir_step(build, step, ret_result, err);
	return copy_step(build, step, ret_result, err);
}

static char *created_by(struct build *build, const struct ix_step *step)
{
	if (step->kind == IX_STEP_RUN)
		return run_created_by(build, step);
	if (step->kind == IX_STEP_WORKDIR)
		return ix_asprintf("WORKDIR %s", build->image.config.working_dir);
	return copy_created_by(build, step);
}

static void report_step(const struct build *build, const struct ix_step *step, enum ix_event_kind kind, int status, uint64_t ms)
{
	ix_report(build->engine->opts.sink, &(struct ix_event){ .kind = kind,
								.stage = build->stage->name,
								.text = step->text,
								.step = (unsigned)build->step + 1,
								.nsteps = (unsigned)build->stage->nsteps,
								.status = status,
								.ms = ms });
}

/* A layer that the registry has: the step need not be run, and the layer is fetched only if somebody reads it. */
static int published_step(const struct build *build, const struct ix_digest *key, struct ix_step_result *ret_layer, struct ix_err *err)
{
	const struct ix_digest *second = build->second.nsteps > 0 ? &build->second.steps[build->step] : NULL;
	const struct ix_record_step *step = build->record ? ix_record_find(build->record, key, second) : NULL;

	if (!step || ix_cache_is_lost(build->engine->opts.cache, &step->blob))
		return ix_err_set(err, IX_ENOTFOUND, "no record has the step");
	*ret_layer =
		(struct ix_step_result){ .digest = step->blob, .size = step->size, .diff_id = step->diff_id, .content = step->content };
	snprintf(ret_layer->media_type, sizeof(ret_layer->media_type), "%s", step->media_type);
	return 0;
}

/* What the step gave before: under its key, or when what it uses was made otherwise and came out the same, here or elsewhere. */
static int known_step(struct build *build, const struct ix_digest *key, struct ix_step_result *ret_layer, struct ix_err *err)
{
	struct ix_store *store = build->engine->opts.store;
	int r = ix_store_step(store, key, ret_layer, err);

	if (r == -IX_ENOTFOUND && build->second.nsteps > 0)
		r = ix_store_step(store, &build->second.steps[build->step], ret_layer, err);
	if (r == -IX_ENOTFOUND)
		r = published_step(build, key, ret_layer, err);
	return r;
}

static int run_layer(struct build *build, const struct ix_step *step, struct ix_step_result *ret_layer, struct ix_err *err)
{
	uint64_t start = ix_now_ms();
	int r;

	report_step(build, step, IX_EVENT_STEP_BEGIN, 0, 0);
	steplog_step(build->log, build->step + 1, step->text, "");
	r = execute(build, step, ret_layer, err);
	report_step(build, step, IX_EVENT_STEP_END, r < 0 ? (err->code == IX_ESTEP ? err->sys : 1) : 0, ix_now_ms() - start);
	return r;
}

static int remember_step(struct build *build, const struct ix_digest *key, const struct ix_step_result *layer, struct ix_err *err)
{
	struct ix_store *store = build->engine->opts.store;
	int r;

	if (build->engine->opts.perturbed)
		return 0;
	if (build->second.nsteps > 0 && (r = ix_store_set_step(store, &build->second.steps[build->step], layer, err)) < 0)
		return r;
	return ix_store_set_step(store, key, layer, err);
}

/* A step that makes a layer: from what its key gave before, or executed. One process executes it; others wait for its result. */
static int layer_step(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	const struct ix_engine_opts *opts = &build->engine->opts;
	const struct ix_digest *key = ix_state_step_key(build->engine->state, build->stage, build->step);
	bool reuse = !opts->no_step_cache && !build->engine->plan->stages[build->stage->index].fresh;
	struct ix_stage_result *result = &build->engine->results[build->stage->index];
	struct ix_step_result *layer = &build->made[build->step];
	ix_auto_close int lock = -1;
	int r;

	r = ix_store_lock(opts->store, "step", key, opts->cancel, &lock, err);
	if (r < 0)
		return r;
	r = reuse ? known_step(build, key, layer, err) : -IX_ENOTFOUND;
	if (r < 0 && r != -IX_ENOTFOUND)
		return r;
	if (r == 0) {
		result->steps_cached++;
		report_step(build, step, IX_EVENT_STEP_CACHED, 0, 0);
		steplog_step(build->log, build->step + 1, step->text, "cached: ");
	} else {
		r = run_layer(build, step, layer, err);
		if (r < 0)
			return r;
		result->steps_run++;
	}
	r = remember_step(build, key, layer, err);
	if (r < 0)
		return r;
	add_layer(build, layer, created_by(build, step));
	return 0;
}

static int do_step(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	int r = ix_cancel_check(build->engine->opts.cancel, err);

	if (r < 0)
		return r;
	if (step->kind == IX_STEP_WORKDIR && (r = set_workdir(build, step, err)) < 0)
		return r;
	if (makes_layer(build, step))
		return layer_step(build, step, err);
	if (step->kind != IX_STEP_WORKDIR)
		return config_apply(build, step, err);
	image_history(&build->image, build->now, "WORKDIR /", true);
	return 0;
}

static int finish(struct build *build, struct ix_err *err)
{
	struct ix_engine *engine = build->engine;
	const struct ix_digest *key = ix_state_stage_key(engine->state, build->stage);
	struct ix_image_config *config = &build->image.config;
	char hex[IX_DIGEST_HEX + 1], second_hex[IX_DIGEST_HEX + 1];
	struct ix_digest second;
	bool has_second = cutoff_second(engine, build->stage, &second);
	uint64_t size;

	for (size_t i = 0; i < build->stage->nlabels; i++)
		ix_pairs_set(&config->labels, build->stage->labels[2 * i], build->stage->labels[2 * i + 1]);
	free(config->created);
	config->created = ix_strdup(build->now);
	int r = image_store(&engine->opts, &build->image, ix_digest_hex(key, hex), has_second ? ix_digest_hex(&second, second_hex) : NULL,
			    &engine->results[build->stage->index].manifest, &size, err);
	if (r < 0)
		return r;
	/* A trial is nobody's result. */
	if (engine->opts.perturbed)
		return 0;
	r = record_keep(build, err);
	if (r < 0)
		return r;
	return ix_store_set_stage(engine->opts.store, key, &engine->results[build->stage->index].manifest, err);
}

static int run_steps(struct build *build, struct ix_err *err)
{
	const struct ix_pos *pos = &build->stage->pos;
	int r = begin(build, err);

	if (r < 0)
		return pos->file ? ix_err_wrap(err, "%s:%u:%u", pos->file, pos->line, pos->column) : r;
	for (build->step = 0; build->step < build->stage->nsteps; build->step++) {
		const struct ix_step *step = &build->stage->steps[build->step];

		r = do_step(build, step, err);
		if (r < 0)
			return r == -IX_ECANCELED ? r : err_at_step(err, step);
	}
	return finish(build, err);
}

int stage_build(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct build build = {
		.engine = engine, .stage = stage, .made = ix_calloc(stage->nsteps, sizeof(*build.made)), .log = steplog_new()
	};
	int r = cutoff_steps(engine, stage, &build.second, err);

	ix_rfc3339(stage->epoch >= 0 ? stage->epoch : engine->started_s, build.now);
	if (r == 0) {
		build.record = record_open(engine, stage);
		r = run_steps(&build, err);
	}
	ix_record_free(build.record);
	steplog_free(build.log);
	free(build.made);
	ix_second_release(&build.second);
	image_release(&build.image);
	return r;
}
