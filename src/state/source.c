#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/path.h"
#include "context/context.h"
#include "io/digest.h"
#include "state_int.h"

/* A name for an external image that is the same exactly for the same image asked for. Caller frees. */
static char *image_name(const struct ix_source *source)
{
	return ix_asprintf("%s%s%s %s", source->text, source->layout_ref ? "@" : "", source->layout_ref ? source->layout_ref : "",
			   source->platform);
}

const struct ix_digest *ix_state_image(const struct ix_state *state, const struct ix_source *source)
{
	ix_auto_free char *name = image_name(source);

	return ix_map_get(&state->images, name);
}

int source_image(struct compute *self, const struct ix_source *source, const struct ix_digest **ret_digest, struct ix_err *err)
{
	ix_auto_free char *name = image_name(source);
	struct ix_digest digest, *kept = ix_map_get(&self->state->images, name);
	int r;

	if (!kept) {
		r = self->inputs->image(self->inputs->data, source, &digest, err);
		if (r < 0)
			return r;
		kept = ix_malloc(sizeof(*kept));
		*kept = digest;
		ix_map_set(&self->state->images, name, kept);
	}
	*ret_digest = kept;
	return 0;
}

int source_stage(struct compute *self, const struct ix_stage *stage, struct ix_output *ret_output, struct ix_err *err)
{
	const struct stage_state *known;

	if (self->outputs)
		return self->outputs->stage(self->outputs->data, stage, ret_output, err);
	known = state_of(self->state, stage);
	*ret_output = (struct ix_output){ .id = known->key, .files = known->files, .config = known->config };
	return 0;
}

static int from_stage(struct compute *self, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
		      struct ix_err *err)
{
	ix_auto_free char *rooted = ix_asprintf("/%s", path);
	/* "/./" in the middle of a path says which directories --parents keeps. */
	ix_auto_free char *clean = opts->parents ? ix_strdup(rooted) : ix_path_clean(rooted);
	struct ix_output output;
	struct ix_digest files;
	int r;

	if (!self->outputs) {
		r = source_stage(self, stage, &output, err);
		if (r < 0)
			return r;
		ix_hash_digest(self->own, T_FROM_STAGE, &output.files);
		ix_hash_text(self->own, T_WORD, clean);
		return 0;
	}
	/* As of a context, only the names within what was selected count. */
	r = self->outputs->files(self->outputs->data, stage, clean, opts, &files, err);
	if (r < 0)
		return r;
	ix_hash_digest(self->own, T_FROM_OUTPUT, &files);
	return 0;
}

static int from_image(struct compute *self, const struct ix_source *from, const char *path, struct ix_err *err)
{
	ix_auto_free char *rooted = ix_asprintf("/%s", path);
	const struct ix_digest *digest;
	int r = source_image(self, from, &digest, err);

	if (r < 0)
		return r;
	ix_hash_digest(self->own, T_FROM_IMAGE, digest);
	ix_hash_text(self->own, T_WORD, rooted);
	return 0;
}

static int from_dir(struct compute *self, const struct ix_dir *dir, const char *path, const struct ix_select_opts *opts,
		    struct selected *selected, struct ix_err *err)
{
	struct ix_context *context;
	int r;

	if (!selected->used) {
		r = self->inputs->context(self->inputs->data, dir, &context, err);
		if (r == 0)
			r = ix_context_select(context, path, opts, &selected->files, err);
		if (r < 0)
			return r;
		selected->used = true;
	}
	ix_hash_digest(self->own, T_FROM_FILES, &selected->files.digest);
	return 0;
}

int source_hash(struct compute *self, const struct ix_source *from, const char *path, const struct ix_select_opts *opts,
		struct selected *selected, struct ix_err *err)
{
	switch (from->kind) {
	case IX_SOURCE_SCRATCH:
		return 0;
	case IX_SOURCE_STAGE:
		return from_stage(self, from->stage, path, opts, err);
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		return from_image(self, from, path, err);
	case IX_SOURCE_DIR:
		break;
	}
	return from_dir(self, from->dir, path, opts, selected, err);
}

int source_remote(struct compute *self, const struct ix_remote *remote, struct selected *selected, struct ix_err *err)
{
	int r = selected->identity ? 0 : self->inputs->remote(self->inputs->data, remote, &selected->identity, err);

	if (r < 0)
		return r;
	ix_hash_text(self->own, T_FROM_REMOTE, selected->identity);
	/* The same bytes under another name are another file. */
	ix_hash_text(self->own, T_WORD, remote->kind == IX_REMOTE_HTTP ? remote->name : remote->subdir);
	ix_hash_u64(self->own, T_COPY_OPTION);
	ix_hash_u64(self->own, (uint64_t)remote->keep_git_dir | (uint64_t)remote->no_submodules << 1);
	return 0;
}

int source_secret(struct compute *self, const char *id, struct selected *selected, struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	struct ix_digest digest;
	int r;

	if (!selected->identity && self->inputs && self->inputs->secret) {
		r = self->inputs->secret(self->inputs->data, id, &digest, err);
		if (r == -IX_ENOTFOUND)
			return 0;
		if (r < 0)
			return r;
		selected->identity = ix_strdup(ix_digest_text(&digest, text));
	}
	if (selected->identity)
		ix_hash_text(self->own, T_SECRET, selected->identity);
	return 0;
}
