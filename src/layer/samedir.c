/* Are two unpacked layers the same? A queue of directories, compared entry by entry. */
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
#include "base/str.h"
#include "layer/layer.h"

enum { CHUNK = 64 << 10 };

struct pair {
	int a, b; /* the two roots */
	struct ix_strv dirs;
	struct ix_layer_difference difference;
};

static int differ(struct pair *self, const char *path, const char *what)
{
	self->difference = (struct ix_layer_difference){ .path = ix_strdup(path), .what = what };
	return 1;
}

static int names_of(int root, const char *path, struct ix_strv *names, struct ix_err *err)
{
	int fd = ix_open_beneath(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);
	ix_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return fd < 0 ? fd : ix_err_sys(err, "read /%s", path);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ix_strv_add(names, entry->d_name);
	ix_strv_sort(names);
	return 0;
}

/* 1: other contents. */
static int compare_contents(int a, int b, struct ix_err *err)
{
	ix_auto_free char *one = ix_malloc(CHUNK);
	ix_auto_free char *two = ix_malloc(CHUNK);

	for (;;) {
		ssize_t n = read(a, one, CHUNK), m = read(b, two, CHUNK);

		if (n < 0 || m < 0)
			return ix_err_sys(err, "read");
		if (n != m || memcmp(one, two, (size_t)n) != 0)
			return 1;
		if (n == 0)
			return 0;
	}
}

static bool same_opaque(int a, int b)
{
	static const char *const names[] = { "trusted.overlay.opaque", "user.overlay.opaque" };

	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
		char one[8] = { 0 }, two[8] = { 0 };
		bool has = fgetxattr(a, names[i], one, sizeof(one)) > 0 && one[0] == 'y';

		if (has != (fgetxattr(b, names[i], two, sizeof(two)) > 0 && two[0] == 'y'))
			return false;
	}
	return true;
}

/* The names of attributes other than the file system's own. */
static void list_foreign(int fd, struct ix_strv *names)
{
	char list[4096];
	ssize_t n = flistxattr(fd, list, sizeof(list));

	for (const char *name = list; name < list + n; name += strlen(name) + 1)
		if (!ix_starts(name, "trusted.overlay.") && !ix_starts(name, "user.overlay.") && strcmp(name, "security.selinux") != 0)
			ix_strv_add(names, name);
	ix_strv_sort(names);
}

static bool same_xattrs(int a, int b)
{
	ix_auto_strv one = { 0 }, two = { 0 };

	list_foreign(a, &one);
	list_foreign(b, &two);
	if (one.count != two.count)
		return false;
	for (size_t i = 0; i < one.count; i++) {
		char left[4096], right[4096];
		ssize_t n = fgetxattr(a, one.items[i], left, sizeof(left)), m = fgetxattr(b, one.items[i], right, sizeof(right));

		if (strcmp(one.items[i], two.items[i]) != 0 || n != m || n < 0 || memcmp(left, right, (size_t)n) != 0)
			return false;
	}
	return true;
}

/* What can be said only of open files and directories. */
static int compare_open(struct pair *self, const char *path, bool is_dir, struct ix_err *err)
{
	ix_auto_close int a = ix_open_beneath(self->a, path, O_RDONLY | O_NOFOLLOW, err);
	ix_auto_close int b = a < 0 ? -1 : ix_open_beneath(self->b, path, O_RDONLY | O_NOFOLLOW, err);
	int r;

	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	if (!same_xattrs(a, b) || !same_opaque(a, b))
		return differ(self, path, "other attributes");
	r = is_dir ? 0 : compare_contents(a, b, err);
	return r > 0 ? differ(self, path, "other contents") : r;
}

static const char *stat_difference(const struct stat *a, const struct stat *b)
{
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
		return "another type of file";
	if (S_ISCHR(a->st_mode) && a->st_rdev == makedev(0, 0) && b->st_rdev == makedev(0, 0))
		return NULL; /* a whiteout has no attributes */
	if (a->st_mode != b->st_mode)
		return "another mode";
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		return "another owner";
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		return "another device";
	if (S_ISREG(a->st_mode) && a->st_nlink != b->st_nlink)
		return "another number of names";
	if (a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)
		return "another time";
	return !S_ISDIR(a->st_mode) && a->st_size != b->st_size ? "another size" : NULL;
}

static bool same_link(const struct pair *self, const char *path)
{
	char one[4097], two[4097];
	ssize_t n = readlinkat(self->a, path, one, sizeof(one)), m = readlinkat(self->b, path, two, sizeof(two));

	return n >= 0 && n == m && memcmp(one, two, (size_t)n) == 0;
}

static int compare_entry(struct pair *self, const char *path, struct ix_err *err)
{
	struct stat a, b;
	const char *what;

	if (fstatat(self->a, path, &a, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(self->b, path, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return ix_err_sys(err, "stat /%s", path);
	what = stat_difference(&a, &b);
	if (what)
		return differ(self, path, what);
	if (S_ISLNK(a.st_mode))
		return same_link(self, path) ? 0 : differ(self, path, "another link target");
	if (S_ISDIR(a.st_mode))
		ix_strv_add(&self->dirs, path);
	return S_ISDIR(a.st_mode) || S_ISREG(a.st_mode) ? compare_open(self, path, S_ISDIR(a.st_mode), err) : 0;
}

static int compare_dir(struct pair *self, const char *dir, struct ix_err *err)
{
	ix_auto_strv a = { 0 }, b = { 0 };
	int r;

	if ((r = names_of(self->a, dir, &a, err)) < 0 || (r = names_of(self->b, dir, &b, err)) < 0)
		return r;
	for (size_t i = 0; i < a.count || i < b.count; i++) {
		int order = i >= a.count ? 1 : i >= b.count ? -1 : strcmp(a.items[i], b.items[i]);
		ix_auto_free char *path = ix_asprintf("%s%s%s", dir, *dir ? "/" : "", order > 0 ? b.items[i] : a.items[i]);

		if (order != 0)
			return differ(self, path, order < 0 ? "the blob does not have it" : "only the blob has it");
		r = compare_entry(self, path, err);
		if (r != 0)
			return r;
	}
	return 0;
}

int ix_layer_compare_dirs(int a_fd, int b_fd, struct ix_layer_difference *ret_difference, struct ix_err *err)
{
	struct pair self = { .a = a_fd, .b = b_fd };
	struct stat a, b;
	int r = 0;

	if (fstat(a_fd, &a) < 0 || fstat(b_fd, &b) < 0)
		return ix_err_sys(err, "stat /");
	/* Of the root the time is when it was made. */
	a.st_mtim = b.st_mtim;
	if (stat_difference(&a, &b))
		r = differ(&self, "", stat_difference(&a, &b));
	ix_strv_add(&self.dirs, "");
	for (size_t i = 0; r == 0 && i < self.dirs.count; i++) {
		ix_auto_free char *dir = ix_strdup(self.dirs.items[i]);

		r = compare_dir(&self, dir, err);
	}
	ix_strv_release(&self.dirs);
	if (r >= 0)
		*ret_difference = self.difference;
	return r < 0 ? r : 0;
}
