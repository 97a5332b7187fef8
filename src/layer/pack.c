#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "base/str.h"
#include "layer/settle_int.h"
#include "layer/tar_int.h"

enum { DEPTH_MAX = 1000 };

/* A directory on the way: its names, sorted, and how far we are. */
struct level {
	int fd;
	char *path;
	struct ix_strv names;
	size_t next;
	struct stat st;
	bool opaque;
	bool is_root;
	bool pending; /* its own entry has not been written: it may be unchanged */
};

struct pack {
	struct ix_layer_writer *layer;
	int lower_fd; /* -1: none */
	bool overlay; /* the tree is an overlay upper */
	const struct ix_cancel *cancel;
	struct level *levels;
	size_t nlevels, cap;
	struct ix_map links; /* "dev:ino" -> path of the first name of a file with several */
	size_t entries;
};

static int read_names(int fd, const char *path, struct ix_strv *names, struct ix_err *err)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_closedir DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	if (!dir)
		return ix_err_sys(err, "read directory /%s", path);
	while (errno = 0, (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ix_strv_add(names, entry->d_name);
	if (errno)
		return ix_err_sys(err, "read directory /%s", path);
	ix_strv_sort(names);
	return 0;
}

bool ix_layer_is_opaque(int fd)
{
	char value[4];

	return (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) > 0 && value[0] == 'y') ||
	       (fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) > 0 && value[0] == 'y');
}

/* Is the directory below the same but for what happened inside it? */
static bool unchanged_below(const struct pack *self, const char *path, int fd)
{
	struct ix_err ignored;
	ix_auto_close int lower = -1;

	if (self->lower_fd < 0)
		return false;
	lower = ix_open_beneath(self->lower_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, &ignored);
	return lower >= 0 && ix_layer_same_dir(fd, lower);
}

static struct ix_tar_entry entry_of(const char *path, const struct stat *st)
{
	return (struct ix_tar_entry){
		.path = ix_strdup(path),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
	};
}

static int add(struct pack *self, struct ix_tar_entry *entry, int fd, struct ix_err *err)
{
	self->entries++;
	return ix_layer_add(self->layer, entry, fd, self->cancel, err);
}

/* An empty file whose name speaks: whiteouts and opaque marks. */
static int add_mark(struct pack *self, const char *dir, const char *prefix, const char *name, struct ix_err *err)
{
	struct ix_tar_entry mark = { .path = ix_asprintf("%s%s%s%s", dir, *dir ? "/" : "", prefix, name), .mode = S_IFREG };
	int r = add(self, &mark, -1, err);

	ix_tar_entry_release(&mark);
	return r;
}

/* Write the entries of directories that were held back, outermost first. The root has none of its own in a changeset. */
static int flush_dirs(struct pack *self, struct ix_err *err)
{
	for (size_t i = 0; i < self->nlevels; i++) {
		struct level *level = &self->levels[i];
		struct ix_tar_entry entry;
		int r;

		if (!level->pending)
			continue;
		level->pending = false;
		entry = entry_of(level->path, &level->st);
		r = ix_xattrs_read(level->fd, level->path, &entry, err);
		if (r == 0)
			r = add(self, &entry, -1, err);
		if (r == 0 && level->opaque)
			r = add_mark(self, level->path, "", ".wh..wh..opq", err);
		ix_tar_entry_release(&entry);
		if (r < 0)
			return r;
	}
	return 0;
}

static int push(struct pack *self, int fd_take, const char *path, const struct stat *st, bool is_root, struct ix_err *err)
{
	struct level level = { .fd = fd_take, .path = ix_strdup(path), .st = *st };

	level.opaque = self->overlay && !is_root && ix_layer_is_opaque(fd_take);
	level.is_root = is_root;
	level.pending = !is_root;
	IX_GROW(&self->levels, self->nlevels, &self->cap);
	self->levels[self->nlevels++] = level;
	if (self->nlevels > DEPTH_MAX)
		return ix_err_set(err, IX_ELIMIT, "/%s is nested deeper than %d directories", path, DEPTH_MAX);
	int r = read_names(fd_take, path, &self->levels[self->nlevels - 1].names, err);
	if (r < 0)
		return r;
	if (!is_root && (level.opaque || !self->overlay || !unchanged_below(self, path, fd_take)))
		return flush_dirs(self, err);
	return 0;
}

static void pop(struct pack *self)
{
	struct level *top = &self->levels[--self->nlevels];

	close(top->fd);
	free(top->path);
	ix_strv_release(&top->names);
}

/* The innermost directory is done: what the layer does not say of it goes from the upper directory, too. */
static int leave(struct pack *self, struct ix_err *err)
{
	struct level *top = &self->levels[self->nlevels - 1];
	const struct level *parent = top->is_root ? NULL : top - 1;
	int r = 0;

	if (!self->overlay)
		return 0;
	if (top->is_root)
		r = settle_root(top->fd, err);
	else if (!top->pending)
		r = settle_open(top->fd, &top->st, tar_time(self->layer, top->st.st_mtim.tv_sec), top->path, err);
	else if (unlinkat(parent->fd, ix_path_base(top->path), AT_REMOVEDIR) < 0)
		r = ix_err_sys(err, "remove /%s, which did not change", top->path);
	return r;
}

/* The path under which the same file was packed before, or NULL after remembering this one. */
static const char *earlier_name(struct pack *self, const struct stat *st, const char *path)
{
	char key[48];
	const char *first;

	if (st->st_nlink < 2)
		return NULL;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	first = ix_map_get(&self->links, key);
	if (!first)
		ix_map_set(&self->links, key, ix_strdup(path));
	return first;
}

static int add_regular(struct pack *self, int dirfd, const char *name, const char *path, const struct stat *st, struct ix_err *err)
{
	const char *first = earlier_name(self, st, path);
	struct ix_tar_entry entry = entry_of(path, st);
	ix_auto_close int fd = -1;
	int r = 0;

	if (first) {
		entry.hardlink = true;
		entry.link = ix_strdup(first);
	} else {
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		entry.size = (uint64_t)st->st_size;
		r = fd < 0 ? ix_err_sys(err, "open /%s", path) : ix_xattrs_read(fd, path, &entry, err);
	}
	if (r == 0)
		r = add(self, &entry, fd, err);
	if (r == 0 && self->overlay && !first)
		r = settle_open(fd, st, tar_time(self->layer, entry.mtime_s), path, err);
	ix_tar_entry_release(&entry);
	return r;
}

static int add_special(struct pack *self, int dirfd, const char *name, const char *path, const struct stat *st, struct ix_err *err)
{
	struct ix_tar_entry entry = entry_of(path, st);
	char target[4097];
	int r;

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

		if (n < 0) {
			ix_tar_entry_release(&entry);
			return ix_err_sys(err, "read link /%s", path);
		}
		entry.link = ix_strndup(target, (size_t)n);
	}
	entry.rdev_major = major(st->st_rdev);
	entry.rdev_minor = minor(st->st_rdev);
	r = add(self, &entry, -1, err);
	if (r == 0 && self->overlay)
		r = settle_special(dirfd, name, tar_time(self->layer, entry.mtime_s), path, err);
	ix_tar_entry_release(&entry);
	return r;
}

static int visit(struct pack *self, struct level *top, const char *name, struct ix_err *err)
{
	ix_auto_free char *path = ix_asprintf("%s%s%s", top->path, *top->path ? "/" : "", name);
	int dirfd = top->fd;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ix_err_sys(err, "stat /%s", path);
	if (S_ISDIR(st.st_mode)) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		return fd < 0 ? ix_err_sys(err, "open /%s", path) : push(self, fd, path, &st, false, err);
	}
	/* A tar cannot hold one, so the layer has none. */
	if (S_ISSOCK(st.st_mode))
		return self->overlay && unlinkat(dirfd, name, 0) < 0 ? ix_err_sys(err, "remove socket /%s", path) : 0;
	int r = flush_dirs(self, err);
	if (r < 0)
		return r;
	if (self->overlay && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return add_mark(self, top->path, ".wh.", name, err);
	if (S_ISREG(st.st_mode))
		return add_regular(self, dirfd, name, path, &st, err);
	return add_special(self, dirfd, name, path, &st, err);
}

static int run(struct pack *self, int root_fd, struct ix_err *err)
{
	int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return ix_err_sys(err, "open tree");
	if (fstat(fd, &st) < 0) {
		close(fd);
		return ix_err_sys(err, "stat tree");
	}
	int r = push(self, fd, "", &st, true, err);
	if (r < 0)
		return r;
	while (self->nlevels > 0) {
		struct level *top = &self->levels[self->nlevels - 1];

		if (top->next == top->names.count) {
			r = leave(self, err);
			if (r < 0)
				return r;
			pop(self);
		} else if ((r = visit(self, top, top->names.items[top->next++], err)) < 0) {
			return r;
		}
	}
	return 0;
}

static int pack_tree(struct pack *self, int root_fd, struct ix_err *err)
{
	int r = run(self, root_fd, err);

	while (self->nlevels > 0)
		pop(self);
	free(self->levels);
	for (size_t i = 0; i < self->links.count; i++)
		free(self->links.entries[i].value);
	ix_map_release(&self->links);
	return r;
}

int ix_layer_pack_upper(struct ix_layer_writer *layer, int upper_fd, int lower_fd, const struct ix_cancel *cancel, size_t *ret_entries,
			struct ix_err *err)
{
	struct pack self = { .layer = layer, .lower_fd = lower_fd, .overlay = true, .cancel = cancel };
	int r = pack_tree(&self, upper_fd, err);

	if (r == 0)
		*ret_entries = self.entries;
	return r;
}

int ix_layer_pack_tree(struct ix_layer_writer *layer, int root_fd, const struct ix_cancel *cancel, struct ix_err *err)
{
	struct pack self = { .layer = layer, .lower_fd = -1, .cancel = cancel };

	return pack_tree(&self, root_fd, err);
}
