#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/err.h"
#include "context/context.h"
#include "copy_int.h"
#include "graph/graph.h"
#include "layer/layer.h"
#include "remote/remote.h"
#include "store/store.h"

/* ADD of a URL or a repository. */

static int add_file(struct copy *self, const struct ix_remote *remote, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	struct ix_remote_file file;
	ix_auto_free char *path = NULL;
	struct out *out;
	int r = ix_remote_file(self->task->local->opts.remotes, remote, &file, err);

	if (r < 0)
		return r;
	if (self->step->unpack) {
		ix_auto_close int fd = -1;

		r = ix_blob_open(opts->store, &file.digest, &fd, NULL, err);
		if (r < 0)
			return r;
		if (ix_tar_detect(fd)) {
			*copy_archive(self) = (struct archive){ .is_blob = true, .blob = file.digest, .name = ix_strdup(remote->name) };
			return 0;
		}
	}
	path = copy_target(self, remote->name);
	out = copy_put(self, path);
	out->is_blob = true;
	out->blob = file.digest;
	out->entry = (struct ix_tar_entry){ .path = ix_strdup(path),
					    .mode = ix_mode_apply(&self->task->operation->chmod, S_IFREG | 0600),
					    .size = file.size,
					    .mtime_s = file.mtime_s,
					    .uid = self->uid,
					    .gid = self->gid };
	if (self->newest_s < file.mtime_s)
		self->newest_s = file.mtime_s;
	return 0;
}

static int add_repository(struct copy *self, const struct ix_remote *remote, struct ix_selection *files, struct ix_err *err)
{
	const struct ix_select_opts how = { .excludes = self->step->excludes,
					    .nexcludes = self->step->nexcludes,
					    .cancel = self->task->image.cancel };
	ix_auto_free char *dir = NULL;
	struct ix_context *context;
	int r;

	if ((r = ix_remote_checkout(self->task->local->opts.remotes, remote, &dir, err)) < 0 ||
	    (r = ix_context_open(dir, NULL, NULL, &context, err)) < 0)
		return r;
	copy_keep_context(self, context);
	if (ix_context_select(context, remote->subdir, &how, files, err) < 0)
		return ix_err_wrap(err, "%s", remote->url);
	return copy_list(self, context, files, err);
}

int copy_fetched(struct copy *self, const struct ix_remote *remote, struct ix_selection *files, struct ix_err *err)
{
	if (!self->task->local->opts.remotes)
		ix_bug("nobody fetches %s", remote->url);
	return remote->kind == IX_REMOTE_HTTP ? add_file(self, remote, err) : add_repository(self, remote, files, err);
}
