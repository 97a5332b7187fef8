#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "jail/syscalls_int.h"

enum { LINKS_MAX = 40 };

struct ix_stub {
	char *dir; /* resolved, as ix_mountpoint_resolve gives it */
	char *name;
	bool is_dir;
	ino_t ino;
};

int ix_mountpoint_open_resolved(int root_fd, const char *path, int flags)
{
	return sys_openat2(root_fd, *path ? path : ".", flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* --- resolving --- */

struct walk {
	int root_fd;
	struct ix_buf done; /* resolved so far: "a/b" */
	char *todo;         /* what is left, owned; at points into it */
	char *at;
	unsigned links;
};

static void walk_release(struct walk *walk)
{
	ix_buf_release(&walk->done);
	free(walk->todo);
}

static void climb(struct ix_buf *done)
{
	while (done->len > 0 && done->data[done->len - 1] != '/')
		done->len--;
	if (done->len > 0)
		done->len--;
	if (done->data)
		done->data[done->len] = '\0';
}

/* The link just appended to done: take it off again, and put its target before what is left. */
static int follow(struct walk *walk, int link_fd, struct ix_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);
	char *todo;

	if (n < 0)
		return ix_err_sys(err, "read link /%s", walk->done.data);
	target[n] = '\0';
	if (++walk->links > LINKS_MAX) {
		errno = ELOOP;
		return ix_err_sys(err, "/%s", walk->done.data);
	}
	climb(&walk->done);
	if (target[0] == '/')
		ix_buf_reset(&walk->done);
	todo = ix_asprintf("%s/%s", target, walk->at ? walk->at : "");
	free(walk->todo);
	walk->todo = walk->at = todo;
	return strlen(todo) < 2UL * PATH_MAX ? 0 : ix_err_set(err, IX_ELIMIT, "a symbolic link leads to a path that is too long");
}

static int step(struct walk *walk, const char *name, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	struct stat st;

	if (!*name || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		climb(&walk->done);
		return 0;
	}
	if (walk->done.len + strlen(name) + 2 > PATH_MAX)
		return ix_err_set(err, IX_ELIMIT, "a path is too long: %.200s...", walk->done.len ? walk->done.data : name);
	if (walk->done.len > 0)
		ix_buf_putc(&walk->done, '/');
	ix_buf_puts(&walk->done, name);
	fd = ix_mountpoint_open_resolved(walk->root_fd, walk->done.data, O_PATH | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0; /* to be made */
	if (fd < 0 || fstat(fd, &st) < 0)
		return ix_err_sys(err, "/%s", walk->done.data);
	return S_ISLNK(st.st_mode) ? follow(walk, fd, err) : 0;
}

int ix_mountpoint_resolve(int root_fd, const char *path, char **ret_path, struct ix_err *err)
{
	ix_scoped(walk_release) struct walk walk = { .root_fd = root_fd, .todo = ix_strdup(path) };
	char *name;
	int r;

	walk.at = walk.todo;
	while ((name = strsep(&walk.at, "/"))) {
		r = step(&walk, name, err);
		if (r < 0)
			return r;
	}
	*ret_path = walk.done.data ? ix_buf_steal(&walk.done) : ix_strdup("");
	return 0;
}

/* --- making --- */

/* Modes are set apart from making: the umask of whoever runs ix must not show in an image. */
static int make_entry(int dir_fd, const char *name, bool is_dir)
{
	ix_auto_close int fd = -1;

	if (is_dir && mkdirat(dir_fd, name, 0700) < 0)
		return -1;
	fd = is_dir ? openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
		    : openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : fchmod(fd, is_dir ? 0755 : 0644);
}

static void note(struct ix_stubs *stubs, int dir_fd, const char *dir, const char *name, bool is_dir)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	IX_GROW(&stubs->items, stubs->count, &stubs->cap);
	stubs->items[stubs->count++] = (struct ix_stub){ ix_strdup(dir), ix_strdup(name), is_dir, st.st_ino };
}

/* Is the directory the root's own, and not of something mounted on it, which other steps may have too? */
static bool of_root(int root_fd, const struct stat *dir)
{
	struct stat root;

	return fstat(root_fd, &root) == 0 && root.st_dev == dir->st_dev;
}

/*
 * What is made in a cache stays: another step may make the same at the same time, or have something mounted on it when this one ends.
 * In the root the parent gets its times back at once, not in the end: so a change that the command makes in it can be told from ours, however fast it
 * comes after it.
 */
static int make_stub(int root_fd, const char *path, bool is_dir, struct ix_stubs *stubs, struct ix_err *err)
{
	const char *name = ix_path_base(path);
	ix_auto_free char *dir = ix_strndup(path, (size_t)(name - path) - (name > path));
	ix_auto_close int dir_fd = ix_mountpoint_open_resolved(root_fd, dir, O_RDONLY | O_DIRECTORY);
	struct stat before;

	if (dir_fd < 0 || fstat(dir_fd, &before) < 0 || (make_entry(dir_fd, name, is_dir) < 0 && errno != EEXIST))
		return ix_err_sys(err, "make mount point /%s", path);
	if (!stubs || !of_root(root_fd, &before))
		return 0;
	note(stubs, dir_fd, dir, name, is_dir);
	if (futimens(dir_fd, (struct timespec[]){ before.st_atim, before.st_mtim }) < 0)
		return ix_err_sys(err, "restore times of /%s", dir);
	return 0;
}

static int make_missing(int root_fd, char *path, bool is_dir, struct ix_stubs *stubs, struct ix_err *err)
{
	for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
		ix_auto_close int fd = -1;
		int r = 0;

		if (slash)
			*slash = '\0';
		fd = ix_mountpoint_open_resolved(root_fd, path, O_PATH);
		if (fd < 0)
			r = errno == ENOENT ? make_stub(root_fd, path, slash ? true : is_dir, stubs, err) : ix_err_sys(err, "/%s", path);
		if (slash)
			*slash = '/';
		if (r < 0 || !slash)
			return r;
	}
}

int ix_mountpoint_open(int root_fd, const char *path, bool is_dir, struct ix_stubs *stubs, int *ret_fd, struct ix_err *err)
{
	ix_auto_free char *resolved = NULL;
	ix_auto_close int fd = -1;
	struct stat st;
	int r;

	if (ix_mountpoint_resolve(root_fd, path, &resolved, err) < 0)
		return ix_err_wrap(err, "mount point %s", path);
	fd = ix_mountpoint_open_resolved(root_fd, resolved, O_PATH);
	if (fd < 0 && errno == ENOENT) {
		r = make_missing(root_fd, resolved, is_dir, stubs, err);
		if (r < 0)
			return r;
		fd = ix_mountpoint_open_resolved(root_fd, resolved, O_PATH);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return ix_err_sys(err, "mount point %s", path);
	if (S_ISDIR(st.st_mode) != is_dir)
		return ix_err_set(err, IX_EARG, "cannot mount on %s: it is a %s, and what is mounted is a %s", path,
				  is_dir ? "file" : "directory", is_dir ? "directory" : "file");
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

/* --- taking away --- */

static int remove_stub(int root_fd, const struct ix_stub *stub, struct ix_err *err)
{
	ix_auto_close int dir_fd = ix_mountpoint_open_resolved(root_fd, stub->dir, O_RDONLY | O_DIRECTORY);
	struct stat st, dir;

	if (dir_fd < 0 || fstat(dir_fd, &dir) < 0 || fstatat(dir_fd, stub->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* the command removed it, or put something else in its way */
	if (st.st_ino != stub->ino || S_ISDIR(st.st_mode) != stub->is_dir || (!stub->is_dir && st.st_size > 0))
		return 0;
	if (unlinkat(dir_fd, stub->name, stub->is_dir ? AT_REMOVEDIR : 0) < 0) {
		if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT)
			return 0;
		return ix_err_sys(err, "remove mount point /%s/%s", stub->dir, stub->name);
	}
	if (futimens(dir_fd, (struct timespec[]){ dir.st_atim, dir.st_mtim }) < 0)
		return ix_err_sys(err, "restore times of /%s", stub->dir);
	return 0;
}

int ix_stubs_remove(int root_fd, struct ix_stubs *stubs, struct ix_err *err)
{
	struct ix_err ignored;
	int r = 0;

	for (size_t i = stubs->count; i-- > 0;) {
		int failed = remove_stub(root_fd, &stubs->items[i], r < 0 ? &ignored : err);

		r = r < 0 ? r : failed;
	}
	ix_stubs_release(stubs);
	return r;
}

void ix_stubs_release(struct ix_stubs *stubs)
{
	for (size_t i = 0; i < stubs->count; i++) {
		free(stubs->items[i].dir);
		free(stubs->items[i].name);
	}
	free(stubs->items);
	*stubs = (struct ix_stubs){ 0 };
}
