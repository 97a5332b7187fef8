#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/err.h"
#include "base/scope.h"

/* The kernel leaves its reasons as messages in the context: "e overlay: ...". Fills err from errno and the first of them. */
static int context_error(struct ix_err *err, int context, const char *type)
{
	int saved = errno;
	char reason[200];
	ssize_t n = read(context, reason, sizeof(reason) - 1);

	errno = saved;
	if (n <= 2 || reason[1] != ' ')
		return ix_err_sys(err, "mount %s", type);
	reason[n] = '\0';
	reason[strcspn(reason, "\n")] = '\0';
	return ix_err_sys(err, "mount %s (%s)", type, reason + 2);
}

static int set_option(int context, const struct ix_tree_option *option)
{
	if (!option->value)
		return fsconfig(context, FSCONFIG_SET_FLAG, option->key, NULL, 0);
	return fsconfig(context, FSCONFIG_SET_STRING, option->key, option->value, 0);
}

int ix_tree_new(const char *type, const struct ix_tree_option *options, size_t noptions, unsigned attrs, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int context = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (context < 0)
		return ix_err_sys(err, "mount %s", type);
	for (size_t i = 0; i < noptions; i++)
		if (set_option(context, &options[i]) < 0)
			return context_error(err, context, type);
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return context_error(err, context, type);
	fd = fsmount(context, FSOPEN_CLOEXEC, attrs);
	if (fd < 0)
		return context_error(err, context, type);
	*ret_fd = fd;
	return 0;
}

int ix_tree_clone(int dirfd, const char *path, int *ret_fd, struct ix_err *err)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | (*path ? 0 : AT_EMPTY_PATH);
	int fd = open_tree(dirfd, path, flags);

	if (fd < 0)
		return ix_err_sys(err, "bind %s", *path ? path : "a directory");
	*ret_fd = fd;
	return 0;
}

int ix_tree_restrict(int tree_fd, uint64_t attrs, struct ix_err *err)
{
	struct mount_attr attr = { .attr_set = attrs };

	if (mount_setattr(tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return ix_err_sys(err, "restrict a mount");
	return 0;
}

int ix_tree_attach(int tree_fd, int target_fd, struct ix_err *err)
{
	if (move_mount(tree_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return ix_err_sys(err, "attach a mount");
	return 0;
}

int ix_bind_open(const char *path, bool read_only, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	int r = ix_tree_clone(AT_FDCWD, path, &fd, err);

	if (r < 0)
		return r;
	if (read_only && ix_tree_restrict(fd, MOUNT_ATTR_RDONLY, err) < 0)
		return ix_err_wrap(err, "bind %s read-only", path);
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}
