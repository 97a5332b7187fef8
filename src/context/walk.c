#include "context_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"

enum { ENTRIES_MAX = 5000000, DEPTH_MAX = 1000 };

/* A directory being read. Its names are sorted by qsort at the end, over whole paths, so the order of getdents does not matter. */
struct level {
	DIR *dir;
	char *path;
	bool listed; /* it is among the entries */
};

struct walk {
	const struct ix_context *context;
	struct ix_selection *selection;
	size_t *cap;
	size_t root_len; /* of the match's path, with its slash */
	struct level *levels;
	size_t nlevels, levels_cap;
};

static int read_link(int dirfd, const char *name, const char *path, char **ret_target, struct ix_err *err)
{
	char target[4097];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

	if (n < 0)
		return ix_err_sys(err, "read link %s", path);
	if (n == (ssize_t)sizeof(target) - 1)
		return ix_err_set(err, IX_ELIMIT, "link %s has too long a target", path);
	*ret_target = ix_strndup(target, (size_t)n);
	return 0;
}

static uint32_t mode_of(const struct ix_context *context, uint32_t mode)
{
	if (!context->git_modes || (!S_ISREG(mode) && !S_ISDIR(mode)))
		return mode;
	return (mode & S_IFMT) | (S_ISDIR(mode) || (mode & S_IXUSR) ? 0755 : 0644);
}

/* As git has it: within the clock's granularity a second change leaves the same times. */
static bool is_fresh(const struct stat *st)
{
	enum { SETTLED_S = 2 };
	int64_t settled = ix_time_s() - SETTLED_S;

	return st->st_mtim.tv_sec > settled || st->st_ctim.tv_sec > settled;
}

static int add_entry(struct walk *walk, int dirfd, const char *name, const struct stat *st, char *path_take, struct ix_err *err)
{
	struct ix_selection *selection = walk->selection;
	size_t len = strlen(path_take);
	struct ix_entry entry = {
		.path = path_take,
		.name = len > walk->root_len ? path_take + walk->root_len : path_take + len,
		.mode = mode_of(walk->context, st->st_mode),
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_s = st->st_ctim.tv_sec,
		.ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
		.fresh = is_fresh(st),
		.rdev = st->st_rdev,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.nlink = (uint32_t)st->st_nlink,
	};

	if (selection->nentries >= ENTRIES_MAX) {
		free(path_take);
		return ix_err_set(err, IX_ELIMIT, "%s holds more than %d files", walk->context->label, ENTRIES_MAX);
	}
	/* As docker's client sends it. */
	if (S_ISSOCK(st->st_mode)) {
		entry.mode = S_IFREG | (st->st_mode & 07777);
		entry.socket = true;
	}
	int r = S_ISLNK(st->st_mode) ? read_link(dirfd, name, path_take, &entry.link, err) : 0;
	if (r < 0) {
		free(path_take);
		return r;
	}
	IX_GROW(&selection->entries, selection->nentries, walk->cap);
	selection->entries[selection->nentries++] = entry;
	selection->bytes += entry.size;
	return 0;
}

static int push(struct walk *walk, int dirfd, const char *name, const char *path, bool listed, struct ix_err *err)
{
	int fd;
	DIR *dir;
	int r;

	if (walk->nlevels >= DEPTH_MAX)
		return ix_err_set(err, IX_ELIMIT, "%s is nested deeper than %d directories", path, DEPTH_MAX);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ix_err_sys(err, "open %s", path);
	dir = fdopendir(fd);
	if (!dir) {
		r = ix_err_sys(err, "read %s", path);
		close(fd);
		return r;
	}
	IX_GROW(&walk->levels, walk->nlevels, &walk->levels_cap);
	walk->levels[walk->nlevels++] = (struct level){ dir, ix_strdup(path), listed };
	return 0;
}

static void pop(struct walk *walk)
{
	struct level *top = &walk->levels[--walk->nlevels];

	closedir(top->dir);
	free(top->path);
}

/* Ignored directories on the way to what is not: with it they appear, as they are. */
static int list_levels(struct walk *walk, struct ix_err *err)
{
	for (size_t i = 0; i < walk->nlevels; i++) {
		struct level *level = &walk->levels[i];
		struct stat st;
		int r;

		if (level->listed)
			continue;
		if (fstat(dirfd(level->dir), &st) < 0)
			return ix_err_sys(err, "stat %s", level->path);
		level->listed = true;
		r = add_entry(walk, -1, NULL, &st, ix_strdup(level->path), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int visit(struct walk *walk, const char *name, struct ix_err *err)
{
	struct level *top = &walk->levels[walk->nlevels - 1];
	ix_auto_free char *path = top->path[0] ? ix_asprintf("%s/%s", top->path, name) : ix_strdup(name);
	int fd = dirfd(top->dir);
	bool visible = context_visible(walk->context, path);
	struct stat st;
	int r = 0;

	/* An ignored directory may still hold files that an exception brings back: then it is walked, and appears when there are any. */
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ix_err_sys(err, "stat %s", path);
	if (visible && (!S_ISSOCK(st.st_mode) || walk->context->owns_fd)) {
		r = list_levels(walk, err);
		if (r == 0)
			r = add_entry(walk, fd, name, &st, ix_strdup(path), err);
	}
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode) || (!visible && !ix_ignore_has_exceptions(walk->context->ignore)))
		return 0;
	return push(walk, fd, name, path, visible, err);
}

static int run(struct walk *walk, const struct ix_cancel *cancel, struct ix_err *err)
{
	int r;

	while (walk->nlevels > 0) {
		struct level *top = &walk->levels[walk->nlevels - 1];
		struct dirent *entry;

		errno = 0;
		entry = readdir(top->dir);
		if (!entry && errno)
			return ix_err_sys(err, "read %s", top->path);
		if (!entry) {
			pop(walk);
			r = ix_cancel_check(cancel, err);
			if (r < 0)
				return r;
			continue;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && (r = visit(walk, entry->d_name, err)) < 0)
			return r;
	}
	return 0;
}

/* By path bytes with '/' lowest, so that a directory's contents follow it directly. */
static int compare_paths(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const struct ix_entry *)a)->path;
	const unsigned char *y = (const unsigned char *)((const struct ix_entry *)b)->path;

	while (*x && *x == *y)
		x++, y++;
	if (*x == *y)
		return 0;
	if (!*x || !*y)
		return *x ? 1 : -1;
	if (*x == '/' || *y == '/')
		return *x == '/' ? -1 : 1;
	return *x < *y ? -1 : 1;
}

void context_sort(struct ix_selection *selection, size_t first, size_t offset)
{
	qsort(selection->entries + first, selection->nentries - first, sizeof(*selection->entries), compare_paths);
	for (size_t i = first; i < selection->nentries; i++) {
		struct ix_entry *entry = &selection->entries[i];
		size_t len = strlen(entry->path);

		entry->name = entry->path + (len > offset ? offset : len);
	}
}

void context_drop(struct ix_selection *selection, size_t i)
{
	free(selection->entries[i].path);
	free(selection->entries[i].link);
	memmove(&selection->entries[i], &selection->entries[i + 1], (selection->nentries - i - 1) * sizeof(*selection->entries));
	selection->nentries--;
}

int context_add(const struct ix_context *context, const char *path, struct ix_selection *selection, size_t *cap, struct ix_err *err)
{
	struct walk walk = { .context = context, .selection = selection, .cap = cap };
	ix_auto_close int fd = ix_open_beneath(context->root_fd, path, O_PATH | O_NOFOLLOW, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat %s", path);
	return add_entry(&walk, fd, "", &st, ix_strdup(path), err);
}

int context_walk(const struct ix_context *context, const char *path, struct ix_selection *selection, size_t *cap,
		 const struct ix_cancel *cancel, struct ix_err *err)
{
	struct walk walk = { .context = context, .selection = selection, .cap = cap, .root_len = path[0] ? strlen(path) + 1 : 0 };
	size_t first = selection->nentries;
	ix_auto_close int fd = ix_open_beneath(context->root_fd, path, O_PATH | O_NOFOLLOW, err);
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat %s", path);
	if (S_ISDIR(st.st_mode)) {
		ix_auto_close int dir = ix_open_beneath(context->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);

		r = dir < 0 ? dir : add_entry(&walk, fd, ".", &st, ix_strdup(path), err);
		if (r == 0)
			r = push(&walk, dir, ".", path, true, err);
		if (r == 0)
			r = run(&walk, cancel, err);
		while (walk.nlevels > 0)
			pop(&walk);
		free(walk.levels);
		if (r < 0)
			return r;
		qsort(selection->entries + first, selection->nentries - first, sizeof(*selection->entries), compare_paths);
		return 0;
	}
	return add_entry(&walk, fd, "", &st, ix_strdup(path), err);
}

/* A file that was named itself stays. */
void context_drop_excluded(struct ix_selection *selection, size_t first, const struct ix_ignore *excludes)
{
	size_t kept = first;

	for (size_t i = first; excludes && i < selection->nentries; i++) {
		struct ix_entry *entry = &selection->entries[i];

		if (*entry->name && ix_ignore_match(excludes, entry->name)) {
			free(entry->path);
			free(entry->link);
		} else {
			selection->entries[kept++] = *entry;
		}
	}
	if (excludes)
		selection->nentries = kept;
}
