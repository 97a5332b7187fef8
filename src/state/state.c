#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "state_int.h"

/*
 * A stage has two threads of keys, that of the file system and that of the config, which join in the stage's key. A step that changes the file
 * system stands on the file system below it and on what its execution sees; the config's other words go by it.
 */

/* --- where a stage begins --- */

/* The two roots: what both begin with, and then what the base is. */
static void begin_root(struct compute *self, const struct ix_stage *stage, bool config)
{
	ix_hash_u64(self->hash, T_FORMAT);
	ix_hash_u64(self->hash, KEY_FORMAT);
	if (self->outputs)
		ix_hash_u64(self->hash, T_SECOND);
	ix_hash_text(self->hash, T_PLATFORM, stage->platform);
	if (stage->epoch >= 0) {
		ix_hash_u64(self->hash, T_EPOCH);
		ix_hash_u64(self->hash, (uint64_t)stage->epoch);
	}
	if (config)
		ix_hash_u64(self->hash, T_CONFIG);
}

struct roots {
	struct ix_digest files, config;
};

static void plain_roots(struct compute *self, const struct ix_stage *stage, const struct ix_digest *image, struct roots *ret_roots)
{
	struct ix_digest *roots[] = { &ret_roots->files, &ret_roots->config };

	for (size_t i = 0; i < IX_ARRAY_LEN(roots); i++) {
		begin_root(self, stage, i > 0);
		if (image)
			ix_hash_digest(self->hash, T_BASE_IMAGE, image);
		else
			ix_hash_text(self->hash, T_BASE_SCRATCH, "");
		ix_hash_final(self->hash, roots[i]);
	}
	sight_init(&self->sight, !image);
}

static int stage_roots(struct compute *self, const struct ix_stage *stage, struct roots *ret_roots, struct ix_err *err)
{
	struct ix_output base;
	int r = source_stage(self, stage->base.stage, &base, err);

	if (r < 0)
		return r;
	begin_root(self, stage, false);
	ix_hash_digest(self->hash, T_BASE_STAGE, &base.files);
	/* What came out of a stage does not say where it came from, and so not what steps on it see. */
	if (!ix_digest_is_zero(&base.sight))
		ix_hash_digest(self->hash, T_SIGHT, &base.sight);
	ix_hash_final(self->hash, &ret_roots->files);
	begin_root(self, stage, true);
	ix_hash_digest(self->hash, T_BASE_STAGE, &base.config);
	ix_hash_final(self->hash, &ret_roots->config);
	sight_copy(&self->sight, &state_of(self->state, stage->base.stage)->sight);
	return 0;
}

static int find_roots(struct compute *self, const struct ix_stage *stage, struct roots *ret_roots, struct ix_err *err)
{
	const struct ix_digest *image = NULL;
	int r;

	switch (stage->base.kind) {
	case IX_SOURCE_STAGE:
		return stage_roots(self, stage, ret_roots, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		r = source_image(self, &stage->base, &image, err);
		if (r < 0 && stage->pos.file)
			return ix_err_wrap(err, "%s:%u:%u: base image", stage->pos.file, stage->pos.line, stage->pos.column);
		if (r < 0)
			return ix_err_wrap(err, "base image");
		break;
	case IX_SOURCE_SCRATCH:
		break;
	case IX_SOURCE_DIR:
		return ix_err_at(err, &stage->pos, "a directory cannot be a base image");
	}
	plain_roots(self, stage, image, ret_roots);
	return 0;
}

/* --- what a step sees --- */

static int find_args(struct compute *self, const struct ix_step *step, struct args *args, struct ix_err *err)
{
	args->values = ix_calloc(step->nargs, sizeof(char *));
	args->count = step->nargs;
	for (size_t i = 0; i < step->nargs; i++) {
		struct ix_output output;
		int r;

		if (!step->args[i].link) {
			args->values[i] = step->args[i].value ? cook_value(step->args[i].value) : NULL;
			continue;
		}
		/* A link counts as the stage: the registry's and the project's names are no part of any key. */
		r = source_stage(self, step->args[i].link, &output, err);
		if (r < 0)
			return r;
		args->values[i] = cook_link(&output.id);
	}
	return 0;
}

static void hash_args(struct compute *self, const struct ix_step *step, const struct args *args)
{
	for (size_t i = 0; i < step->nargs; i++) {
		if (!args->values[i])
			continue; /* declared, or hidden by an ENV line: it leaves what is there */
		ix_hash_text(self->hash, T_ARG_NAME, step->args[i].name);
		ix_hash_text(self->hash, T_ARG_VALUE, args->values[i]);
	}
}

static void hash_number(struct ix_hash *hash, const char *what, uint64_t value)
{
	ix_hash_text(hash, T_SPEC, what);
	ix_hash_u64(hash, value);
}

/* Every field of the spec, by the table it is defined by. */
static void hash_spec(struct ix_hash *hash, const struct ix_run_spec *spec)
{
#define HASH_NUMBER(type, name, what) hash_number(hash, what, (uint64_t)spec->name);
#define HASH_TEXT(name, what)                                                                                                              \
	ix_hash_text(hash, T_SPEC, what);                                                                                                  \
	ix_hash_text(hash, T_SPEC, spec->name);
#define HASH_LIST(type, name, what, print)                                                                                                 \
	hash_number(hash, what, spec->n##name);                                                                                            \
	for (size_t i = 0; i < spec->n##name; i++) {                                                                                       \
		ix_auto_free char *text = print(&spec->name[i]);                                                                           \
		ix_hash_text(hash, T_SPEC, text);                                                                                          \
	}
	IX_RUN_SPEC(HASH_NUMBER, HASH_TEXT, HASH_LIST)
#undef HASH_NUMBER
#undef HASH_TEXT
#undef HASH_LIST
}

static void hash_seen(struct compute *self, const struct ix_step *step, const struct args *args)
{
	const struct sight *sight = &self->sight;

	if (step->kind == IX_STEP_WORKDIR)
		ix_hash_text(self->hash, T_USER, sight->user); /* who owns what it makes */
	if (step->kind != IX_STEP_RUN)
		return;
	hash_args(self, step, args);
	for (size_t i = 0; i < sight->env.count; i++)
		ix_hash_text(self->hash, T_ENV, sight->env.items[i]);
	ix_hash_text(self->hash, T_USER, sight->user);
	ix_hash_text(self->hash, T_CWD, sight->workdir);
	for (size_t i = 0; i < sight->shell.count && !step->exec; i++)
		ix_hash_text(self->hash, T_SHELL, sight->shell.items[i]);
	hash_spec(self->hash, &step->run);
}

/* --- steps --- */

/* The key of a step: what is below it, what it says itself, and what it sees. */
struct link {
	struct ix_digest key, own;
};

static void chain_config(struct compute *self, const struct ix_step *step, const struct args *args, struct ix_digest *config,
			 struct ix_digest *ret_own)
{
	step_config(self, step, args);
	ix_hash_final(self->own, ret_own);
	ix_hash_digest(self->hash, T_PARENT, config);
	ix_hash_digest(self->hash, T_OWN, ret_own);
	ix_hash_final(self->hash, config);
}

static int chain_files(struct compute *self, const struct ix_step *step, const struct args *args, struct step_state *result,
		       struct ix_digest *files, struct ix_digest *ret_own, struct ix_err *err)
{
	int r = step_files(self, step, args, result, err);

	ix_hash_final(self->own, ret_own);
	if (r < 0)
		return r;
	ix_hash_digest(self->hash, T_PARENT, files);
	ix_hash_digest(self->hash, T_OWN, ret_own);
	hash_seen(self, step, args);
	ix_hash_final(self->hash, files);
	return 0;
}

/* An ARG changes nothing: its value counts where it is seen. */
static int chain_step(struct compute *self, const struct ix_step *step, struct step_state *result, struct roots *ends,
		      struct link *ret_link, struct ix_err *err)
{
	bool has_files = step_has_files(step);
	auto_args args = { 0 };
	int r = 0;

	*ret_link = (struct link){ .key = ends->config };
	if (step->kind == IX_STEP_ARG)
		return 0;
	r = find_args(self, step, &args, err);
	if (r == 0 && (!has_files || step->kind == IX_STEP_WORKDIR))
		chain_config(self, step, &args, &ends->config, &ret_link->own);
	if (r == 0 && has_files)
		r = chain_files(self, step, &args, result, &ends->files, &ret_link->own, err);
	if (r < 0)
		return r;
	step_sight(self, step, &args);
	ret_link->key = has_files ? ends->files : ends->config;
	return 0;
}

/* The project's labels, by name; of two of the same name the later one is in the config. */
static void hash_labels(struct compute *self, const struct ix_stage *stage, struct ix_digest *config)
{
	struct ix_map labels = { 0 };
	ix_auto_strv names = { 0 };

	if (stage->nlabels == 0)
		return;
	for (size_t i = 0; i < stage->nlabels; i++) {
		if (!ix_map_get(&labels, stage->labels[2 * i]))
			ix_strv_add(&names, stage->labels[2 * i]);
		ix_map_set(&labels, stage->labels[2 * i], (void *)(uintptr_t)stage->labels[2 * i + 1]);
	}
	ix_strv_sort(&names);
	ix_hash_digest(self->hash, T_PARENT, config);
	for (size_t i = 0; i < names.count; i++) {
		ix_hash_text(self->hash, T_LABEL, names.items[i]);
		ix_hash_text(self->hash, T_LABEL, ix_map_get(&labels, names.items[i]));
	}
	ix_hash_final(self->hash, config);
	ix_map_release(&labels);
}

/* The steps into links; the stage and its threads into ret_ends and ret_key. Of result only what its steps select is touched. */
static int chain_stage(struct compute *self, const struct ix_stage *stage, struct stage_state *result, struct link *links,
		       struct roots *ret_ends, struct ix_digest *ret_key, struct ix_err *err)
{
	int r = find_roots(self, stage, ret_ends, err);

	for (size_t i = 0; i < stage->nsteps && r == 0; i++)
		r = chain_step(self, &stage->steps[i], &result->steps[i], ret_ends, &links[i], err);
	if (r < 0)
		return r;
	hash_labels(self, stage, &ret_ends->config);
	ix_hash_digest(self->hash, T_STAGE, &ret_ends->files);
	ix_hash_digest(self->hash, T_CONFIG, &ret_ends->config);
	ix_hash_final(self->hash, ret_key);
	return 0;
}

static int compute_stage(struct compute *self, const struct ix_stage *stage, struct ix_err *err)
{
	ix_auto_free struct link *links = ix_calloc(stage->nsteps, sizeof(*links));
	struct stage_state *result = ix_calloc(1, sizeof(*result));
	struct roots ends;
	int r;

	self->state->stages[stage->index] = result;
	result->nsteps = stage->nsteps;
	result->steps = ix_calloc(stage->nsteps, sizeof(*result->steps));
	r = chain_stage(self, stage, result, links, &ends, &result->key, err);
	result->sight = self->sight;
	self->sight = (struct sight){ 0 };
	if (r < 0)
		return r;
	result->files = ends.files;
	result->config = ends.config;
	for (size_t i = 0; i < stage->nsteps; i++) {
		result->steps[i].key = links[i].key;
		result->steps[i].own = links[i].own;
	}
	return 0;
}

int ix_state_second(const struct ix_state *state, const struct ix_stage *stage, const struct ix_state_outputs *outputs,
		    struct ix_second *ret_second, struct ix_err *err)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_scoped(ix_hash_freep) struct ix_hash *own = ix_hash_new();
	/* Nothing of the state changes: what it selected is used again. */
	struct compute self = { .state = (struct ix_state *)(uintptr_t)state, .outputs = outputs, .hash = hash, .own = own };
	ix_auto_second second = { .steps = ix_calloc(stage->nsteps, sizeof(*second.steps)), .nsteps = stage->nsteps };
	ix_auto_free struct link *links = ix_calloc(stage->nsteps, sizeof(*links));
	struct roots ends;
	int r = chain_stage(&self, stage, state_of(state, stage), links, &ends, &second.key, err);

	sight_release(&self.sight);
	if (r < 0)
		return r;
	for (size_t i = 0; i < stage->nsteps; i++)
		second.steps[i] = links[i].key;
	second.files = ends.files;
	second.config = ends.config;
	*ret_second = second;
	second = (struct ix_second){ 0 };
	return 0;
}

void ix_second_release(struct ix_second *second)
{
	free(second->steps);
	*second = (struct ix_second){ 0 };
}

int ix_state_new(const struct ix_graph *graph, const bool *needed, const struct ix_state_inputs *inputs, struct ix_state **ret_state,
		 struct ix_err *err)
{
	ix_scoped(ix_state_freep) struct ix_state *state = ix_calloc(1, sizeof(*state));
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_scoped(ix_hash_freep) struct ix_hash *own = ix_hash_new();
	ix_auto_free struct ix_stage **order = ix_calloc(graph->nstages, sizeof(struct ix_stage *));
	struct compute self = { .state = state, .inputs = inputs, .hash = hash, .own = own };
	int r;

	state->graph = graph;
	state->cancel = inputs->cancel;
	state->stages = ix_calloc(graph->nstages, sizeof(struct stage_state *));
	r = ix_graph_order(graph, order, err);
	for (size_t i = 0; i < graph->nstages && r == 0; i++)
		if (needed[order[i]->index])
			r = compute_stage(&self, order[i], err);
	if (r < 0)
		return r;
	*ret_state = ix_steal(&state);
	return 0;
}
