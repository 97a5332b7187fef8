#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/trace.h"
#include "jail/jail.h"
#include "jail/setup_int.h"

static const struct device {
	const char *name;
	unsigned major, minor;
} devices[] = {
	{ "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct link {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },         { "core", "/proc/kcore" },
};

/* A user namespace has no device nodes of its own, and a container may forbid them: then the machine's are bound. */
static int bind_device(int dev_fd, const struct device *device, struct ix_err *err)
{
	ix_auto_close int target = openat(dev_fd, device->name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	ix_auto_close int tree = -1;
	char source[32];

	if (target < 0)
		return ix_err_sys(err, "make /dev/%s", device->name);
	snprintf(source, sizeof(source), "/dev/%s", device->name);
	if (ix_tree_clone(AT_FDCWD, source, &tree, err) < 0 || ix_tree_attach(tree, target, err) < 0)
		return ix_err_wrap(err, "/dev/%s", device->name);
	return 0;
}

static int make_device(int dev_fd, const struct device *device, struct ix_err *err)
{
	/* In a user namespace there is no making them. */
	if (mknodat(dev_fd, device->name, S_IFCHR | 0666, makedev(device->major, device->minor)) == 0)
		return fchmodat(dev_fd, device->name, 0666, 0) < 0 ? ix_err_sys(err, "make /dev/%s", device->name) : 0;
	return bind_device(dev_fd, device, err);
}

static int mount_in_dev(int dev_fd, int tree_fd, const char *name, mode_t mode, struct ix_err *err)
{
	ix_auto_close int target = -1;

	if (mkdirat(dev_fd, name, mode) < 0)
		return ix_err_sys(err, "make /dev/%s", name);
	target = openat(dev_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return ix_err_sys(err, "open /dev/%s", name);
	if (ix_tree_attach(tree_fd, target, err) < 0)
		return ix_err_wrap(err, "/dev/%s", name);
	return 0;
}

static int mount_pts(int dev_fd, struct ix_err *err)
{
	static const struct ix_tree_option options[] = { { "ptmxmode", "0666" }, { "mode", "0620" }, { "gid", "5" } };
	const unsigned attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	ix_auto_close int tree = -1;

	/* Group 5 is tty everywhere, unless only one id is mapped and there is no group 5. */
	if (ix_tree_new("devpts", options, IX_ARRAY_LEN(options), attrs, &tree, err) < 0 &&
	    ix_tree_new("devpts", options, IX_ARRAY_LEN(options) - 1, attrs, &tree, err) < 0)
		return ix_err_wrap(err, "/dev/pts");
	return mount_in_dev(dev_fd, tree, "pts", 0755, err);
}

static int mount_shm(int dev_fd, uint64_t size, struct ix_err *err)
{
	ix_auto_free char *bytes = size ? ix_asprintf("%llu", (unsigned long long)size) : ix_strdup("64m");
	const struct ix_tree_option options[] = { { "mode", "1777" }, { "size", bytes } };
	ix_auto_close int tree = -1;

	if (ix_tree_new("tmpfs", options, IX_ARRAY_LEN(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &tree, err) < 0)
		return ix_err_wrap(err, "/dev/shm");
	return mount_in_dev(dev_fd, tree, "shm", 01777, err);
}

/* Message queues are rare, and kernels without them exist: ignored when refused. */
static int mount_mqueue(int dev_fd, struct ix_err *err)
{
	ix_auto_close int tree = -1;

	if (ix_tree_new("mqueue", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &tree, err) < 0) {
		ix_trace("sandbox", "%s, ignoring", err->msg);
		return 0;
	}
	return mount_in_dev(dev_fd, tree, "mqueue", 0755, err);
}

int jail_mount_dev(struct setup *setup, struct ix_err *err)
{
	static const struct ix_tree_option options[] = { { "mode", "0755" }, { "size", "64m" } };
	ix_auto_close int dev = -1;

	if (ix_tree_new("tmpfs", options, IX_ARRAY_LEN(options), MOUNT_ATTR_NOSUID, &dev, err) < 0)
		return ix_err_wrap(err, "/dev");
	int r = jail_attach(setup, dev, "/dev", err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++)
		if ((r = make_device(dev, &devices[i], err)) < 0)
			return r;
	for (size_t i = 0; i < IX_ARRAY_LEN(links); i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0)
			return ix_err_sys(err, "make /dev/%s", links[i].name);
	if ((r = mount_pts(dev, err)) < 0 || (r = mount_shm(dev, setup->orders->plan.shm_size, err)) < 0)
		return r;
	return mount_mqueue(dev, err);
}
