#include "layer/settle_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "layer/tar_int.h"

/* Marks of overlayfs say what the directory is; labels of security modules cannot be taken off, and nobody sees them in a step. */
static bool stays(const char *name)
{
	return tar_carries_xattr(name) || ix_starts(name, "trusted.overlay.") || ix_starts(name, "user.overlay.") ||
	       (ix_starts(name, "security.") && strcmp(name, "security.capability") != 0);
}

static int strip_xattrs(int fd, const struct stat *st, const char *path, struct ix_err *err)
{
	char names[4096];
	ssize_t n = flistxattr(fd, names, sizeof(names));
	bool had_list = false;

	if (n < 0)
		return errno == ENOTSUP ? 0 : ix_err_sys(err, "attributes of /%s", path);
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		if (stays(name))
			continue;
		if (fremovexattr(fd, name) < 0 && errno != ENODATA)
			return ix_err_sys(err, "attribute %s of /%s", name, path);
		had_list = had_list || ix_starts(name, "system.posix_acl_");
	}
	/* Without its access list a file has other bits for its group. */
	if (had_list && fchmod(fd, st->st_mode & 07777) < 0)
		return ix_err_sys(err, "mode of /%s", path);
	return 0;
}

int settle_open(int fd, const struct stat *st, int64_t mtime_s, const char *path, struct ix_err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime_s } };
	int r = strip_xattrs(fd, st, path, err);

	if (r < 0)
		return r;
	return futimens(fd, times) < 0 ? ix_err_sys(err, "time of /%s", path) : 0;
}

int settle_special(int dirfd, const char *name, int64_t mtime_s, const char *path, struct ix_err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime_s } };

	return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? ix_err_sys(err, "time of /%s", path) : 0;
}

int settle_root(int fd, struct ix_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat /");
	if ((st.st_uid != 0 || st.st_gid != 0) && fchown(fd, 0, 0) < 0)
		return ix_err_sys(err, "owner of /");
	int r = strip_xattrs(fd, &st, "", err);
	if (r < 0)
		return r;
	return fchmod(fd, 0755) < 0 ? ix_err_sys(err, "mode of /") : 0;
}
