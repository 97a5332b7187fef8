#include "base/fsutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/path.h"
#include "base/scope.h"
#include "base/str.h"

static mode_t umask_of_caller = 022;

void ix_umask_fix(void)
{
	umask_of_caller = umask(022);
}

mode_t ix_umask_of_caller(void)
{
	return umask_of_caller;
}

int ix_read_file(int dirfd, const char *path, struct ix_buf *buf, struct ix_err *err)
{
	ix_auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return ix_err_lookup(err, "open %s", path);
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat %s", path);
	if (S_ISDIR(st.st_mode))
		return ix_err_set(err, IX_EARG, "%s is a directory, not a file", path);
	if (ix_buf_read_fd(buf, fd, err) < 0)
		return ix_err_wrap(err, "%s", path);
	return 0;
}

int ix_write_all(int fd, const void *bytes, size_t len, struct ix_err *err)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ix_err_sys(err, "write");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

void ix_random_name(char out[static 13])
{
	unsigned char bytes[6];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		ix_bug("getrandom failed");
	ix_hex(bytes, sizeof(bytes), out);
}

static int fill_and_rename(int dirfd, int fd, const char *tmp, const char *path, const void *bytes, size_t len, struct ix_err *err)
{
	ix_auto_free char *dir = ix_path_dir(path);
	ix_auto_close int dir_fd = -1;

	if (ix_write_all(fd, bytes, len, err) < 0)
		return ix_err_wrap(err, "%s", path);
	if (ix_fault("file.fsync") || fsync(fd) < 0)
		return ix_err_sys(err, "fsync %s", path);
	if (ix_fault("file.rename") || renameat(dirfd, tmp, dirfd, path) < 0)
		return ix_err_sys(err, "publish %s", path);
	dir_fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || fsync(dir_fd) < 0)
		return ix_err_sys(err, "fsync %s", dir);
	return 0;
}

int ix_publish_file(int dirfd, const char *path, const void *bytes, size_t len, mode_t mode, struct ix_err *err)
{
	ix_auto_free char *tmp = NULL;
	ix_auto_close int fd = -1;
	char random[13];
	int r;

	ix_random_name(random);
	tmp = ix_asprintf("%s.tmp-%s", path, random);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & ~umask_of_caller);
	if (fd < 0)
		return ix_err_sys(err, "create %s", tmp);
	r = fill_and_rename(dirfd, fd, tmp, path, bytes, len, err);
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	return r;
}

int ix_mkdir_p(int dirfd, const char *path, mode_t mode, struct ix_err *err)
{
	ix_auto_free char *part = ix_strdup(path);

	for (char *at = part + (*part == '/'); *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdirat(dirfd, part, mode) < 0 && errno != EEXIST)
			return ix_err_sys(err, "mkdir %s", part);
		*at = '/';
	}
	if (mkdirat(dirfd, part, mode) < 0) {
		struct stat st;

		if (errno != EEXIST)
			return ix_err_sys(err, "mkdir %s", path);
		if (fstatat(dirfd, part, &st, 0) < 0 || !S_ISDIR(st.st_mode))
			return ix_err_set(err, IX_EFAIL, "mkdir %s: a file is in the way", path);
	}
	return 0;
}

/* What is left to remove: an explicit stack, because depth comes from outside. */
struct level {
	DIR *dir;
	char *name; /* in its parent */
};

static int level_push(struct level **levels, size_t *count, size_t *cap, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	DIR *dir;

	if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* A directory that may not be written cannot be emptied by an ordinary user. */
	if (fstat(fd, &st) == 0 && (st.st_mode & 0300) != 0300)
		(void)fchmod(fd, 0700);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -1;
	}
	IX_GROW(levels, *count, cap);
	(*levels)[(*count)++] = (struct level){ dir, ix_strdup(name) };
	return 0;
}

/*
 * Removing holds one descriptor for each level. Trees deeper than the descriptor limit would fail, so beyond DEPTH levels a subtree is first
 * moved up to the root of the removal, where it is met again as an ordinary entry.
 */
enum { DEPTH = 256 };

static int remove_entry(struct level **levels, size_t *count, size_t *cap, const char *name)
{
	int at = dirfd((*levels)[*count - 1].dir);
	char moved[13];

	if (unlinkat(at, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno == ENOENT ? 0 : -1;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0)
		return 0;
	if (*count < DEPTH)
		return level_push(levels, count, cap, at, name);
	ix_random_name(moved);
	return renameat(at, name, dirfd((*levels)[0].dir), moved);
}

static int remove_levels(int parent, struct level **levels, size_t *count, size_t *cap)
{
	while (*count > 0) {
		struct level *top = &(*levels)[*count - 1];
		struct dirent *entry;
		int above;

		errno = 0;
		entry = readdir(top->dir);
		if (entry) {
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			    remove_entry(levels, count, cap, entry->d_name) < 0)
				return -1;
			continue;
		}
		if (errno)
			return -1;
		above = *count > 1 ? dirfd((*levels)[*count - 2].dir) : parent;
		if (unlinkat(above, top->name, AT_REMOVEDIR) < 0) {
			if (errno != ENOTEMPTY)
				return -1;
			rewinddir(top->dir); /* a subtree was moved up behind the read position */
			continue;
		}
		closedir(top->dir);
		free(top->name);
		(*count)--;
	}
	return 0;
}

int ix_remove_tree(int dirfd, const char *path, struct ix_err *err)
{
	struct level *levels = NULL;
	size_t count = 0, cap = 0;
	int r = 0;

	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return ix_err_sys(err, "remove %s", path);
	if (level_push(&levels, &count, &cap, dirfd, path) < 0 || remove_levels(dirfd, &levels, &count, &cap) < 0)
		r = ix_err_sys(err, "remove %s", path);
	while (count > 0) {
		closedir(levels[--count].dir);
		free(levels[count].name);
	}
	free(levels);
	return r;
}

static int open_resolved(int root_fd, const char *path, int flags, uint64_t resolve, struct ix_err *err)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve | RESOLVE_NO_MAGICLINKS };
	long fd;

	/* RESOLVE_BENEATH and RESOLVE_IN_ROOT may answer EAGAIN when the tree is renamed meanwhile (openat2(2)). */
	for (int tries = 0;; tries++) {
		fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries > 100)
			break;
	}
	if (fd < 0 && errno == EXDEV)
		return ix_err_set(err, IX_EARG, "%s leads outside its root", path);
	if (fd < 0)
		return ix_err_lookup(err, "open %s", path);
	return (int)fd;
}

int ix_open_beneath(int root_fd, const char *path, int flags, struct ix_err *err)
{
	return open_resolved(root_fd, path, flags, RESOLVE_BENEATH, err);
}

int ix_open_in_root(int root_fd, const char *path, int flags, struct ix_err *err)
{
	return open_resolved(root_fd, path, flags, RESOLVE_IN_ROOT, err);
}

bool ix_path_exists(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, 0) == 0;
}
