#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/scope.h"
#include "jail/jail.h"
#include "jail/setup_int.h"
#include "jail/syscalls_int.h"

int jail_attach(const struct setup *setup, int tree_fd, const char *target, struct ix_err *err)
{
	ix_auto_close int target_fd = -1;
	struct stat st;

	if (fstat(tree_fd, &st) < 0)
		return ix_err_sys(err, "mount on %s", target);
	int r = ix_mountpoint_open(setup->root_fd, target, S_ISDIR(st.st_mode), NULL, &target_fd, err);
	if (r < 0)
		return r;
	if (ix_tree_attach(tree_fd, target_fd, err) < 0)
		return ix_err_wrap(err, "mount on %s", target);
	return 0;
}

int jail_root_stage(struct setup *setup, struct ix_err *err)
{
	static const struct ix_tree_option options[] = { { "mode", "0700" }, { "size", "16m" } };
	ix_auto_close int staging = -1;
	ix_auto_close int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ix_auto_close int place = -1;

	if (ix_tree_new("tmpfs", options, IX_ARRAY_LEN(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &staging, err) < 0)
		return ix_err_wrap(err, "staging area");
	if (slash < 0)
		return ix_err_sys(err, "open /");
	if (ix_tree_attach(staging, slash, err) < 0)
		return ix_err_wrap(err, "staging area");
	if (mkdirat(staging, "root", 0700) < 0)
		return ix_err_sys(err, "staging area");
	place = openat(staging, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return ix_err_sys(err, "staging area");
	if (ix_tree_attach(IX_JAIL_FD_ROOT, place, err) < 0)
		return ix_err_wrap(err, "root of the sandbox");
	/* Nodes that an image brings stay in it; they lead nowhere. */
	if (!setup->orders->plan.insecure && ix_tree_restrict(IX_JAIL_FD_ROOT, MOUNT_ATTR_NODEV, err) < 0)
		return ix_err_wrap(err, "root of the sandbox");
	setup->root_fd = IX_JAIL_FD_ROOT;
	setup->staging_fd = ix_steal_fd(&staging);
	return 0;
}

int jail_root_enter(struct setup *setup, struct ix_err *err)
{
	if (fchdir(setup->root_fd) < 0)
		return ix_err_sys(err, "enter the new root");
	if (sys_pivot_root(".", ".") < 0) {
		if (errno == EINVAL)
			return ix_err_set(err, IX_EFAIL,
					  "pivot_root: this machine runs from an initial ramdisk or a chroot that is no mount point; "
					  "steps can run only below a mounted root file system");
		return ix_err_sys(err, "pivot_root");
	}
	/*
	 * With "." for both the old root now lies on top of the new one, and the staging area on top of that, as it covered the old root
	 * (pivot_root(2), "NOTES"). Both have to go: what stayed would be reached by "/..".
	 */
	for (int i = 0; i < 2; i++)
		if (umount2(".", MNT_DETACH) < 0)
			return ix_err_sys(err, "leave the old root");
	return chdir("/") < 0 ? ix_err_sys(err, "chdir /") : 0;
}
