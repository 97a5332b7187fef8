/* WORKDIR: the same layer as that of a COPY, of one directory. */
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/err.h"
#include "context/context.h"
#include "copy_int.h"
#include "image/image.h"
#include "layer/layer.h"

static int workdir_run(struct copy *self, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_operation *operation = self->task->operation;
	const struct ix_build *build = self->task->build;
	int r = ix_rootfs_open(&self->task->image, build->image, build->stage->name, &self->root_fd, err);

	if (r < 0)
		return r;
	self->root = ix_context_open_root(self->root_fd, "stage");
	r = copy_resolve_dest(self, operation->workdir, &self->dest, &self->dest_exists, err);
	if (r < 0)
		return r;
	self->newest_s = HEREDOC_TIME;
	if (operation->user && *operation->user &&
	    copy_lookup_owner(self->root_fd, build->image->nlayers == 0, operation->user, &self->uid, &self->gid, err) < 0)
		return ix_err_wrap(err, "USER %s", operation->user);
	if (!self->dest_exists) {
		struct out *out = copy_put(self, self->dest);

		out->entry = (struct ix_tar_entry){
			.path = ix_strdup(self->dest), .mode = S_IFDIR | 0755, .uid = self->uid, .gid = self->gid, .mtime_s = HEREDOC_TIME
		};
		r = copy_add_parents(self, err);
		if (r < 0)
			return r;
	}
	return copy_write_layer(self, ret_result, err);
}

int workdir_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err)
{
	struct copy self = { .task = task, .step = task->operation->step, .root_fd = -1, .source_fd = -1 };
	int r = workdir_run(&self, ret_result, err);

	copy_release(&self);
	return r;
}
