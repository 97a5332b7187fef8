#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "jail/jail.h"
#include "jail/setup_int.h"

/* --- name service files --- */

static int mount_hosts(const struct setup *setup, const char *content, struct ix_err *err)
{
	ix_auto_close int file = openat(setup->staging_fd, "hosts", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ix_auto_close int tree = -1;

	if (file < 0)
		return ix_err_sys(err, "make a hosts file");
	int r = ix_write_all(file, content, strlen(content), err);
	if (r < 0)
		return r;
	if (ix_tree_clone(setup->staging_fd, "hosts", &tree, err) < 0 || ix_tree_restrict(tree, MOUNT_ATTR_RDONLY, err) < 0)
		return ix_err_wrap(err, "/etc/hosts");
	return jail_attach(setup, tree, "/etc/hosts", err);
}

static int mount_resolv(const struct setup *setup, const char *source, struct ix_err *err)
{
	ix_auto_close int tree = -1;

	if (ix_bind_open(source, true, &tree, err) < 0)
		return ix_err_wrap(err, "/etc/resolv.conf");
	return jail_attach(setup, tree, "/etc/resolv.conf", err);
}

int jail_mount_etc(struct setup *setup, struct ix_err *err)
{
	const struct ix_jail_plan *plan = &setup->orders->plan;
	int r;

	if (plan->hosts_file && (r = mount_hosts(setup, plan->hosts_file, err)) < 0)
		return r;
	if (plan->resolv_file && (r = mount_resolv(setup, plan->resolv_file, err)) < 0)
		return r;
	return 0;
}

/* --- what the plan asks for --- */

static int open_tmpfs(const struct ix_jail_mount *mount, int *ret_fd, struct ix_err *err)
{
	char mode[16], size[32];
	const struct ix_tree_option options[] = { { "mode", mode }, { "size", size } };

	snprintf(mode, sizeof(mode), "%o", mount->mode ? mount->mode & 07777 : 01777);
	snprintf(size, sizeof(size), "%ju", (uintmax_t)mount->size);
	return ix_tree_new("tmpfs", options, mount->size ? 2 : 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, ret_fd, err);
}

static int clone_part(int tree_fd, const char *subpath, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int part = ix_open_in_root(tree_fd, subpath, O_PATH, err);

	return part < 0 ? part : ix_tree_clone(part, "", ret_fd, err);
}

static int stage_tree(const struct setup *setup, int tree_fd, struct ix_err *err)
{
	ix_auto_close int place = -1;
	char name[32];

	snprintf(name, sizeof(name), "tree%d", tree_fd);
	if (mkdirat(setup->staging_fd, name, 0700) < 0)
		return ix_err_sys(err, "staging area");
	place = openat(setup->staging_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return ix_err_sys(err, "staging area");
	return ix_tree_attach(tree_fd, place, err);
}

/*
 * A part of a tree, or the same tree twice, takes a clone; before Linux 6.15 only trees attached in our namespace can be cloned. So the tree
 * is attached in the staging area when cloning is refused.
 */
static int open_part(const struct setup *setup, const struct ix_jail_mount *mount, int *ret_fd, struct ix_err *err)
{
	const char *subpath = mount->subpath ? mount->subpath : "";
	int r = clone_part(mount->tree_fd, subpath, ret_fd, err);

	if (r == 0 || (err->sys != EINVAL && err->sys != EPERM))
		return r;
	r = stage_tree(setup, mount->tree_fd, err);
	if (r < 0)
		return r;
	return clone_part(mount->tree_fd, subpath, ret_fd, err);
}

static int open_source(const struct setup *setup, const struct ix_jail_mount *mount, int *ret_fd, struct ix_err *err)
{
	switch (mount->kind) {
	case IX_JAIL_BIND:
		return ix_tree_clone(AT_FDCWD, mount->source, ret_fd, err);
	case IX_JAIL_TMPFS:
		return open_tmpfs(mount, ret_fd, err);
	case IX_JAIL_OVERLAY:
		return open_part(setup, mount, ret_fd, err);
	}
	return ix_err_set(err, IX_ECORRUPT, "a mount of unknown kind");
}

/* A device that was given by name can be used; one that lies in a tree cannot. */
static int restrict_mount(const struct setup *setup, const struct ix_jail_mount *mount, int tree_fd, struct ix_err *err)
{
	uint64_t attrs = mount->read_only ? MOUNT_ATTR_RDONLY : 0;
	struct stat st;

	if (fstat(tree_fd, &st) < 0)
		return ix_err_sys(err, "stat");
	if (!setup->orders->plan.insecure && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		attrs |= MOUNT_ATTR_NODEV;
	return attrs ? ix_tree_restrict(tree_fd, attrs, err) : 0;
}

static int mount_one(const struct setup *setup, const struct ix_jail_mount *mount, struct ix_err *err)
{
	ix_auto_close int tree = -1;

	if (open_source(setup, mount, &tree, err) < 0 || restrict_mount(setup, mount, tree, err) < 0)
		return ix_err_wrap(err, "mount on %s", mount->target);
	return jail_attach(setup, tree, mount->target, err);
}

int jail_mount_planned(struct setup *setup, struct ix_err *err)
{
	const struct ix_jail_plan *plan = &setup->orders->plan;
	int r;

	for (size_t i = 0; i < plan->nmounts; i++)
		if ((r = mount_one(setup, &plan->mounts[i], err)) < 0)
			return r;
	return 0;
}
