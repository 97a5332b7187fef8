#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "context/context.h"
#include "copy_int.h"
#include "image/image.h"
#include "io/compress.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

/* What is not an archive, and the directories on the way, written out onto the root through a tar. */
static int place_files(struct copy *self, struct ix_scratch *scratch, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	const struct ix_layer_opts plain = { .compression = IX_COMPRESSION_NONE, .epoch = -1 };
	const struct ix_unpack_opts how = { .userns = ix_sandbox_rootless(), .cancel = opts->cancel };
	ix_auto_free char *path = ix_asprintf("%s/files.tar", scratch->dir);
	ix_auto_close int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ix_scoped(ix_writer_freep) struct ix_writer *writer = NULL;
	ix_scoped(ix_layer_writer_freep) struct ix_layer_writer *tar = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	struct ix_layer_info info;
	int r;

	if (file < 0)
		return ix_err_sys(err, "create %s", path);
	writer = ix_fd_writer_new(file);
	tar = ix_layer_begin(writer, &plain);
	if ((r = copy_write(self, tar, err)) < 0 || (r = ix_layer_finish(tar, &info, err)) < 0)
		return r;
	if (lseek(file, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "seek");
	reader = ix_fd_reader_new(file);
	return ix_layer_unpack(reader, scratch->root_fd, &how, err);
}

static int unpack_archive(struct copy *self, const struct archive *archive, int dest_fd, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	struct ix_unpack_opts how = { .userns = ix_sandbox_rootless(),
				      .keep_root = true,
				      .one_owner = self->has_owner,
				      .uid = self->uid,
				      .gid = self->gid,
				      .cancel = opts->cancel };
	ix_scoped(ix_context_file_release) struct ix_context_file open = { .fd = -1 };
	ix_scoped(ix_reader_freep) struct ix_reader *file = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar = NULL;
	struct stat st;
	int r;

	if (archive->is_blob) {
		r = ix_blob_check(opts->store, &archive->blob, err);
		if (r == 0)
			r = ix_blob_open(opts->store, &archive->blob, &open.fd, NULL, err);
	} else {
		r = ix_context_open_entry(archive->context, archive->from, &open, err);
	}
	if (r < 0)
		return r;
	if (fstat(open.fd, &st) < 0)
		return ix_err_sys(err, "stat %s", archive->name);
	ix_unpack_limits((uint64_t)st.st_size, &how.max_entries, &how.max_bytes);
	file = ix_fd_reader_new(open.fd);
	tar = ix_decompress_reader_new(file);
	if (ix_layer_unpack(tar, dest_fd, &how, err) < 0)
		return ix_err_wrap(err, "unpack %s", archive->name);
	return archive->is_blob ? 0 : ix_context_close_entry(archive->context, archive->from, &open, err);
}

/* The destination and what is missing on the way, owned as --chown says. */
static int make_dest(const struct copy *self, int root_fd, struct ix_err *err)
{
	ix_auto_free char *path = ix_strdup(self->dest);

	for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdirat(root_fd, path, 0755) == 0) {
			if (self->has_owner && fchownat(root_fd, path, self->uid, self->gid, AT_SYMLINK_NOFOLLOW) < 0)
				return ix_err_sys(err, "owner of /%s", path);
		} else if (errno != EEXIST) {
			return ix_err_sys(err, "make /%s", path);
		}
		if (!slash)
			return 0;
		*slash = '/';
	}
}

int copy_archives(struct copy *self, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	ix_auto_scratch scratch = { .root_fd = -1 };
	int r;

	if ((r = ix_scratch_open(opts, self->task->build->image, self->task->build->stage->name, &scratch, err)) < 0 ||
	    (r = place_files(self, &scratch, err)) < 0)
		return r;
	{
		/* The archive sees the destination as its root: nothing in it leads outside. */
		ix_auto_close int dest = -1;

		if (*self->dest && (r = make_dest(self, scratch.root_fd, err)) < 0)
			return r;
		dest = ix_open_beneath(scratch.root_fd, self->dest, O_RDONLY | O_DIRECTORY, err);
		if (dest < 0)
			return dest;
		for (size_t i = 0; i < self->narchives; i++)
			if ((r = unpack_archive(self, &self->archives[i], dest, err)) < 0)
				return r;
	}
	return ix_scratch_commit(opts, &scratch, self->task->build->image, self->task->build->stage->name, self->task->build->stage->epoch,
				 ret_result, err);
}
