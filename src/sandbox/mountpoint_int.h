/* Places in a root where something can be mounted: resolved as a process chrooted there would, made when missing, taken away afterwards. */
#ifndef IX_SANDBOX_MOUNTPOINT_INT_H
#define IX_SANDBOX_MOUNTPOINT_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/scope.h"

/* What was made, so that it can be taken away. */
struct stubs {
	struct stub *items;
	size_t count;
	size_t cap;
};

/*
 * path without symbolic links, relative to root, "" for root itself. Unlike openat2(2) it also answers when nothing is there, as for
 * /etc/resolv.conf leading to a file that only a running system has. Caller frees.
 */
int sandbox_resolve(int root_fd, const char *path, char **ret_path, struct ix_err *err);
/* Open what sandbox_resolve answered; a link put there meanwhile is an error, never followed. -1 and errno. */
int sandbox_open_resolved(int root_fd, const char *path, int flags);
/* An O_PATH descriptor of the directory (or file) at path; when missing it is made, with its parents, and noted in stubs (may be NULL). */
int sandbox_mountpoint(int root_fd, const char *path, bool is_dir, struct stubs *stubs, int *ret_fd, struct ix_err *err);
/* Remove what is still empty, newest first, giving parents the times they would have without. Forgets all of them. */
int sandbox_stubs_remove(int root_fd, struct stubs *stubs, struct ix_err *err);
void sandbox_stubs_release(struct stubs *stubs);
#define auto_stubs ix_scoped(sandbox_stubs_release) struct stubs

#endif
