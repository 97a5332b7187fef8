#include "state_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"

/* Field tags of format 2: never reused, never renumbered. docs/identity.md lists them. */
enum {
	T_FORMAT = 1,
	T_PLATFORM,
	T_BASE_SCRATCH,
	T_BASE_IMAGE,
	T_BASE_STAGE,
	T_PARENT,
	T_STEP,
	T_WORD,
	T_EXEC,
	T_DOC_NAME,
	T_DOC_BODY,
	T_DOC_FLAGS,
	T_ARG_NAME,
	T_ARG_VALUE,
	T_ARG_LINK,
	T_FROM_STAGE,
	T_FROM_IMAGE,
	T_FROM_FILES,
	T_DEST,
	T_CHOWN,
	T_CHMOD,
	T_LINK,
	T_MOUNT,
	T_MOUNT_SOURCE,
	T_MOUNT_TARGET,
	T_MOUNT_ID,
	T_MOUNT_ENV,
	T_MOUNT_OPTION,
	T_NETWORK,
	T_HEALTH,
	T_STAGE,
	T_LABEL,
	T_EXCLUDE,
	T_COPY_OPTION,
	T_FROM_REMOTE,
	T_SECURITY,
	T_RUN_SETTING,
	T_SECOND,
	T_FROM_OUTPUT,
	T_SECRET,
};

struct compute {
	struct ix_state *state;
	const struct ix_state_inputs *inputs;   /* the first identity is computed ... */
	const struct ix_state_outputs *outputs; /* ... or the second, from what the first one found */
	struct ix_hash *hash;
};

static struct stage_state *state_of(const struct ix_state *state, const struct ix_stage *stage)
{
	struct stage_state *found = state->stages[stage->index];

	if (!found)
		ix_bug("stage '%s' has no key", stage->name);
	return found;
}

const struct ix_digest *ix_state_stage_key(const struct ix_state *state, const struct ix_stage *stage)
{
	return &state_of(state, stage)->key;
}

const struct ix_digest *ix_state_step_key(const struct ix_state *state, const struct ix_stage *stage, size_t step)
{
	if (step >= stage->nsteps)
		ix_bug("stage '%s' has no step %zu", stage->name, step);
	return &state_of(state, stage)->steps[step].key;
}

const struct ix_selection *ix_state_selection(const struct ix_state *state, const struct ix_stage *stage, size_t step, size_t i)
{
	const struct step_state *s = &state_of(state, stage)->steps[step];

	return i < s->nselections && s->selections[i].used ? &s->selections[i].files : NULL;
}

char *state_image_name(const struct ix_source *source)
{
	return ix_asprintf("%s%s%s %s", source->text, source->layout_ref ? "@" : "", source->layout_ref ? source->layout_ref : "",
			   source->platform);
}

const struct ix_digest *ix_state_image(const struct ix_state *state, const struct ix_source *source)
{
	ix_auto_free char *name = state_image_name(source);

	return ix_map_get(&state->images, name);
}

static int resolve_image(struct compute *self, const struct ix_source *source, const struct ix_digest **ret_digest, struct ix_err *err)
{
	ix_auto_free char *name = state_image_name(source);
	struct ix_digest digest, *kept = ix_map_get(&self->state->images, name);

	if (!kept) {
		if (self->inputs->image(self->inputs->data, source, &digest, err) < 0)
			return -(int)err->code;
		kept = ix_malloc(sizeof(*kept));
		*kept = digest;
		ix_map_set(&self->state->images, name, kept);
	}
	*ret_digest = kept;
	return 0;
}

/* A place in the Dockerfile before an error that does not name one yet. */
static int at(struct ix_err *err, const struct ix_pos *pos, const char *what)
{
	if (pos->file)
		return ix_err_wrap(err, "%s:%u:%u: %s", pos->file, pos->line, pos->column, what);
	return ix_err_wrap(err, "%s", what);
}

/* A stage: by its key, or by what came out of it. */
static int hash_stage(struct compute *self, uint32_t tag, const struct ix_stage *stage, struct ix_err *err)
{
	struct ix_digest output;

	if (!self->outputs) {
		ix_hash_digest(self->hash, tag, ix_state_stage_key(self->state, stage));
		return 0;
	}
	if (self->outputs->stage(self->outputs->data, stage, &output, err) < 0)
		return -(int)err->code;
	ix_hash_digest(self->hash, tag, &output);
	return 0;
}

static int hash_base(struct compute *self, const struct ix_stage *stage, struct ix_err *err)
{
	const struct ix_digest *digest;

	switch (stage->base.kind) {
	case IX_SOURCE_SCRATCH:
		ix_hash_text(self->hash, T_BASE_SCRATCH, "");
		return 0;
	case IX_SOURCE_STAGE:
		return hash_stage(self, T_BASE_STAGE, stage->base.stage, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		if (resolve_image(self, &stage->base, &digest, err) < 0)
			return at(err, &stage->pos, "base image");
		ix_hash_digest(self->hash, T_BASE_IMAGE, digest);
		return 0;
	case IX_SOURCE_DIR:
		break;
	}
	return ix_err_at(err, &stage->pos, "a directory cannot be a base image");
}

static int hash_from_stage(struct compute *self, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
			   struct ix_err *err)
{
	struct ix_digest files;

	if (!self->outputs) {
		ix_hash_digest(self->hash, T_FROM_STAGE, ix_state_stage_key(self->state, stage));
		ix_hash_text(self->hash, T_WORD, path);
		return 0;
	}
	/* As of a context, only the names within what was selected count. */
	if (self->outputs->files(self->outputs->data, stage, path, opts, &files, err) < 0)
		return -(int)err->code;
	ix_hash_digest(self->hash, T_FROM_OUTPUT, &files);
	return 0;
}

/* Files, an image or a stage that a step takes something from. selection: where to keep what was selected in a directory. */
static int hash_source(struct compute *self, const struct ix_source *from, const char *path, const struct ix_select_opts *opts,
		       struct selected *selected, struct ix_err *err)
{
	const struct ix_digest *digest;
	struct ix_context *context;

	switch (from->kind) {
	case IX_SOURCE_SCRATCH:
		return 0;
	case IX_SOURCE_STAGE:
		return hash_from_stage(self, from->stage, path, opts, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		if (resolve_image(self, from, &digest, err) < 0)
			return -(int)err->code;
		ix_hash_digest(self->hash, T_FROM_IMAGE, digest);
		ix_hash_text(self->hash, T_WORD, path);
		return 0;
	case IX_SOURCE_DIR:
		break;
	}
	if (selected->used) {
		ix_hash_digest(self->hash, T_FROM_FILES, &selected->files.digest);
		return 0;
	}
	if (self->inputs->context(self->inputs->data, from->dir, &context, err) < 0 ||
	    ix_context_select(context, path, opts, &selected->files, err) < 0)
		return -(int)err->code;
	selected->used = true;
	ix_hash_digest(self->hash, T_FROM_FILES, &selected->files.digest);
	return 0;
}

static int hash_remote(struct compute *self, const struct ix_remote *remote, struct step_state *result, size_t i, struct ix_err *err)
{
	if (!result->selections[i].identity && self->inputs->remote(self->inputs->data, remote, &result->selections[i].identity, err) < 0)
		return -(int)err->code;
	ix_hash_text(self->hash, T_FROM_REMOTE, result->selections[i].identity);
	/* The same bytes under another name are another file. */
	ix_hash_text(self->hash, T_WORD, remote->kind == IX_REMOTE_HTTP ? remote->name : remote->subdir);
	ix_hash_u64(self->hash, T_COPY_OPTION);
	ix_hash_u64(self->hash, (uint64_t)remote->keep_git_dir | (uint64_t)remote->no_submodules << 1);
	return 0;
}

static void need_selections(struct step_state *result, size_t count)
{
	if (result->selections)
		return;
	result->nselections = count;
	result->selections = ix_calloc(count, sizeof(*result->selections));
}

static int hash_copy(struct compute *self, const struct ix_step *step, struct step_state *result, struct ix_err *err)
{
	const struct ix_select_opts opts = { .digest = true,
					     .excludes = step->excludes,
					     .nexcludes = step->nexcludes,
					     .parents = step->parents,
					     .cancel = self->state->cancel };

	need_selections(result, step->nwords);
	for (size_t i = 0; i < step->nwords; i++) {
		int r;

		if (ix_starts(step->words[i], "<<") && step->ndocs > 0)
			continue; /* a heredoc: its text is hashed with the others */
		if (step->remotes && step->remotes[i].kind != IX_REMOTE_NONE)
			r = hash_remote(self, &step->remotes[i], result, i, err);
		else
			r = hash_source(self, &step->from, step->words[i], &opts, &result->selections[i], err);
		if (r < 0)
			return at(err, &step->pos, ix_step_word(step->kind));
	}
	ix_hash_text(self->hash, T_DEST, step->dest);
	ix_hash_text(self->hash, T_CHOWN, step->chown);
	ix_hash_text(self->hash, T_CHMOD, step->chmod);
	for (size_t i = 0; i < step->nexcludes; i++)
		ix_hash_text(self->hash, T_EXCLUDE, step->excludes[i]);
	ix_hash_u64(self->hash, T_LINK);
	ix_hash_u64(self->hash, step->link);
	ix_hash_u64(self->hash, T_COPY_OPTION);
	ix_hash_u64(self->hash, (uint64_t)step->parents | (uint64_t)step->unpack << 1 | (uint64_t)step->no_unpack << 2);
	return 0;
}

/* As the engine finds it: by its id, else by the last element of its target. */
static const char *secret_id(const struct ix_mount *mount)
{
	return mount->id ? mount->id : mount->target ? ix_path_base(mount->target) : "";
}

/* Of a secret whose contents count, the salted digest. */
static int hash_secret(struct compute *self, const char *id, struct selected *known, struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	struct ix_digest digest;
	int r;

	if (!known->identity && self->inputs && self->inputs->secret) {
		r = self->inputs->secret(self->inputs->data, id, &digest, err);
		if (r < 0)
			return r == -IX_ENOTFOUND ? 0 : r;
		known->identity = ix_strdup(ix_digest_text(&digest, text));
	}
	if (known->identity)
		ix_hash_text(self->hash, T_SECRET, known->identity);
	return 0;
}

static int hash_mount(struct compute *self, const struct ix_step *step, size_t i, struct step_state *result, struct ix_err *err)
{
	const struct ix_select_opts opts = { .digest = true, .cancel = self->state->cancel };
	const struct ix_mount *mount = &step->mounts[i];
	const uint64_t options[] = { mount->kind, mount->size,    mount->read_only, mount->required, mount->has_mode,
				     mount->mode, mount->has_uid, mount->uid,       mount->has_gid,  mount->gid };

	ix_hash_u64(self->hash, T_MOUNT);
	for (size_t j = 0; j < IX_ARRAY_LEN(options); j++)
		ix_hash_u64(self->hash, options[j]);
	ix_hash_text(self->hash, T_MOUNT_TARGET, mount->target);
	ix_hash_text(self->hash, T_MOUNT_ENV, mount->env);
	/* What a cache mount holds is nobody's result, so neither does its id matter. Of a secret only the id does, unless somebody asked. */
	if (mount->kind == IX_MOUNT_SECRET || mount->kind == IX_MOUNT_SSH)
		ix_hash_text(self->hash, T_MOUNT_ID, mount->id);
	if (mount->kind == IX_MOUNT_SECRET && hash_secret(self, secret_id(mount), &result->selections[i], err) < 0)
		return at(err, &step->pos, "RUN --mount");
	ix_hash_text(self->hash, T_MOUNT_SOURCE, mount->source);
	if ((mount->kind == IX_MOUNT_BIND || mount->kind == IX_MOUNT_CACHE) &&
	    hash_source(self, &mount->from, mount->source ? mount->source : "", &opts, &result->selections[i], err) < 0)
		return at(err, &step->pos, "RUN --mount");
	return 0;
}

/* What the request says of RUN steps, where it differs from the default. */
static void hash_spec(struct ix_hash *hash, const struct ix_run_spec *spec)
{
	struct ix_strv settings = { 0 };

	for (size_t i = 0; i < spec->nhosts; i++) {
		ix_auto_free char *text = ix_run_host_text(&spec->hosts[i]);

		ix_strv_addf(&settings, "add-host=%s", text);
	}
	for (size_t i = 0; i < spec->nlimits; i++) {
		ix_auto_free char *text = ix_run_limit_text(&spec->limits[i]);

		ix_strv_addf(&settings, "ulimit=%s", text);
	}
	if (spec->hostname)
		ix_strv_addf(&settings, "hostname=%s", spec->hostname);
	if (spec->shm_size != IX_SHM_SIZE)
		ix_strv_addf(&settings, "shm-size=%llu", (unsigned long long)spec->shm_size);
	for (size_t i = 0; i < settings.count; i++)
		ix_hash_text(hash, T_RUN_SETTING, settings.items[i]);
	ix_strv_release(&settings);
}

static int hash_run(struct compute *self, const struct ix_step *step, struct step_state *result, struct ix_err *err)
{
	ix_hash_u64(self->hash, T_NETWORK);
	ix_hash_u64(self->hash, step->run.network);
	ix_hash_u64(self->hash, T_SECURITY);
	ix_hash_u64(self->hash, step->run.insecure);
	hash_spec(self->hash, &step->run);
	need_selections(result, step->nmounts);
	for (size_t i = 0; i < step->nmounts; i++)
		if (hash_mount(self, step, i, result, err) < 0)
			return -(int)err->code;
	return 0;
}

/* An ARG that nobody uses changes nothing: its value counts where it is seen. */
static int hash_args(struct compute *self, const struct ix_step *step, struct ix_err *err)
{
	if (step->kind == IX_STEP_ARG)
		return 0;
	for (size_t i = 0; i < step->nargs; i++) {
		const struct ix_arg *arg = &step->args[i];

		ix_hash_text(self->hash, T_ARG_NAME, arg->name);
		/* A link counts as the stage's key: the registry's and the project's names are no part of any key. */
		if (!arg->link)
			ix_hash_text(self->hash, T_ARG_VALUE, arg->value);
		else if (hash_stage(self, T_ARG_LINK, arg->link, err) < 0)
			return -(int)err->code;
	}
	return 0;
}

static void hash_docs(struct compute *self, const struct ix_step *step)
{
	for (size_t i = 0; i < step->ndocs; i++) {
		const struct ix_heredoc *doc = &step->docs[i];

		ix_hash_text(self->hash, T_DOC_NAME, doc->name);
		ix_hash_text(self->hash, T_DOC_BODY, doc->body);
		ix_hash_u64(self->hash, T_DOC_FLAGS);
		ix_hash_u64(self->hash, (uint64_t)doc->expand | (uint64_t)(unsigned)doc->fd << 8);
	}
}

static void hash_health(struct compute *self, const struct ix_step *step)
{
	const int64_t values[] = { step->interval, step->timeout, step->start_period, step->start_interval, step->retries };

	ix_hash_u64(self->hash, T_HEALTH);
	for (size_t i = 0; i < IX_ARRAY_LEN(values); i++)
		ix_hash_u64(self->hash, (uint64_t)values[i]);
}

static int hash_step(struct compute *self, const struct ix_step *step, const struct ix_digest *parent, struct step_state *result,
		     struct ix_digest *ret_key, struct ix_err *err)
{
	bool copies = step->kind == IX_STEP_COPY || step->kind == IX_STEP_ADD;

	ix_hash_digest(self->hash, T_PARENT, parent);
	ix_hash_text(self->hash, T_STEP, ix_step_word(step->kind));
	ix_hash_u64(self->hash, T_EXEC);
	ix_hash_u64(self->hash, (uint64_t)step->exec | (uint64_t)(step->escape == '`') << 1);
	for (size_t i = 0; !copies && i < (step->kind == IX_STEP_ARG ? 1 : step->nwords); i++)
		ix_hash_text(self->hash, T_WORD, step->words[i]);
	hash_docs(self, step);
	if (hash_args(self, step, err) < 0)
		return -(int)err->code;
	if (copies && hash_copy(self, step, result, err) < 0)
		return -(int)err->code;
	if (step->kind == IX_STEP_RUN && hash_run(self, step, result, err) < 0)
		return -(int)err->code;
	if (step->kind == IX_STEP_HEALTHCHECK)
		hash_health(self, step);
	ix_hash_final(self->hash, ret_key);
	return 0;
}

/* The keys of the steps into keys, and the stage's. */
static int hash_chain(struct compute *self, const struct ix_stage *stage, struct stage_state *result, struct ix_digest *keys,
		      struct ix_digest *ret_key, struct ix_err *err)
{
	struct ix_digest parent;

	ix_hash_u64(self->hash, T_FORMAT);
	ix_hash_u64(self->hash, KEY_FORMAT);
	if (self->outputs)
		ix_hash_u64(self->hash, T_SECOND);
	ix_hash_text(self->hash, T_PLATFORM, stage->platform);
	if (stage->epoch >= 0) {
		ix_hash_u64(self->hash, T_RUN_SETTING);
		ix_hash_u64(self->hash, (uint64_t)stage->epoch);
	}
	if (hash_base(self, stage, err) < 0)
		return -(int)err->code;
	ix_hash_final(self->hash, &parent);
	for (size_t i = 0; i < stage->nsteps; i++) {
		if (hash_step(self, &stage->steps[i], &parent, &result->steps[i], &keys[i], err) < 0)
			return -(int)err->code;
		parent = keys[i];
	}
	ix_hash_digest(self->hash, T_STAGE, &parent);
	for (size_t i = 0; i < 2 * stage->nlabels; i++)
		ix_hash_text(self->hash, T_LABEL, stage->labels[i]);
	ix_hash_final(self->hash, ret_key);
	return 0;
}

static int compute_stage(struct compute *self, const struct ix_stage *stage, struct ix_err *err)
{
	ix_auto_free struct ix_digest *keys = ix_calloc(stage->nsteps, sizeof(*keys));
	struct stage_state *result = ix_calloc(1, sizeof(*result));

	self->state->stages[stage->index] = result;
	result->nsteps = stage->nsteps;
	result->steps = ix_calloc(stage->nsteps, sizeof(*result->steps));
	if (hash_chain(self, stage, result, keys, &result->key, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < stage->nsteps; i++)
		result->steps[i].key = keys[i];
	return 0;
}

int ix_state_second(const struct ix_state *state, const struct ix_stage *stage, const struct ix_state_outputs *outputs,
		    struct ix_second *ret_second, struct ix_err *err)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	/* Nothing of the state changes: what it selected is used again. */
	struct compute self = { .state = (struct ix_state *)(uintptr_t)state, .outputs = outputs, .hash = hash };
	ix_auto_second second = { .steps = ix_calloc(stage->nsteps, sizeof(*second.steps)), .nsteps = stage->nsteps };

	if (hash_chain(&self, stage, state_of(state, stage), second.steps, &second.key, err) < 0)
		return -(int)err->code;
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
	ix_auto_free struct ix_stage **order = ix_calloc(graph->nstages, sizeof(struct ix_stage *));
	struct compute self = { .state = state, .inputs = inputs, .hash = hash };

	state->graph = graph;
	state->cancel = inputs->cancel;
	state->stages = ix_calloc(graph->nstages, sizeof(struct stage_state *));
	if (ix_graph_order(graph, order, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < graph->nstages; i++)
		if (needed[order[i]->index] && compute_stage(&self, order[i], err) < 0)
			return -(int)err->code;
	*ret_state = ix_steal(&state);
	return 0;
}

static void stage_state_free(struct stage_state *stage)
{
	if (!stage)
		return;
	for (size_t i = 0; i < stage->nsteps; i++) {
		for (size_t j = 0; j < stage->steps[i].nselections; j++) {
			ix_selection_release(&stage->steps[i].selections[j].files);
			free(stage->steps[i].selections[j].identity);
		}
		free(stage->steps[i].selections);
	}
	free(stage->steps);
	free(stage);
}

void ix_state_free(struct ix_state *state)
{
	if (!state)
		return;
	for (size_t i = 0; state->stages && i < state->graph->nstages; i++)
		stage_state_free(state->stages[i]);
	for (size_t i = 0; i < state->images.count; i++)
		free(state->images.entries[i].value);
	ix_map_release(&state->images);
	free(state->stages);
	free(state);
}
