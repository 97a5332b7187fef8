#include "copy_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "context/context.h"
#include "graph/graph.h"
#include "image/image.h"
#include "layer/layer.h"

static int prepare_dest(struct copy *self, struct ix_err *err)
{
	const char *text = self->task->operation->dest;
	ix_auto_free char *path = NULL;

	/* Nothing is the working directory. */
	self->dest_is_dir = !*text || ix_ends(text, "/") || strcmp(text, ".") == 0 || ix_ends(text, "/.");
	path = ix_path_resolve(self->task->operation->workdir, text);
	if (path[0] != '/') {
		char *rooted = ix_asprintf("/%s", path);

		free(path);
		path = rooted;
	}
	return copy_resolve_dest(self, path, &self->dest, &self->dest_exists, err);
}

/* --- owners --- */

static int prepare_owner(struct copy *self, struct ix_err *err)
{
	const char *text = self->task->operation->chown;

	if (!text)
		return 0;
	if (copy_lookup_owner(self->root_fd, self->task->build->image->nlayers == 0, text, &self->uid, &self->gid, err) < 0)
		return ix_err_wrap(err, "--chown=%s", text);
	self->has_owner = true;
	return 0;
}

static void list_heredoc(struct copy *self, const char *name)
{
	const char *text = NULL;
	ix_auto_free char *path = NULL;
	struct out *out;

	for (size_t i = 0; i < self->step->ndocs; i++)
		if (strcmp(self->step->docs[i].name, name) == 0)
			text = self->task->operation->docs.items[i];
	if (!text)
		ix_bug("heredoc %s is not there", name);
	path = copy_target(self, name);
	out = copy_put(self, path);
	out->text = ix_strdup(text);
	out->entry = (struct ix_tar_entry){ .path = ix_strdup(path),
					    .mode = ix_mode_apply(&self->task->operation->chmod, S_IFREG | 0644),
					    .size = strlen(text),
					    .mtime_s = HEREDOC_TIME,
					    .uid = self->uid,
					    .gid = self->gid };
	if (self->newest_s < HEREDOC_TIME)
		self->newest_s = HEREDOC_TIME;
}

/* Not of texts and of what is fetched alone. */
static bool takes_files(const struct ix_step *step)
{
	for (size_t i = 0; i < step->nwords; i++)
		if (!(ix_starts(step->words[i], "<<") && step->ndocs > 0) && !(step->remotes && step->remotes[i].kind != IX_REMOTE_NONE))
			return true;
	return false;
}

static int open_source(struct copy *self, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	const struct ix_source *from = &self->step->from;
	int r;

	if (!takes_files(self->step))
		return 0;
	if (from->kind == IX_SOURCE_DIR)
		return from->dir ? ix_context_open(from->dir->path, from->dir->ignore_path, NULL, &self->source, err) : 0;
	if (from->kind == IX_SOURCE_SCRATCH)
		return 0;
	if ((r = task_image(self->task, from, &self->source_image, err)) < 0 ||
	    (r = ix_rootfs_open(opts, &self->source_image, self->task->build->stage->name, &self->source_fd, err)) < 0)
		return r;
	self->source = ix_context_open_root(self->source_fd, "image");
	return 0;
}

static int list_files(struct copy *self, size_t i, struct ix_err *err)
{
	const struct ix_step *step = self->step;
	const struct ix_select_opts how = {
		.excludes = step->excludes, .nexcludes = step->nexcludes, .parents = step->parents, .cancel = self->task->image.cancel
	};
	/* What the key was computed from, where that was files. */
	const struct ix_selection *files = task_selection(self->task, i);
	int r;

	if (!self->source) {
		/* --from=scratch */
		const struct ix_image nothing = { 0 };

		r = ix_rootfs_open(&self->task->image, &nothing, self->task->build->stage->name, &self->source_fd, err);
		if (r < 0)
			return r;
		self->source = ix_context_open_root(self->source_fd, "scratch");
	}
	if (!files) {
		r = ix_context_select(self->source, step->words[i], &how, &self->selections[i], err);
		if (r < 0)
			return r;
		files = &self->selections[i];
	}
	self->matched = self->matched || files->nmatches > 0;
	return copy_list(self, self->source, files, err);
}

static int list_sources(struct copy *self, struct ix_err *err)
{
	const struct ix_step *step = self->step;

	self->selections = ix_calloc(step->nwords, sizeof(*self->selections));
	self->nselections = step->nwords;
	for (size_t i = 0; i < step->nwords; i++) {
		int r = 0;

		if (ix_starts(step->words[i], "<<") && step->ndocs > 0)
			list_heredoc(self, step->words[i] + 2);
		else if (step->remotes && step->remotes[i].kind != IX_REMOTE_NONE)
			r = copy_fetched(self, &step->remotes[i], &self->selections[i], err);
		else
			r = list_files(self, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Where nothing is copied, because no wildcard finds anything, it does not matter whether the destination can be. */
static int list_onto_dest(struct copy *self, struct ix_err *err)
{
	struct ix_err ignored;
	int r = prepare_dest(self, err);

	if (r == 0)
		return list_sources(self, err);
	if (r != -IX_EARG)
		return r;
	self->dest = ix_strdup("");
	return list_sources(self, &ignored) == 0 && !self->matched && self->by_path.count == 0 && self->narchives == 0 ? 0 : r;
}

static int copy_run(struct copy *self, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	const struct ix_image nothing = { 0 };

	/* --link: as if onto an empty tree, whatever the image below holds; so nothing of it has to be here. */
	int r = ix_rootfs_open(opts, self->step->link ? &nothing : self->task->build->image, self->task->build->stage->name, &self->root_fd,
			       err);
	if (r < 0)
		return r;
	self->root = ix_context_open_root(self->root_fd, "stage");
	if ((r = prepare_owner(self, err)) < 0 || (r = open_source(self, err)) < 0 || (r = list_onto_dest(self, err)) < 0 ||
	    (r = copy_add_parents(self, err)) < 0)
		return r;
	return self->narchives > 0 ? copy_archives(self, ret_result, err) : copy_write_layer(self, ret_result, err);
}

int copy_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err)
{
	struct copy self = { .task = task, .step = task->operation->step, .root_fd = -1, .source_fd = -1 };
	int r = copy_run(&self, ret_result, err);

	copy_release(&self);
	return r;
}
