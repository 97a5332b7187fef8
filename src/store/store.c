#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "io/digest.h"
#include "oci/image.h"
#include "store_int.h"

static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char empty_index[] = "{\"manifests\":[],\"mediaType\":\"" IX_MEDIA_INDEX "\",\"schemaVersion\":2}";

/* Raised when unpacked layers become others: those that an older ix made are made again. */
#define LAYER_FORM "3"

static int make_layout(struct ix_store *store, struct ix_err *err)
{
	int r;

	static const char *const dirs[] = { "oci/blobs/sha256", "layers", "mounts", "corrupt", "locks", "tmp" };

	for (size_t i = 0; i < IX_ARRAY_LEN(dirs); i++)
		if ((r = ix_mkdir_p(store->fd, dirs[i], 0755, err)) < 0)
			return r;
	if (!ix_path_exists(store->fd, "oci/oci-layout") &&
	    (r = ix_publish_file(store->fd, "oci/oci-layout", layout, strlen(layout), 0644, err)) < 0)
		return r;
	if (!ix_path_exists(store->fd, "oci/index.json") &&
	    (r = ix_publish_file(store->fd, "oci/index.json", empty_index, strlen(empty_index), 0644, err)) < 0)
		return r;
	return 0;
}

static void read_boot_id(struct ix_store *store)
{
	ix_auto_buf text = IX_BUF_INIT(sizeof(store->boot_id) - 1);
	struct ix_err ignored;

	if (ix_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, &ignored) == 0)
		snprintf(store->boot_id, sizeof(store->boot_id), "%.*s " LAYER_FORM, (int)strcspn(ix_buf_str(&text), "\n"),
			 ix_buf_str(&text));
}

static void clear_tmp(struct ix_store *store)
{
	int tmp = openat(store->fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_closedir DIR *dir = tmp < 0 ? NULL : fdopendir(tmp);
	struct dirent *entry;
	struct ix_err ignored;

	/* Outside the user namespace files of its other users cannot be removed: they go the next time a build runs. */
	while (dir && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)ix_remove_tree(tmp, entry->d_name, &ignored);
}

/* Is the lock we hold that of the file that others find? Not when the store was removed while we waited for it. */
static bool still_there(const struct ix_store *store)
{
	struct stat held, found;

	return fstat(store->alive_fd, &held) == 0 && fstatat(store->fd, "locks/alive", &found, AT_SYMLINK_NOFOLLOW) == 0 &&
	       held.st_ino == found.st_ino && held.st_dev == found.st_dev;
}

/*
 * Every process holds a shared lock as long as it uses the store; who gets it alone clears what killed ones left in tmp/. The layout is made
 * under the lock, because ix_store_destroy removes it under it.
 */
static int join(struct ix_store *store, struct ix_err *err)
{
	int r;

	for (;;) {
		r = ix_mkdir_p(store->fd, "locks", 0755, err);
		if (r < 0)
			return r;
		store->alive_fd = openat(store->fd, "locks/alive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (store->alive_fd < 0 && errno == ENOENT)
			continue; /* removed between the two */
		if (store->alive_fd < 0)
			return ix_err_sys(err, "lock %s/locks/alive", store->path);
		if (flock(store->alive_fd, LOCK_EX | LOCK_NB) == 0 && still_there(store))
			clear_tmp(store);
		r = store_flock(store, "locks/alive", store->alive_fd, LOCK_SH, err);
		if (r < 0)
			return r;
		if (still_there(store))
			return make_layout(store, err);
		close(store->alive_fd);
		store->alive_fd = -1;
	}
}

/* One at a time: switching a fresh database to its journal mode does not wait for others that do the same. */
static int open_db(struct ix_store *store, struct ix_err *err)
{
	ix_auto_close int fd = openat(store->fd, "locks/db", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return ix_err_sys(err, "lock %s/locks/db", store->path);
	int r = store_flock(store, "locks/db", fd, LOCK_EX, err);
	if (r < 0)
		return r;
	return store_db_open(store, err);
}

/* Where it lies is made as mkdir(1) would; what is in it is nobody else's: layers have setuid files, device nodes, and places all may write. */
static int make_top(const char *path, struct ix_err *err)
{
	ix_auto_free char *parent = ix_path_dir(path);
	int r;

	if (*parent && (r = ix_mkdir_p(AT_FDCWD, parent, 0777 & ~ix_umask_of_caller(), err)) < 0)
		return r;
	return mkdir(path, 0700) < 0 && errno != EEXIST ? ix_err_sys(err, "mkdir %s", path) : 0;
}

/* Those that older versions made could be entered by all. */
static int tighten(const struct ix_store *store, struct ix_err *err)
{
	struct stat st;

	if (fstat(store->fd, &st) < 0)
		return ix_err_sys(err, "store %s", store->path);
	if (geteuid() != 0 && st.st_uid != geteuid())
		return ix_err_set(err, IX_EFAIL, "store %s belongs to another user (%u): name one of your own with --store", store->path,
				  st.st_uid);
	if ((st.st_mode & 077) && fchmod(store->fd, st.st_mode & 0700) < 0)
		return ix_err_sys(err, "store %s: close it to others", store->path);
	return 0;
}

int ix_store_open(const char *path, const struct ix_store_listener *listener, struct ix_store **ret_store, struct ix_err *err)
{
	ix_scoped(ix_store_closep) struct ix_store *store = ix_calloc(1, sizeof(*store));

	store->path = ix_path_clean(path);
	store->fd = store->blobs_fd = store->alive_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->checked_lock, NULL);
	if (listener)
		store->listener = *listener;
	read_boot_id(store);
	if (make_top(store->path, err) < 0)
		return ix_err_wrap(err, "store");
	store->fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->fd < 0)
		return ix_err_sys(err, "store %s", store->path);
	int r = tighten(store, err);
	if (r < 0)
		return r;
	if (join(store, err) < 0)
		return ix_err_wrap(err, "store %s", store->path);
	store->blobs_fd = openat(store->fd, "oci/blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->blobs_fd < 0)
		return ix_err_sys(err, "store %s/oci/blobs/sha256", store->path);
	r = open_db(store, err);
	if (r < 0)
		return r;
	*ret_store = ix_steal(&store);
	return 0;
}

void ix_store_close(struct ix_store *store)
{
	if (!store)
		return;
	sqlite3_close(store->db);
	ix_closep(&store->alive_fd);
	ix_closep(&store->blobs_fd);
	ix_closep(&store->fd);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->checked_lock);
	blob_checked_release(store);
	free(store->path);
	free(store);
}

/* Commands that only look are gone in a moment; builds are not. */
static int wait_alone(struct ix_store *store, struct ix_err *err)
{
	enum { TRIES = 50, PAUSE_MS = 20 };

	for (int i = 0; i < TRIES; i++) {
		if (flock(store->alive_fd, LOCK_EX | LOCK_NB) == 0)
			return still_there(store) ? 0
						  : ix_err_set(err, IX_EEXIST, "store %s is being removed by another process", store->path);
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return ix_err_set(err, IX_EEXIST, "store %s is in use: builds or other commands of ix run in it; wait for them, or stop them",
			  store->path);
}

int ix_store_destroy(struct ix_store *store, struct ix_err *err)
{
	/* What is known goes first: of a removal that was interrupted nothing is found that is only half there. The lock goes last. */
	static const char *const parts[] = {
		"ix.db-wal", "ix.db-shm", "ix.db", "stat", "layers", "oci", "mounts", "corrupt", "tmp", "locks"
	};
	int r = wait_alone(store, err);

	if (r < 0)
		return r;
	sqlite3_close(store->db);
	store->db = NULL;
	for (size_t i = 0; i < IX_ARRAY_LEN(parts); i++)
		if (ix_remove_tree(store->fd, parts[i], err) < 0)
			return ix_err_wrap(err, "store %s", store->path);
	return 0;
}

const char *ix_store_path(const struct ix_store *store)
{
	return store->path;
}

char *ix_store_sub(const struct ix_store *store, const char *name)
{
	return ix_asprintf("%s/%s", store->path, name);
}

int ix_store_tmpdir(struct ix_store *store, char **ret_path, struct ix_err *err)
{
	ix_auto_free char *path = NULL;
	char random[13];

	ix_random_name(random);
	path = ix_asprintf("%s/tmp/%s", store->path, random);
	if (mkdir(path, 0755) < 0)
		return ix_err_sys(err, "mkdir %s", path);
	*ret_path = ix_steal(&path);
	return 0;
}

/* --- unpacked layers --- */

/* 1: made in this boot; 0: not, so a crash may have taken some of its files. */
static int layer_is_sound(struct ix_store *store, const struct ix_digest *diff_id, struct ix_err *err)
{
	auto_query q = { 0 };
	int r;

	r = query_begin(store, "SELECT boot FROM layers WHERE diff_id = ?", &q, err);
	if (r < 0)
		return r;
	query_digest(&q, 1, diff_id);
	r = query_step(&q, err);
	if (r <= 0)
		return r;
	return strcmp((const char *)sqlite3_column_text(q.stmt, 0), store->boot_id) == 0;
}

static char *layer_path(const struct ix_store *store, const struct ix_digest *diff_id)
{
	char hex[IX_DIGEST_HEX + 1];

	/* 32 digits: unique for all purposes, and short in an overlay's option string. */
	return ix_asprintf("%s/layers/%.32s", store->path, ix_digest_hex(diff_id, hex));
}

int ix_layer_dir(struct ix_store *store, const struct ix_digest *diff_id, char **ret_path, struct ix_err *err)
{
	ix_auto_free char *path = layer_path(store, diff_id);
	int sound;

	if (!ix_path_exists(AT_FDCWD, path))
		return ix_err_set(err, IX_ENOTFOUND, "layer is not unpacked");
	sound = layer_is_sound(store, diff_id, err);
	if (sound < 0)
		return sound;
	if (!sound)
		return ix_err_set(err, IX_ENOTFOUND, "layer was unpacked before the machine restarted");
	*ret_path = ix_steal(&path);
	return 0;
}

static int record_layer(struct ix_store *store, const struct ix_digest *diff_id, struct ix_err *err)
{
	auto_query q = { 0 };
	int r = query_begin(store, "INSERT OR REPLACE INTO layers VALUES(?, ?)", &q, err);

	if (r < 0)
		return r;
	query_digest(&q, 1, diff_id);
	query_text(&q, 2, store->boot_id);
	return query_step(&q, err);
}

int ix_layer_dir_commit(struct ix_store *store, const char *dir, const struct ix_digest *diff_id, struct ix_err *err)
{
	ix_auto_free char *path = layer_path(store, diff_id);
	ix_auto_free char *there = NULL;
	ix_auto_close int lock = -1;
	int r = ix_store_lock(store, "layer", diff_id, NULL, &lock, err);

	if (r < 0)
		return r;
	if (ix_layer_dir(store, diff_id, &there, err) == 0)
		return ix_remove_tree(AT_FDCWD, dir, err);
	if (err->code != IX_ENOTFOUND)
		return ix_err_code(err);
	r = ix_remove_tree(AT_FDCWD, path, err);
	if (r < 0)
		return r;
	if (ix_fault("layer.rename") || rename(dir, path) < 0)
		return ix_err_sys(err, "publish layer %s", path);
	return record_layer(store, diff_id, err);
}
