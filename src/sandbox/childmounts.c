#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "sandbox_int.h"

/*
 * What the sandboxed command sees. Everything is attached below a staging tmpfs first, then the root among it becomes "/", and the rest of
 * the machine is gone. Targets are resolved as if chrooted in the new root, so no link in an image leads elsewhere.
 */

#define STAGING "/tmp"

static int attach(int tree, int root, const char *target, struct ix_err *err)
{
	ix_auto_close int at = ix_open_in_root(root, target, O_PATH, err);

	if (at < 0)
		return ix_err_wrap(err, "mount on %s", target);
	if (move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return ix_err_sys(err, "mount on %s", target);
	return 0;
}

static int set_read_only(int tree, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

struct option {
	const char *key, *value;
};

/* A new instance of a file system, detached. -1 with errno. */
static int make_fs(const char *type, const struct option *options, unsigned attrs)
{
	ix_auto_close int fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return -1;
	for (; options && options->key; options++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options->key, options->value, 0) < 0)
			return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, attrs);
}

enum { SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

static int mount_new(const char *type, const struct option *options, unsigned attrs, int root, const char *target, struct ix_err *err)
{
	ix_auto_close int fs = make_fs(type, options, attrs);

	if (fs < 0)
		return ix_err_sys(err, "mount %s on %s", type, target);
	return attach(fs, root, target, err);
}

/* --- /dev --- */

static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
static const struct {
	const char *name, *target;
} dev_links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },         { "core", "/proc/kcore" },
};

/* The machine's own nodes, bound: a user namespace may not make any. */
static int bind_device(int dev, const char *name, struct ix_err *err)
{
	ix_auto_free char *path = ix_asprintf("/dev/%s", name);
	ix_auto_close int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int fd;

	if (tree < 0)
		return ix_err_sys(err, "bind %s", path);
	fd = openat(dev, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return ix_err_sys(err, "create %s", path);
	close(fd);
	return attach(tree, dev, name, err);
}

static int make_dev(int root, struct ix_err *err)
{
	static const struct option dev_options[] = { { "mode", "0755" }, { "size", "65536k" }, { NULL, NULL } };
	static const struct option pts_options[] = { { "ptmxmode", "0666" }, { "mode", "0620" }, { NULL, NULL } };
	static const struct option shm_options[] = { { "mode", "1777" }, { "size", "65536k" }, { NULL, NULL } };
	ix_auto_close int dev = -1;

	if (mount_new("tmpfs", dev_options, MOUNT_ATTR_NOSUID, root, "/dev", err) < 0)
		return -(int)err->code;
	dev = ix_open_in_root(root, "/dev", O_RDONLY | O_DIRECTORY, err);
	if (dev < 0)
		return dev;
	for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++)
		if (bind_device(dev, devices[i], err) < 0)
			return -(int)err->code;
	for (size_t i = 0; i < IX_ARRAY_LEN(dev_links); i++)
		if (symlinkat(dev_links[i].target, dev, dev_links[i].name) < 0)
			return ix_err_sys(err, "link /dev/%s", dev_links[i].name);
	if (mkdirat(dev, "pts", 0755) < 0 || mkdirat(dev, "shm", 01777) < 0 || mkdirat(dev, "mqueue", 0755) < 0)
		return ix_err_sys(err, "mkdir in /dev");
	{
		ix_auto_close int pts = make_fs("devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
		ix_auto_close int mqueue = make_fs("mqueue", NULL, SAFE);

		if (pts < 0)
			return ix_err_sys(err, "mount devpts");
		if (attach(pts, dev, "pts", err) < 0)
			return -(int)err->code;
		/* Message queues are missed by nobody where they cannot be mounted. */
		if (mqueue >= 0 && attach(mqueue, dev, "mqueue", err) < 0)
			return -(int)err->code;
	}
	return mount_new("tmpfs", shm_options, SAFE, dev, "shm", err);
}

/* --- /proc and /sys --- */

static int make_sys(int root, struct ix_err *err)
{
	ix_auto_close int sys = make_fs("sysfs", NULL, SAFE | MOUNT_ATTR_RDONLY);

	/* A new sysfs belongs to the network namespace: with the machine's network a user namespace gets the machine's. */
	if (sys < 0)
		sys = open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (sys < 0)
		return ix_err_sys(err, "mount sysfs");
	(void)set_read_only(sys, true);
	return attach(sys, root, "/sys", err);
}

static const char *const masked[] = {
	"/proc/acpi",  "/proc/asound",         "/proc/interrupts",  "/proc/kcore", "/proc/keys",    "/proc/latency_stats",
	"/proc/scsi",  "/proc/timer_list",     "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",  "/sys/devices/virtual/powercap",
};
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

static int mask(int root, const char *path, struct ix_err *err)
{
	static const struct option empty[] = { { "mode", "0755" }, { "size", "0" }, { NULL, NULL } };
	ix_auto_close int there = ix_open_in_root(root, path, O_PATH, err);
	ix_auto_close int cover = -1;
	struct stat st;

	if (there < 0)
		return 0; /* this kernel does not have it */
	if (fstat(there, &st) < 0)
		return ix_err_sys(err, "stat %s", path);
	cover = S_ISDIR(st.st_mode) ? make_fs("tmpfs", empty, SAFE | MOUNT_ATTR_RDONLY) :
				      open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (cover < 0)
		return ix_err_sys(err, "cover %s", path);
	return attach(cover, root, path, err);
}

static int make_read_only(int root, const char *path, struct ix_err *err)
{
	ix_auto_close int there = ix_open_in_root(root, path, O_PATH, err);
	ix_auto_close int again = -1;

	if (there < 0)
		return 0;
	again = open_tree(there, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (again < 0 || set_read_only(again, true) < 0)
		return ix_err_sys(err, "make %s read-only", path);
	return attach(again, root, path, err);
}

static int protect(int root, struct ix_err *err)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(masked); i++)
		if (mask(root, masked[i], err) < 0)
			return -(int)err->code;
	for (size_t i = 0; i < IX_ARRAY_LEN(read_only); i++)
		if (make_read_only(root, read_only[i], err) < 0)
			return -(int)err->code;
	return 0;
}

/* --- what the plan asks for --- */

static int mount_tmpfs(const struct child_mount *mount, int root, struct ix_err *err)
{
	char mode[16], size[32];
	const struct option options[] = { { "mode", mode }, { mount->size ? "size" : NULL, size }, { NULL, NULL } };

	snprintf(mode, sizeof(mode), "%o", mount->mode ? mount->mode : 01777);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)mount->size);
	return mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, root, mount->target, err);
}

/* A part of a detached tree: the tree is attached in the staging area, where parts of it can be bound. */
static int mount_part(const struct child_mount *mount, size_t index, int root, struct ix_err *err)
{
	ix_auto_free char *stage = ix_asprintf(STAGING "/tree%zu", index);
	ix_auto_close int part = -1;
	ix_auto_close int bound = -1;

	if (mkdir(stage, 0700) < 0 || move_mount(mount->fd, "", AT_FDCWD, stage, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return ix_err_sys(err, "attach tree for %s", mount->target);
	{
		ix_auto_close int tree = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		part = tree < 0 ? ix_err_sys(err, "open %s", stage) : ix_open_in_root(tree, mount->subpath, O_PATH, err);
	}
	if (part < 0)
		return ix_err_wrap(err, "mount source for %s", mount->target);
	bound = open_tree(part, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (bound < 0 || (mount->read_only && set_read_only(bound, false) < 0))
		return ix_err_sys(err, "bind for %s", mount->target);
	return attach(bound, root, mount->target, err);
}

/* Points below a tmpfs or another mount of the plan are made inside it. */
static int make_point(const struct child_mount *mount, int root, struct ix_err *err)
{
	ix_auto_close int there = ix_open_in_root(root, mount->target, O_PATH, err);
	struct mountpoints points = { 0 };
	struct stat st;
	int r;

	if (there != -IX_ENOTFOUND)
		return 0;
	r = mountpoint_ensure(&points, root, mount->target, mount->fd < 0 || fstat(mount->fd, &st) < 0 || S_ISDIR(st.st_mode), err);
	mountpoints_forget(&points);
	return r;
}

static int mount_one(const struct child_mount *mount, size_t index, int root, struct ix_err *err)
{
	if (make_point(mount, root, err) < 0)
		return -(int)err->code;
	switch (mount->kind) {
	case IX_SANDBOX_BIND:
		return attach(mount->fd, root, mount->target, err);
	case IX_SANDBOX_TMPFS:
		return mount_tmpfs(mount, root, err);
	case IX_SANDBOX_OVERLAY:
		return mount_part(mount, index, root, err);
	}
	return 0;
}

static int mount_hosts(const struct child_plan *plan, int root, struct ix_err *err)
{
	ix_auto_close int tree = -1;
	ix_auto_close int fd = open(STAGING "/hosts", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return ix_err_sys(err, "create hosts file");
	if (ix_write_all(fd, plan->hosts, strlen(plan->hosts), err) < 0)
		return -(int)err->code;
	tree = open_tree(AT_FDCWD, STAGING "/hosts", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return ix_err_sys(err, "bind hosts file");
	return attach(tree, root, "/etc/hosts", err);
}

/* The staging area: a small tmpfs that covers some directory every machine has. The root goes to its own place in it. */
static int stage_root(const struct child_plan *plan, int *ret_root, struct ix_err *err)
{
	ix_auto_close int staging = make_fs("tmpfs", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

	if (staging < 0 || move_mount(staging, "", AT_FDCWD, STAGING, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return ix_err_sys(err, "mount staging area on " STAGING);
	if (mkdir(STAGING "/root", 0755) < 0 || move_mount(plan->root_fd, "", AT_FDCWD, STAGING "/root", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return ix_err_sys(err, "attach root");
	*ret_root = open(STAGING "/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_root < 0 ? ix_err_sys(err, "open root") : 0;
}

static int pivot(int root, struct ix_err *err)
{
	/* pivot_root(2), "pivot_root(".", ".")": the old root lies on top of the new one until it is detached. */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return ix_err_sys(err, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return ix_err_sys(err, "leave the old root");
	return 0;
}

int child_mounts(const struct child_plan *plan, struct ix_err *err)
{
	ix_auto_close int root = -1;

	if (stage_root(plan, &root, err) < 0 || mount_new("proc", NULL, SAFE, root, "/proc", err) < 0 || make_sys(root, err) < 0 ||
	    make_dev(root, err) < 0 || (!plan->insecure && protect(root, err) < 0))
		return -(int)err->code;
	if (plan->resolv_fd >= 0 && attach(plan->resolv_fd, root, "/etc/resolv.conf", err) < 0)
		return -(int)err->code;
	if (plan->hosts && mount_hosts(plan, root, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < plan->nmounts; i++)
		if (mount_one(&plan->mounts[i], i, root, err) < 0)
			return -(int)err->code;
	return pivot(root, err);
}
