#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/str.h"
#include "io/compress.h"
#include "io/stream.h"
#include "layer/layer.h"

enum { CHUNK = 256 << 10 };

/* Times of directories are set when everything is unpacked, because each new entry changes them. */
struct dir_time {
	char *path;
	int64_t mtime_s;
};

struct unpack {
	const struct ix_unpack_opts *opts;
	struct ix_tar_reader *tar;
	int root_fd;
	char *parent; /* the directory of the last entry, and a descriptor for it: entries come grouped by directory */
	int parent_fd;
	struct dir_time *dirs;
	size_t ndirs, dirs_cap;
	char *chunk;
	uint64_t entries, bytes; /* so far */
};

static void note_made(struct unpack *self, const char *path)
{
	if (self->opts->made)
		ix_strv_add(self->opts->made, path);
}

/* The tar speaks of it after all. */
static void forget_made(struct unpack *self, const char *path)
{
	struct ix_strv *made = self->opts->made;

	for (size_t i = 0; made && i < made->count; i++) {
		if (strcmp(made->items[i], path) != 0)
			continue;
		free(made->items[i]);
		memmove(&made->items[i], &made->items[i + 1], (made->count - i - 1) * sizeof(*made->items));
		made->count--;
		return;
	}
}

/* The directory's descriptor, made with its parents when it is missing (a layer may leave out directories that exist below). */
static int open_parent(struct unpack *self, const char *path, struct ix_err *err)
{
	int r;

	if (self->parent && strcmp(self->parent, path) == 0)
		return 0;
	free(self->parent);
	self->parent = NULL;
	ix_closep(&self->parent_fd);
	self->parent_fd = ix_open_in_root(self->root_fd, path, O_PATH | O_DIRECTORY, err);
	if (self->parent_fd == -IX_ENOTFOUND) {
		ix_auto_free char *so_far = ix_strdup(path);

		/* One component at a time, each resolved inside the root. */
		for (char *at = so_far; at;) {
			char *slash = strchr(at, '/');
			ix_auto_close int above = -1;
			ix_auto_free char *dir = NULL;

			if (slash)
				*slash = '\0';
			dir = ix_path_dir(so_far);
			above = ix_open_in_root(self->root_fd, dir, O_PATH | O_DIRECTORY, err);
			if (above < 0)
				return above;
			if (mkdirat(above, ix_path_base(so_far), 0755) == 0)
				note_made(self, so_far);
			else if (errno != EEXIST)
				return ix_err_sys(err, "mkdir %s", so_far);
			if (slash)
				*slash = '/';
			at = slash ? slash + 1 : NULL;
		}
		self->parent_fd = ix_open_in_root(self->root_fd, path, O_PATH | O_DIRECTORY, err);
	}
	if (self->parent_fd < 0) {
		r = self->parent_fd;
		self->parent_fd = -1;
		return r;
	}
	self->parent = ix_strdup(path);
	return 0;
}

static int set_overlay_xattr(struct unpack *self, int dir_fd, const char *path, struct ix_err *err)
{
	ix_auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name = self->opts->userns ? "user.overlay.opaque" : "trusted.overlay.opaque";

	if (fd < 0 || fsetxattr(fd, name, "y", 1, 0) < 0)
		return ix_err_sys(err, "mark %s opaque", path);
	return 0;
}

/* Whatever is there gives way, unless both are directories. */
static int clear_way(int dir_fd, const char *name, bool want_dir, struct ix_err *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (want_dir && S_ISDIR(st.st_mode))
		return 0;
	return ix_remove_tree(dir_fd, name, err);
}

/* 1: it was a whiteout and is done; 0: an ordinary entry. */
static int whiteout(struct unpack *self, const char *name, const struct ix_tar_entry *entry, struct ix_err *err)
{
	if (!self->opts->overlay || !ix_starts(name, ".wh."))
		return 0;
	if (strcmp(name, ".wh..wh..opq") == 0) {
		int r = set_overlay_xattr(self, self->parent_fd, entry->path, err);

		return r < 0 ? r : 1;
	}
	if (ix_starts(name, ".wh..wh."))
		return 1; /* aufs' own bookkeeping */
	if (!name[4] || strcmp(name + 4, ".") == 0 || strcmp(name + 4, "..") == 0)
		return ix_err_set(err, IX_ECORRUPT, "tar: bad whiteout %s", entry->path);
	int r = clear_way(self->parent_fd, name + 4, false, err);
	if (r < 0)
		return r;
	if (mknodat(self->parent_fd, name + 4, S_IFCHR, makedev(0, 0)) < 0)
		return ix_err_sys(err, "whiteout for %s", entry->path);
	return 1;
}

static int make_file(struct unpack *self, const char *name, const struct ix_tar_entry *entry, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int fd = openat(self->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;
	int r;

	if (fd < 0)
		return ix_err_sys(err, "create %s", entry->path);
	while ((n = ix_tar_read(self->tar, self->chunk, CHUNK, err)) > 0) {
		if (ix_write_all(fd, self->chunk, (size_t)n, err) < 0)
			return ix_err_wrap(err, "%s", entry->path);
		r = ix_cancel_check(self->opts->cancel, err);
		if (r < 0)
			return r;
	}
	if (n < 0)
		return (int)n;
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

static int make_hardlink(struct unpack *self, const char *name, const struct ix_tar_entry *entry, struct ix_err *err)
{
	ix_auto_free char *dir = ix_path_dir(entry->link);
	ix_auto_close int from = ix_open_in_root(self->root_fd, dir, O_PATH | O_DIRECTORY, err);

	if (from < 0)
		return ix_err_wrap(err, "hard link %s to %s", entry->path, entry->link);
	if (linkat(from, ix_path_base(entry->link), self->parent_fd, name, 0) < 0)
		return ix_err_sys(err, "hard link %s to %s", entry->path, entry->link);
	return 0;
}

/* 1: made; 0: left out because this user may not make device nodes. */
static int make_node(struct unpack *self, const char *name, const struct ix_tar_entry *entry, struct ix_err *err)
{
	if (mknodat(self->parent_fd, name, entry->mode & (S_IFMT | 07777), makedev(entry->rdev_major, entry->rdev_minor)) == 0)
		return 1;
	if (errno == EPERM && self->opts->userns && !S_ISFIFO(entry->mode))
		return 0;
	return ix_err_sys(err, "make node %s", entry->path);
}

static int set_xattrs(const char *proc_path, const struct ix_tar_entry *entry, struct ix_err *err)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		const struct ix_xattr *x = &entry->xattrs[i];

		/* Only what belongs to the file: overlayfs' own marks would let a layer forge whiteouts. */
		if (strcmp(x->name, "security.capability") != 0 && (!ix_starts(x->name, "user.") || ix_starts(x->name, "user.overlay.")))
			continue;
		if (setxattr(proc_path, x->name, x->value, x->len, 0) < 0 && errno != ENOTSUP && errno != EPERM)
			return ix_err_sys(err, "attribute %s of %s", x->name, entry->path);
	}
	return 0;
}

/* Owner first: it clears set-id bits and capabilities. */
static int set_attributes(struct unpack *self, const char *name, const struct ix_tar_entry *entry, struct ix_err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = entry->mtime_s, .tv_nsec = 0 } };
	bool is_link = S_ISLNK(entry->mode);
	int r;

	uint32_t uid = self->opts->one_owner ? self->opts->uid : entry->uid, gid = self->opts->one_owner ? self->opts->gid : entry->gid;

	if (!self->opts->no_owners && fchownat(self->parent_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == EINVAL)
			return ix_err_set(
				err, IX_EFAIL,
				"%s belongs to %u:%u, which this user's subordinate ids do not cover: extend /etc/subuid and /etc/subgid",
				entry->path, entry->uid, entry->gid);
		return ix_err_sys(err, "owner of %s", entry->path);
	}
	if (!is_link && fchmodat(self->parent_fd, name, entry->mode & 07777, 0) < 0)
		return ix_err_sys(err, "mode of %s", entry->path);
	if (!is_link && entry->nxattrs > 0) {
		ix_auto_close int fd = openat(self->parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		char proc[64];

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		if (fd < 0)
			return ix_err_sys(err, "open %s", entry->path);
		r = set_xattrs(proc, entry, err);
		if (r < 0)
			return r;
	}
	if (!S_ISDIR(entry->mode) && utimensat(self->parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return ix_err_sys(err, "time of %s", entry->path);
	return 0;
}

static void remember_dir(struct unpack *self, const struct ix_tar_entry *entry)
{
	IX_GROW(&self->dirs, self->ndirs, &self->dirs_cap);
	self->dirs[self->ndirs++] = (struct dir_time){ ix_strdup(entry->path), entry->mtime_s };
}

/* The root itself: only its attributes. */
static int unpack_root(struct unpack *self, const struct ix_tar_entry *entry, struct ix_err *err)
{
	if (self->opts->keep_root)
		return 0;
	if (!S_ISDIR(entry->mode))
		return ix_err_set(err, IX_ECORRUPT, "tar: an entry without a name is not a directory");
	int r = open_parent(self, "", err);
	if (r < 0)
		return r;
	remember_dir(self, entry);
	return set_attributes(self, ".", entry, err);
}

static int make_entry(struct unpack *self, const char *name, const struct ix_tar_entry *entry, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	int r;

	if (entry->hardlink)
		return make_hardlink(self, name, entry, err);
	switch (entry->mode & S_IFMT) {
	case S_IFREG:
		r = make_file(self, name, entry, &fd, err);
		if (r < 0)
			return r;
		break;
	case S_IFDIR:
		if (mkdirat(self->parent_fd, name, 0700) < 0 && errno != EEXIST)
			return ix_err_sys(err, "mkdir %s", entry->path);
		remember_dir(self, entry);
		break;
	case S_IFLNK:
		if (symlinkat(entry->link, self->parent_fd, name) < 0)
			return ix_err_sys(err, "symlink %s", entry->path);
		break;
	default:
		r = make_node(self, name, entry, err);
		if (r <= 0)
			return r;
	}
	return set_attributes(self, name, entry, err);
}

static int too_much(const char *what, uint64_t limit, const char *variable, struct ix_err *err)
{
	return ix_err_set(err, IX_ELIMIT, "it unpacks to more than %llu %s: if that is meant, set %s", (unsigned long long)limit, what,
			  variable);
}

/* Before anything of the entry is written. */
static int count(struct unpack *self, const struct ix_tar_entry *entry, struct ix_err *err)
{
	const struct ix_unpack_opts *opts = self->opts;

	self->entries++;
	if (opts->max_entries && self->entries > opts->max_entries)
		return too_much("files", opts->max_entries, "IX_MAX_LAYER_FILES", err);
	if (opts->max_bytes && entry->size > opts->max_bytes - self->bytes)
		return too_much("bytes", opts->max_bytes, "IX_MAX_LAYER_SIZE", err);
	self->bytes += entry->size;
	return 0;
}

static int unpack_entry(struct unpack *self, const struct ix_tar_entry *entry, struct ix_err *err)
{
	const char *name = ix_path_base(entry->path);
	ix_auto_free char *dir = ix_path_dir(entry->path);
	int r;

	if (!entry->path[0])
		return unpack_root(self, entry, err);
	r = open_parent(self, strcmp(dir, ".") == 0 ? "" : dir, err);
	if (r < 0)
		return r;
	r = whiteout(self, name, entry, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = clear_way(self->parent_fd, name, S_ISDIR(entry->mode), err);
	if (r < 0)
		return r;
	forget_made(self, entry->path);
	return make_entry(self, name, entry, err);
}

static void set_dir_times(struct unpack *self)
{
	struct ix_err ignored;

	while (self->ndirs > 0) {
		struct dir_time *dir = &self->dirs[--self->ndirs];
		const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = dir->mtime_s } };
		ix_auto_close int fd = ix_open_beneath(self->root_fd, dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, &ignored);

		/* A directory that a later entry removed has no time to set. */
		if (fd >= 0)
			(void)futimens(fd, times);
		free(dir->path);
	}
	free(self->dirs);
}

/* What follows the end of the archive belongs to the stream's digest. */
static int drain(struct unpack *self, struct ix_reader *stream, struct ix_err *err)
{
	uint64_t max = self->opts->max_bytes;
	ssize_t n;

	while ((n = ix_read(stream, self->chunk, CHUNK, err)) > 0) {
		if (max && (uint64_t)n > max - self->bytes)
			return too_much("bytes", max, "IX_MAX_LAYER_SIZE", err);
		self->bytes += (uint64_t)n;
	}
	return (int)n;
}

void ix_unpack_limits(uint64_t compressed, uint64_t *ret_entries, uint64_t *ret_bytes)
{
	const uint64_t gib = 1 << 30, most = 256 * gib, least = 16 * gib;
	const char *files = getenv("IX_MAX_LAYER_FILES"),
		   *size = getenv("IX_MAX_LAYER_SIZE"); /* NOLINT(concurrency-mt-unsafe): nothing sets them */

	*ret_entries = 5000000;
	*ret_bytes = compressed > most / 2000 ? most : 2000 * compressed;
	*ret_bytes = *ret_bytes < least ? least : *ret_bytes;
	/* What is no number limits nothing less. */
	if (files)
		(void)ix_parse_u64(files, UINT64_MAX, ret_entries);
	if (size)
		(void)ix_parse_size(size, ret_bytes);
}

int ix_layer_unpack(struct ix_reader *stream, int root_fd, const struct ix_unpack_opts *opts, struct ix_err *err)
{
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(stream);
	struct unpack self = { .opts = opts, .tar = tar, .root_fd = root_fd, .parent_fd = -1, .chunk = ix_malloc(CHUNK) };
	const struct ix_tar_entry *entry;
	int r;

	while ((r = ix_tar_next(tar, &entry, err)) > 0) {
		r = count(&self, entry, err);
		if (r == 0)
			r = unpack_entry(&self, entry, err);
		if (r < 0 || (r = ix_cancel_check(opts->cancel, err)) < 0)
			break;
	}
	if (r == 0)
		r = drain(&self, stream, err);
	set_dir_times(&self);
	free(self.parent);
	ix_closep(&self.parent_fd);
	free(self.chunk);
	return r;
}

bool ix_tar_detect(int fd)
{
	enum { LOOK = 1 << 20 };
	ix_auto_free char *bytes = ix_malloc(LOOK);
	ssize_t n = pread(fd, bytes, LOOK, 0);
	ix_scoped(ix_reader_freep) struct ix_reader *head = n > 0 ? ix_mem_reader_new(bytes, (size_t)n) : NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *plain = head ? ix_decompress_reader_new(head) : NULL;
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = plain ? ix_tar_reader_new(plain) : NULL;
	const struct ix_tar_entry *entry;
	struct ix_err ignored;

	return tar && ix_tar_next(tar, &entry, &ignored) > 0;
}
