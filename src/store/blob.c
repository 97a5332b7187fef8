#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/str.h"
#include "io/digest.h"
#include "io/stream.h"
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

/* --- blobs that are known to be right --- */

/* What a blob's file was when it was found to be right: another one has to be looked at again. */
struct checked {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

static bool same_file(const struct checked *checked, const struct stat *st)
{
	return checked->dev == st->st_dev && checked->ino == st->st_ino && checked->size == st->st_size &&
	       checked->mtime.tv_sec == st->st_mtim.tv_sec && checked->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static void note_checked(struct ix_store *store, const char *hex, const struct stat *st)
{
	struct checked *checked;

	pthread_mutex_lock(&store->checked_lock);
	checked = ix_map_get(&store->checked, hex);
	if (!checked) {
		checked = ix_calloc(1, sizeof(*checked));
		ix_map_set(&store->checked, hex, checked);
	}
	*checked = (struct checked){ st->st_dev, st->st_ino, st->st_size, st->st_mtim };
	pthread_mutex_unlock(&store->checked_lock);
}

static bool was_checked(struct ix_store *store, const char *hex)
{
	const struct checked *checked;
	struct stat st;
	bool same;

	if (fstatat(store->blobs_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	pthread_mutex_lock(&store->checked_lock);
	checked = ix_map_get(&store->checked, hex);
	same = checked && same_file(checked, &st);
	pthread_mutex_unlock(&store->checked_lock);
	return same;
}

void blob_checked_release(struct ix_store *store)
{
	for (size_t i = 0; i < store->checked.count; i++)
		free(store->checked.entries[i].value);
	ix_map_release(&store->checked);
	ix_map_release(&store->lost);
}

int ix_blob_is_made(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err)
{
	auto_query q = { 0 };
	int r = query_begin(store, "SELECT 1 FROM steps WHERE digest = ?", &q, err);

	if (r < 0)
		return r;
	query_digest(&q, 1, digest);
	return query_step(&q, err);
}

bool ix_blob_note_lost(struct ix_store *store, const struct ix_digest *digest)
{
	char hex[IX_DIGEST_HEX + 1];
	bool known;

	pthread_mutex_lock(&store->checked_lock);
	known = ix_map_get(&store->lost, ix_digest_hex(digest, hex)) != NULL;
	ix_map_set(&store->lost, hex, store);
	pthread_mutex_unlock(&store->checked_lock);
	return !known;
}

bool blob_is_lost(struct ix_store *store, const struct ix_digest *digest)
{
	char hex[IX_DIGEST_HEX + 1];
	bool lost;

	pthread_mutex_lock(&store->checked_lock);
	lost = store->lost.count > 0 && ix_map_get(&store->lost, ix_digest_hex(digest, hex)) != NULL;
	pthread_mutex_unlock(&store->checked_lock);
	return lost && !ix_blob_has(store, digest);
}

bool ix_blob_is_checked(struct ix_store *store, const struct ix_digest *digest)
{
	char hex[IX_DIGEST_HEX + 1];

	return was_checked(store, ix_digest_hex(digest, hex));
}

/* Not removed: whoever owns the disk may want to see what became of it. */
static int set_aside(struct ix_store *store, const char *hex, struct ix_err *err)
{
	ix_auto_free char *to = ix_asprintf("corrupt/%s", hex);

	if (renameat(store->blobs_fd, hex, store->fd, to) < 0 && errno != ENOENT && unlinkat(store->blobs_fd, hex, 0) < 0)
		return ix_err_sys(err, "set blob sha256:%s aside", hex);
	return ix_err_set(err, IX_ECORRUPT, "blob sha256:%s in %s is damaged", hex, store->path);
}

int ix_blob_check(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err)
{
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *hashing = NULL;
	char hex[IX_DIGEST_HEX + 1];
	struct ix_digest got;
	uint64_t size;
	struct stat st;
	int fd;

	if (was_checked(store, ix_digest_hex(digest, hex)))
		return 0;
	int r = ix_blob_open(store, digest, &fd, NULL, err);
	if (r < 0)
		return r;
	reader = ix_fd_reader_new_take(fd);
	hashing = ix_digest_writer_new(NULL, &got, &size);
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "blob sha256:%s", hex);
	if (ix_copy(reader, hashing, NULL, err) < 0 || ix_write_finish(hashing, err) < 0)
		return ix_err_wrap(err, "blob sha256:%s", hex);
	if (!ix_digest_eq(&got, digest))
		return set_aside(store, hex, err);
	note_checked(store, hex, &st);
	return 0;
}

/* --- */

int ix_blob_commit(struct ix_blob_writer *blob, const struct ix_digest *digest, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	int r = 0;

	ix_digest_hex(digest, hex);
	if (!was_checked(blob->store, hex)) {
		r = publish(blob, hex, err);
		if (r == 0) {
			struct stat st;

			if (fstat(blob->fd, &st) == 0)
				note_checked(blob->store, hex, &st);
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
	struct ix_err ignored;
	int r;

	ix_digest_of(bytes, len, &digest);
	if (ix_blob_check(store, &digest, &ignored) < 0) {
		r = ix_blob_begin(store, &blob, err);
		if (r < 0)
			return r;
		r = ix_write(blob->stream, bytes, len, err);
		if (r < 0) {
			ix_blob_abort(blob);
			return r;
		}
		r = ix_blob_commit(blob, &digest, err);
		if (r < 0)
			return r;
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
		return ix_err_lookup(err, "blob sha256:%s", hex);
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
	return ix_digest_eq(&got, digest) ? 0 : set_aside(store, hex, err);
}

/* --- where blobs can be had --- */

/* One fact for each: two processes that learn of different places do not overwrite each other. */
static char *place_topic(const struct ix_digest *digest)
{
	char hex[IX_DIGEST_HEX + 1];

	return ix_asprintf("blob %s", ix_digest_hex(digest, hex));
}

int ix_blob_add_place(struct ix_store *store, const struct ix_digest *digest, const char *repository, struct ix_err *err)
{
	ix_auto_free char *topic = place_topic(digest);

	return ix_store_set_fact(store, topic, repository, NULL, 0, err);
}

int ix_blob_places(struct ix_store *store, const struct ix_digest *digest, struct ix_strv *places, struct ix_err *err)
{
	ix_auto_free char *topic = place_topic(digest);
	auto_query q = { 0 };
	int r;

	r = query_begin(store, "SELECT name FROM facts WHERE topic = ? ORDER BY time DESC, name", &q, err);
	if (r < 0)
		return r;
	query_text(&q, 1, topic);
	while ((r = query_step(&q, err)) > 0)
		ix_strv_add(places, (const char *)sqlite3_column_text(q.stmt, 0));
	return r;
}
