#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/fsutil.h"
#include "store_int.h"

struct ix_blob_writer {
	struct ix_store *store;
	struct ix_writer *stream;
	int fd;
	char *tmp; /* below the store */
};

int ix_blob_begin(struct ix_store *store, struct ix_blob_writer **ret_blob, struct ix_err *err)
{
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = ix_calloc(1, sizeof(*blob));
	char random[13];

	ix_random_name(random);
	blob->store = store;
	blob->fd = -1;
	blob->tmp = ix_asprintf("tmp/blob-%s", random);
	blob->fd = openat(store->fd, blob->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (blob->fd < 0)
		return ix_err_sys(err, "create %s/%s", store->path, blob->tmp);
	blob->stream = ix_fd_writer_new(blob->fd);
	*ret_blob = ix_steal(&blob);
	return 0;
}

struct ix_writer *ix_blob_stream(struct ix_blob_writer *blob)
{
	return blob->stream;
}

void ix_blob_abort(struct ix_blob_writer *blob)
{
	if (!blob)
		return;
	ix_writer_free(blob->stream);
	if (blob->fd >= 0) {
		close(blob->fd);
		unlinkat(blob->store->fd, blob->tmp, 0);
	}
	free(blob->tmp);
	free(blob);
}

static int publish(struct ix_blob_writer *blob, const char *hex, struct ix_err *err)
{
	struct ix_store *store = blob->store;

	if (ix_fault("blob.fsync") || fsync(blob->fd) < 0)
		return ix_err_sys(err, "fsync blob %s", hex);
	if (ix_fault("blob.rename") || renameat(store->fd, blob->tmp, store->blobs_fd, hex) < 0)
		return ix_err_sys(err, "publish blob %s", hex);
	if (ix_fault("blob.dirsync") || fsync(store->blobs_fd) < 0)
		return ix_err_sys(err, "fsync blobs");
	return 0;
}

int ix_blob_commit(struct ix_blob_writer *blob, const struct ix_digest *digest, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	int r = 0;

	ix_digest_hex(digest, hex);
	if (!ix_path_exists(blob->store->blobs_fd, hex)) {
		r = publish(blob, hex, err);
		if (r == 0) {
			close(blob->fd);
			blob->fd = -1; /* renamed: nothing to remove */
		}
	}
	ix_blob_abort(blob);
	return r;
}

int ix_blob_put(struct ix_store *store, const void *bytes, size_t len, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct ix_blob_writer *blob;
	struct ix_digest digest;

	ix_digest_of(bytes, len, &digest);
	if (!ix_blob_has(store, &digest)) {
		if (ix_blob_begin(store, &blob, err) < 0)
			return -(int)err->code;
		if (ix_write(blob->stream, bytes, len, err) < 0) {
			ix_blob_abort(blob);
			return -(int)err->code;
		}
		if (ix_blob_commit(blob, &digest, err) < 0)
			return -(int)err->code;
	}
	*ret_digest = digest;
	return 0;
}

bool ix_blob_has(struct ix_store *store, const struct ix_digest *digest)
{
	char hex[IX_DIGEST_HEX + 1];

	return ix_path_exists(store->blobs_fd, ix_digest_hex(digest, hex));
}

int ix_blob_open(struct ix_store *store, const struct ix_digest *digest, int *ret_fd, uint64_t *ret_size, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	ix_auto_close int fd = openat(store->blobs_fd, ix_digest_hex(digest, hex), O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return ix_err_sys(err, "blob sha256:%s", hex);
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "blob sha256:%s", hex);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

int ix_blob_read(struct ix_store *store, const struct ix_digest *digest, struct ix_buf *buf, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	size_t before = buf->len;
	struct ix_digest got;

	if (ix_read_file(store->blobs_fd, ix_digest_hex(digest, hex), buf, err) < 0)
		return ix_err_wrap(err, "blob");
	ix_digest_of(buf->data ? buf->data + before : "", buf->len - before, &got);
	if (!ix_digest_eq(&got, digest)) {
		/* Bitrot: gone is better than wrong, because what is gone is fetched again. */
		unlinkat(store->blobs_fd, hex, 0);
		return ix_err_set(err, IX_ECORRUPT, "blob sha256:%s in %s was damaged and has been removed: run the command again", hex,
				  store->path);
	}
	return 0;
}
