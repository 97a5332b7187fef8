#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "sandbox_int.h"

enum { LINKS_MAX = 10 };

struct made {
	int parent_fd;
	char *name;
	bool is_dir;
	struct timespec before; /* the parent's time before we touched it, */
	struct timespec after;  /* and after: what differs from that later is somebody else's change */
};

static int parent_of(int root_fd, const char *path, struct ix_err *err)
{
	ix_auto_free char *dir = ix_path_dir(path);

	return ix_open_in_root(root_fd, dir, O_RDONLY | O_DIRECTORY, err);
}

static int make_one(struct mountpoints *points, int root_fd, const char *path, bool is_dir, struct ix_err *err)
{
	struct made made = { .parent_fd = parent_of(root_fd, path, err), .is_dir = is_dir };
	struct stat st;
	int r;

	if (made.parent_fd < 0)
		return made.parent_fd;
	if (fstat(made.parent_fd, &st) < 0) {
		close(made.parent_fd);
		return ix_err_sys(err, "stat parent of %s", path);
	}
	made.before = st.st_mtim;
	made.name = ix_strdup(ix_path_base(path));
	r = is_dir ? mkdirat(made.parent_fd, made.name, 0755) :
		     openat(made.parent_fd, made.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (r < 0 || fstat(made.parent_fd, &st) < 0) {
		ix_err_sys(err, "make mount point %s", path);
		close(made.parent_fd);
		free(made.name);
		return -(int)err->code;
	}
	if (!is_dir)
		close(r);
	made.after = st.st_mtim;
	IX_GROW(&points->items, points->count, &points->cap);
	points->items[points->count++] = made;
	return 0;
}

/* Where a dangling link at path leads, inside the root; NULL when it is no link. */
static char *dangling(int root_fd, const char *path)
{
	struct ix_err ignored;
	ix_auto_close int parent = parent_of(root_fd, path, &ignored);
	ix_auto_free char *dir = ix_path_dir(path);
	char target[4097];
	ssize_t n;

	if (parent < 0)
		return NULL;
	n = readlinkat(parent, ix_path_base(path), target, sizeof(target) - 1);
	if (n <= 0)
		return NULL;
	target[n] = '\0';
	return ix_path_resolve(dir, target);
}

int mountpoint_ensure(struct mountpoints *points, int root_fd, const char *target, bool is_dir, struct ix_err *err)
{
	ix_auto_free char *path = ix_path_clean(target);
	unsigned links = 0;

	for (;;) {
		ix_auto_close int there = ix_open_in_root(root_fd, path, O_PATH, err);
		ix_auto_free char *so_far = ix_strdup(path);
		char *link = NULL;

		if (there >= 0)
			return 0;
		if (there != -IX_ENOTFOUND)
			return ix_err_wrap(err, "mount point %s", target);
		for (char *slash = strchr(so_far + 1, '/');; slash = strchr(slash + 1, '/')) {
			ix_auto_close int fd = -1;

			if (slash)
				*slash = '\0';
			fd = ix_open_in_root(root_fd, so_far, O_PATH, err);
			link = fd < 0 ? dangling(root_fd, so_far) : NULL;
			if (link) {
				char *rest = slash ? ix_path_join(link, slash + 1) : ix_strdup(link);

				free(link);
				free(path);
				path = rest;
				break;
			}
			if (fd < 0 && make_one(points, root_fd, so_far, slash || is_dir, err) < 0)
				return -(int)err->code;
			if (!slash)
				return 0;
			*slash = '/';
		}
		if (++links > LINKS_MAX)
			return ix_err_set(err, IX_EFAIL, "mount point %s: too many links", target);
	}
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void unmake(const struct made *made)
{
	struct stat parent, st;
	bool untouched = fstat(made->parent_fd, &parent) == 0 && same_time(&parent.st_mtim, &made->after);
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, made->before };

	if (fstatat(made->parent_fd, made->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!made->is_dir && (!S_ISREG(st.st_mode) || st.st_size > 0)))
		return;
	if (unlinkat(made->parent_fd, made->name, made->is_dir ? AT_REMOVEDIR : 0) == 0 && untouched)
		(void)futimens(made->parent_fd, times);
}

static void let_go(struct mountpoints *points, bool remove)
{
	while (points->count > 0) {
		struct made *made = &points->items[--points->count];

		if (remove)
			unmake(made);
		close(made->parent_fd);
		free(made->name);
	}
	free(points->items);
	points->items = NULL;
}

void mountpoints_release(struct mountpoints *points)
{
	let_go(points, true);
}

void mountpoints_forget(struct mountpoints *points)
{
	let_go(points, false);
}
