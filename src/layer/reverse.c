/* A tree again, its directories filled in the opposite order. Files are hard links to those of the original. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "layer/layer.h"

enum { DEPTH_MAX = 1000, VALUE_MAX = 65536 };

/* One directory on the way, its names in descending order. */
struct level {
	int from, to;
	struct ix_strv names;
	size_t left;
	struct stat st;
};

static int list_names(int fd, struct ix_strv *names, struct ix_err *err)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_closedir DIR *dir = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	if (!dir)
		return ix_err_sys(err, "read directory");
	while (errno = 0, (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ix_strv_add(names, entry->d_name);
	if (errno)
		return ix_err_sys(err, "read directory");
	ix_strv_sort(names);
	return 0;
}

static int copy_attributes(int from, int to, struct ix_err *err)
{
	ix_auto_free char *value = ix_malloc(VALUE_MAX);
	char names[4096];
	ssize_t n = flistxattr(from, names, sizeof(names));

	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t len = fgetxattr(from, name, value, VALUE_MAX);

		if (strncmp(name, "security.", 9) == 0 && strcmp(name, "security.capability") != 0)
			continue; /* of this machine's security modules */
		if (len < 0 || fsetxattr(to, name, value, (size_t)len, 0) < 0)
			return ix_err_sys(err, "attribute %s", name);
	}
	return 0;
}

static int push(struct level *levels, size_t *n, int from_take, int to_take, struct ix_err *err)
{
	struct level *level = &levels[(*n)++];

	*level = (struct level){ .from = from_take, .to = to_take };
	if (from_take < 0 || to_take < 0 || fstat(from_take, &level->st) < 0)
		return ix_err_sys(err, "open directory");
	int r = list_names(from_take, &level->names, err);
	if (r < 0)
		return r;
	level->left = level->names.count;
	return copy_attributes(from_take, to_take, err);
}

/* The directory's own attributes last: filling it changes its time. */
static int pop(struct level *levels, size_t *n, struct ix_err *err)
{
	struct level *level = &levels[--*n];
	const struct timespec times[2] = { level->st.st_atim, level->st.st_mtim };
	int r = 0;

	if (err && (fchown(level->to, level->st.st_uid, level->st.st_gid) < 0 || fchmod(level->to, level->st.st_mode & 07777) < 0 ||
		    futimens(level->to, times) < 0))
		r = ix_err_sys(err, "attributes of a directory");
	if (level->from >= 0)
		close(level->from);
	if (level->to >= 0)
		close(level->to);
	ix_strv_release(&level->names);
	return r;
}

static int visit(struct level *levels, size_t *n, struct ix_err *err)
{
	struct level *top = &levels[*n - 1];
	const char *name = top->names.items[--top->left];
	int from = top->from, to = top->to;
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ix_err_sys(err, "stat %s", name);
	if (!S_ISDIR(st.st_mode))
		return linkat(from, name, to, name, 0) < 0 ? ix_err_sys(err, "link %s", name) : 0;
	if (*n == DEPTH_MAX)
		return ix_err_set(err, IX_ELIMIT, "directories are nested deeper than %d", DEPTH_MAX);
	if (mkdirat(to, name, 0700) < 0)
		return ix_err_sys(err, "mkdir %s", name);
	return push(levels, n, openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
		    openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err);
}

int ix_layer_copy_reversed(const char *from, const char *to, struct ix_err *err)
{
	ix_auto_free struct level *levels = ix_calloc(DEPTH_MAX, sizeof(*levels));
	size_t n = 0;
	int r = push(levels, &n, open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err);

	while (r == 0 && n > 0)
		r = levels[n - 1].left > 0 ? visit(levels, &n, err) : pop(levels, &n, err);
	while (n > 0)
		(void)pop(levels, &n, NULL);
	return r;
}
