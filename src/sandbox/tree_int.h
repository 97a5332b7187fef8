/* Detached mounts: trees that exist only as descriptors until they are attached somewhere. */
#ifndef IX_SANDBOX_TREE_INT_H
#define IX_SANDBOX_TREE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct tree_option {
	const char *key;
	const char *value; /* NULL: a flag */
};

/* A new file system of that type. attrs are MOUNT_ATTR_*. err.sys tells EPERM from EINVAL. */
int sandbox_tree_new(const char *type, const struct tree_option *options, size_t noptions, unsigned attrs, int *ret_fd, struct ix_err *err);
/* A recursive bind of path below dirfd; "" is dirfd itself. */
int sandbox_tree_clone(int dirfd, const char *path, int *ret_fd, struct ix_err *err);
/* Add MOUNT_ATTR_* to the whole tree. */
int sandbox_tree_restrict(int tree_fd, uint64_t attrs, struct ix_err *err);
/* Attach on what target_fd is open on. The tree stays usable through its descriptor. */
int sandbox_tree_attach(int tree_fd, int target_fd, struct ix_err *err);

#endif
