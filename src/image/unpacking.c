/* A layer that is unpacked while it is written, because somebody is going to read it: its bytes are not compressed for that and decompressed again. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "image/image_int.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

enum { ROOM = 4 << 20 };

struct ix_unpacking {
	const struct ix_image_opts *opts;
	char *dir;
	int dir_fd;
	struct ix_writer *in;
	struct ix_reader *out;
	struct ix_strv made;
	pthread_t thread;
	bool started;
	int result;
	struct ix_err err;
};

static void *unpack(void *data)
{
	struct ix_unpacking *self = data;
	const struct ix_unpack_opts how = {
		.overlay = true, .userns = ix_sandbox_rootless(), .made = &self->made, .cancel = self->opts->cancel
	};

	self->result = ix_layer_unpack(self->out, self->dir_fd, &how, &self->err);
	/* Whoever writes is not kept waiting by one who does not read. */
	ix_reader_free(self->out);
	self->out = NULL;
	return NULL;
}

int ix_unpacking_begin(const struct ix_image_opts *opts, struct ix_unpacking **ret_unpacking, struct ix_err *err)
{
	ix_scoped(ix_unpacking_freep) struct ix_unpacking *self = ix_calloc(1, sizeof(*self));
	int r;

	self->opts = opts;
	self->dir_fd = -1;
	r = ix_store_tmpdir(opts->store, &self->dir, err);
	if (r < 0)
		return r;
	self->dir_fd = open(self->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self->dir_fd < 0)
		return ix_err_sys(err, "open %s", self->dir);
	ix_pipe_new(ROOM, &self->in, &self->out);
	if (pthread_create(&self->thread, NULL, unpack, self) != 0)
		return ix_err_set(err, IX_EFAIL, "cannot start a thread");
	self->started = true;
	*ret_unpacking = ix_steal(&self);
	return 0;
}

struct ix_writer *ix_unpacking_writer(struct ix_unpacking *self)
{
	return self->in;
}

static int end(struct ix_unpacking *self, struct ix_err *err)
{
	ix_writer_free(self->in);
	self->in = NULL;
	if (self->started)
		pthread_join(self->thread, NULL);
	self->started = false;
	return self->result < 0 ? ix_err_copy(err, &self->err) : 0;
}

int ix_unpacking_keep(struct ix_unpacking *self, const struct ix_layer_info *info, struct ix_err *err)
{
	const struct ix_layer_ref layer = { .blob = { .digest = info->digest }, .diff_id = info->diff_id };
	int r;

	if ((r = end(self, err)) < 0 || (r = unpack_check(self->opts, self->dir, info, err)) < 0 ||
	    (r = parents_note(self->opts, &layer, &self->made, err)) < 0)
		return r;
	return ix_layer_dir_commit(self->opts->store, self->dir, &info->diff_id, err);
}

void ix_unpacking_free(struct ix_unpacking *self)
{
	struct ix_err ignored;

	if (!self)
		return;
	(void)end(self, &ignored);
	ix_reader_free(self->out);
	ix_closep(&self->dir_fd);
	if (self->dir && ix_path_exists(AT_FDCWD, self->dir))
		(void)ix_remove_tree(AT_FDCWD, self->dir, &ignored);
	ix_strv_release(&self->made);
	free(self->dir);
	free(self);
}
