#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/trace.h"
#include "jail/jail.h"
#include "jail/setup_int.h"

enum { SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

/* Nothing of use to a build, and much to learn about the machine, its keys and memory. */
static const char *const masked[] = {
	"/proc/acpi",    "/proc/asound",      "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
	"/proc/scsi",    "/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
	"/sys/firmware",
};

/* Needed for reading; writing changes the machine. */
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

static bool is_refusal(const struct ix_err *err)
{
	return err->sys == EPERM || err->sys == EACCES;
}

/*
 * A user namespace may have a proc of its own only where the machine's is wholly visible, which it is not in containers. There the
 * surrounding one serves: /proc/self works in it, as our processes exist in its pid namespace too.
 */
int jail_mount_proc(struct setup *setup, struct ix_err *err)
{
	ix_auto_close int tree = -1;

	if (ix_tree_new("proc", NULL, 0, SAFE, &tree, err) < 0) {
		if (!is_refusal(err) || ix_tree_clone(AT_FDCWD, "/proc", &tree, err) < 0)
			return ix_err_wrap(err, "/proc");
		ix_trace("sandbox", "a proc of its own is refused, binding the one around");
	}
	return jail_attach(setup, tree, "/proc", err);
}

/* A sysfs of its own needs a network namespace that belongs to our user namespace; otherwise the machine's is bound. */
int jail_mount_sys(struct setup *setup, struct ix_err *err)
{
	unsigned attrs = SAFE | (setup->orders->plan.insecure ? 0 : MOUNT_ATTR_RDONLY);
	ix_auto_close int tree = -1;

	if (ix_tree_new("sysfs", NULL, 0, attrs, &tree, err) < 0) {
		if (!is_refusal(err) || ix_tree_clone(AT_FDCWD, "/sys", &tree, err) < 0 || ix_tree_restrict(tree, attrs, err) < 0)
			return ix_err_wrap(err, "/sys");
	}
	return jail_attach(setup, tree, "/sys", err);
}

/* The tree that covers a masked path: for directories the empty one, for files the null device. */
static int cover(const struct setup *setup, int empty_fd, bool is_dir, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int null = -1;

	if (is_dir)
		return ix_tree_clone(empty_fd, "", ret_fd, err);
	null = ix_mountpoint_open_resolved(setup->root_fd, "dev/null", O_PATH);
	if (null < 0)
		return ix_err_sys(err, "open /dev/null");
	return ix_tree_clone(null, "", ret_fd, err);
}

static int mask(const struct setup *setup, int empty_fd, const char *path, struct ix_err *err)
{
	ix_auto_close int target = ix_mountpoint_open_resolved(setup->root_fd, path, O_PATH);
	ix_auto_close int tree = -1;
	struct stat st;

	if (target < 0)
		return errno == ENOENT ? 0 : ix_err_sys(err, "mask %s", path);
	if (fstat(target, &st) < 0)
		return ix_err_sys(err, "mask %s", path);
	if (cover(setup, empty_fd, S_ISDIR(st.st_mode), &tree, err) < 0 || ix_tree_restrict(tree, MOUNT_ATTR_RDONLY, err) < 0 ||
	    ix_tree_attach(tree, target, err) < 0)
		return ix_err_wrap(err, "mask %s", path);
	return 0;
}

static int protect(const struct setup *setup, const char *path, struct ix_err *err)
{
	ix_auto_close int target = ix_mountpoint_open_resolved(setup->root_fd, path, O_PATH);
	ix_auto_close int tree = -1;

	if (target < 0)
		return errno == ENOENT ? 0 : ix_err_sys(err, "protect %s", path);
	if (ix_tree_clone(target, "", &tree, err) < 0 || ix_tree_restrict(tree, SAFE | MOUNT_ATTR_RDONLY, err) < 0 ||
	    ix_tree_attach(tree, target, err) < 0)
		return ix_err_wrap(err, "protect %s", path);
	return 0;
}

int jail_mask(struct setup *setup, struct ix_err *err)
{
	ix_auto_close int empty = -1;
	int r;

	if (setup->orders->plan.insecure)
		return 0;
	if (mkdirat(setup->staging_fd, "empty", 0555) < 0)
		return ix_err_sys(err, "make an empty directory");
	empty = openat(setup->staging_fd, "empty", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (empty < 0)
		return ix_err_sys(err, "open an empty directory");
	for (size_t i = 0; i < IX_ARRAY_LEN(masked); i++)
		if ((r = mask(setup, empty, masked[i], err)) < 0)
			return r;
	for (size_t i = 0; i < IX_ARRAY_LEN(read_only); i++)
		if ((r = protect(setup, read_only[i], err)) < 0)
			return r;
	return 0;
}
