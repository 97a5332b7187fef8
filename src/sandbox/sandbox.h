/*
 * Runs one command in namespaces. It knows nothing of images and layers: it gets directories, descriptors and a plan, and returns an exit
 * status. It never prints.
 *
 * The parent plans; the child is a small program of its own (jail): single-threaded, it mounts what the plan says, drops privileges and
 * executes the command. All mounts live in private mount namespaces, so nothing stays mounted, even after SIGKILL.
 */
#ifndef IX_SANDBOX_SANDBOX_H
#define IX_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "jail/jail.h"

/*
 * Called once, first thing in main of commands that touch the store, before any thread exists. As root: a private mount namespace. As an
 * ordinary user: a user namespace in which this user is root and the subordinate ids of /etc/subuid and /etc/subgid are mapped
 * (newuidmap, newgidmap), and a private mount namespace; the program then goes on inside it as uid 0. Without subordinate ids only the user
 * itself is mapped, and *ret_degraded says why (static text or NULL). Root that may not mount, as in many containers, gets a user namespace
 * too, in which every id keeps its number; other root gets one for its steps (*ret_degraded when it cannot be had). Idempotent when already inside (a marker in the environment).
 */
int ix_sandbox_enter(const char **ret_degraded, struct ix_err *err);
/* True when this process is in a user namespace, as it is when it was entered as an ordinary user: no device nodes, no trusted.* attributes. */
bool ix_sandbox_rootless(void);

struct ix_overlay {
	const char *const *lowers; /* absolute directories, uppermost first; at least one */
	size_t nlowers;
	const char *upper; /* absolute directory or NULL: read-only */
	const char *work;  /* absolute empty directory on the file system of upper; with upper only */
};
/* Mount an overlay detached from any path: openat(2) relative to *ret_fd sees the merged tree; closing the last descriptor unmounts it.
 * A read-only overlay of one lower is a bind of that directory. Any number of lowers up to 500. */
int ix_overlay_open(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err);
/* A file system in memory, detached from any path, with room for so many bytes: gone with the last descriptor, whatever ends the process. */
int ix_tmpfs_open(uint64_t size, int *ret_fd, struct ix_err *err);
/*
 * The command is pid 1 of a pid namespace, with docker's capabilities and system calls. As there no_new_privs is not set, so that sudo and su
 * work. Unless insecure, the capabilities are those of a user namespace, and no device node can be opened but those of /dev and a device that
 * is the source of a mount.
 *
 * Run to the end. *ret_status is the exit status, 128+n when a signal ended it. Everything it started is dead when this returns. Mount points
 * that had to be made in root_fd (missing targets, /etc/resolv.conf, ...) are removed again and their parents' times restored, unless the
 * command put something there. A raised cancel kills it: -IX_ECANCELED. A command that cannot be executed gives status 127 or 126 and one
 * line on stderr_fd, as a shell would; set-up failures are errors.
 */
int ix_sandbox_run(const struct ix_jail_plan *plan, const struct ix_cancel *cancel, int *ret_status, struct ix_err *err);

#endif
