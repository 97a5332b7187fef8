/*
 * What the sandbox's first process builds before it becomes the command. Nothing of it can be seen outside its mount namespace.
 *
 * The new root is attached in a small tmpfs, the staging area, that covers "/" of this mount namespace without being anybody's root; so the
 * machine's paths stay in reach, for binds, until sandbox_root_enter.
 */
#ifndef IX_SANDBOX_SETUP_INT_H
#define IX_SANDBOX_SETUP_INT_H

#include "base/err.h"
#include "sandbox/wire_int.h"

struct setup {
	const struct orders *orders;
	int staging_fd;
	int root_fd; /* the new root, attached */
};

/* Attach tree at an absolute path of the new root, making the mount point when it is missing. */
int sandbox_attach(const struct setup *setup, int tree_fd, const char *target, struct ix_err *err);

/* The steps, all of one kind so that they can stand in a table. */

/* --- root.c --- */
int sandbox_root_stage(struct setup *setup, struct ix_err *err);
int sandbox_root_enter(struct setup *setup, struct ix_err *err);

/* --- dev.c --- */
int sandbox_mount_dev(struct setup *setup, struct ix_err *err);

/* --- procsys.c --- */
int sandbox_mount_proc(struct setup *setup, struct ix_err *err);
int sandbox_mount_sys(struct setup *setup, struct ix_err *err);
/* Hide and protect what tells about or changes the machine. After proc, sys and dev. */
int sandbox_mask(struct setup *setup, struct ix_err *err);

/* --- mounts.c --- */
int sandbox_mount_etc(struct setup *setup, struct ix_err *err);
int sandbox_mount_planned(struct setup *setup, struct ix_err *err);

/* --- limits.c --- */
int sandbox_set_limits(struct setup *setup, struct ix_err *err);

/* --- exec.c --- */
/* Become argv, found along env's PATH. Returns only on failure, with the exit status a shell would give; a line is on standard error. */
int sandbox_exec(const char *const *argv, const char *const *env);

#endif
