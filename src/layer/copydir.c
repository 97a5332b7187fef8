/* What a directory is, apart from what is in it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "layer/layer.h"

int ix_layer_copy_dir(int from_fd, int to_fd, const char *path, struct ix_err *err)
{
	struct ix_tar_entry entry = { 0 };
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return ix_err_sys(err, "stat /%s", path);
	if (fchown(to_fd, st.st_uid, st.st_gid) < 0 || fchmod(to_fd, st.st_mode & 07777) < 0)
		return ix_err_sys(err, "owner and mode of /%s", path);
	r = ix_xattrs_read(from_fd, path, &entry, err);
	for (size_t i = 0; r == 0 && i < entry.nxattrs; i++)
		if (fsetxattr(to_fd, entry.xattrs[i].name, entry.xattrs[i].value, entry.xattrs[i].len, 0) < 0 && errno != ENOTSUP)
			r = ix_err_sys(err, "attribute %s of /%s", entry.xattrs[i].name, path);
	ix_tar_entry_release(&entry);
	if (r == 0 && futimens(to_fd, (struct timespec[]){ { .tv_nsec = UTIME_OMIT }, st.st_mtim }) < 0)
		r = ix_err_sys(err, "time of /%s", path);
	return r;
}

static bool same_xattrs(const struct ix_tar_entry *a, const struct ix_tar_entry *b)
{
	bool same = a->nxattrs == b->nxattrs;

	for (size_t i = 0; same && i < a->nxattrs; i++)
		same = strcmp(a->xattrs[i].name, b->xattrs[i].name) == 0 && a->xattrs[i].len == b->xattrs[i].len &&
		       memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].len) == 0;
	return same;
}

bool ix_layer_same_dir(int a_fd, int b_fd)
{
	struct ix_tar_entry one = { 0 }, two = { 0 };
	struct ix_err ignored;
	struct stat a, b;
	bool same = fstat(a_fd, &a) == 0 && fstat(b_fd, &b) == 0 && a.st_mode == b.st_mode && a.st_uid == b.st_uid &&
		    a.st_gid == b.st_gid && ix_xattrs_read(a_fd, "", &one, &ignored) == 0 &&
		    ix_xattrs_read(b_fd, "", &two, &ignored) == 0 && same_xattrs(&one, &two);

	ix_tar_entry_release(&one);
	ix_tar_entry_release(&two);
	return same;
}
