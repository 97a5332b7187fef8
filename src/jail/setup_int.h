/*
 * What the sandbox's first process builds before it becomes the command. Nothing of it can be seen outside its mount namespace.
 *
 * The new root is attached in a small tmpfs, the staging area, that covers "/" of this mount namespace without being anybody's root; so the
 * machine's paths stay in reach, for binds, until jail_root_enter.
 */
#ifndef IX_JAIL_SETUP_INT_H
#define IX_JAIL_SETUP_INT_H

#include "base/err.h"
#include "jail/jail.h"

struct setup {
	const struct ix_jail_orders *orders;
	int staging_fd;
	int root_fd; /* the new root, attached */
};

/* Attach tree at an absolute path of the new root, making the mount point when it is missing. */
int jail_attach(const struct setup *setup, int tree_fd, const char *target, struct ix_err *err);

/* The steps, all of one kind so that they can stand in a table. */

/* --- root.c --- */
int jail_root_stage(struct setup *setup, struct ix_err *err);
int jail_root_enter(struct setup *setup, struct ix_err *err);

/* --- dev.c --- */
int jail_mount_dev(struct setup *setup, struct ix_err *err);

/* --- procsys.c --- */
int jail_mount_proc(struct setup *setup, struct ix_err *err);
int jail_mount_sys(struct setup *setup, struct ix_err *err);
/* Hide and protect what tells about or changes the machine. After proc, sys and dev. */
int jail_mask(struct setup *setup, struct ix_err *err);

/* --- mounts.c --- */
int jail_mount_etc(struct setup *setup, struct ix_err *err);
int jail_mount_planned(struct setup *setup, struct ix_err *err);

/* --- limits.c --- */
int jail_set_limits(struct setup *setup, struct ix_err *err);

/* --- exec.c --- */
/* Become argv, found along env's PATH. Returns only on failure, with the exit status a shell would give; a line is on standard error. */
int jail_exec(const char *const *argv, const char *const *env);

#endif
