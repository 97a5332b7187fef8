/*
 * Runs one command in namespaces. It knows nothing of images and layers: it gets directories, descriptors and a plan, and returns an exit
 * status. It never prints.
 *
 * The parent plans; the child is ix re-executed ("ix --sandbox-child"): single-threaded, it mounts what the plan says, drops privileges and
 * executes the command. All mounts live in private mount namespaces, so nothing stays mounted, even after SIGKILL.
 */
#ifndef IX_SANDBOX_SANDBOX_H
#define IX_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"

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

/* main for argv[1] == "--sandbox-child". Returns the exit status. */
int ix_sandbox_child_main(int argc, char **argv);

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
/* A detached bind of a directory or file (open_tree, recursive), read-only on request. */
int ix_bind_open(const char *path, bool read_only, int *ret_fd, struct ix_err *err);

enum ix_sandbox_mount_kind {
	IX_SANDBOX_BIND, /* a directory or file of this machine */
	IX_SANDBOX_TMPFS,
	IX_SANDBOX_OVERLAY, /* a detached tree, e.g. of ix_overlay_open, attached as it is */
};

struct ix_sandbox_mount {
	enum ix_sandbox_mount_kind kind;
	const char *source;  /* BIND: absolute path on this machine */
	const char *subpath; /* OVERLAY: path inside the tree ("" its root), resolved as if chrooted in it */
	int tree_fd;         /* OVERLAY: borrowed */
	const char *target;  /* absolute path in the sandbox, resolved as if chrooted there */
	bool read_only;
	uint64_t size; /* TMPFS: bytes, 0 default */
	uint32_t mode; /* TMPFS: permissions of its root, 0: 01777 */
};

/* A resource limit by setrlimit(2)'s number. */
struct ix_sandbox_limit {
	int resource;
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};
/* "nofile=1024:4096", "core=0", "nproc=-1", as docker's --ulimit. */
int ix_sandbox_limit_parse(const char *text, struct ix_sandbox_limit *ret_limit, struct ix_err *err);

struct ix_sandbox_plan {
	int root_fd;             /* detached tree that becomes /; borrowed */
	const char *const *argv; /* NULL terminated; argv[0] searched in env's PATH as execvpe does */
	const char *const *env;  /* NULL terminated, the whole environment */
	const char *cwd;         /* absolute; made when missing */
	const char *user;        /* "name|uid[:group|gid]", looked up in the sandbox's /etc/passwd and /etc/group; NULL or "" is 0:0 */
	const char *hostname;    /* NULL: "buildkitsandbox" is not ours; "ix" */
	bool no_network;         /* a network namespace with only loopback; otherwise the host's network */
	const struct ix_sandbox_mount *mounts; /* in order, after /proc /dev /sys */
	size_t nmounts;
	const char *hosts_file;  /* content bound at /etc/hosts; NULL: none */
	const char *resolv_file; /* host path bound at /etc/resolv.conf; NULL: none */
	const struct ix_sandbox_limit *limits;
	size_t nlimits;
	uint64_t shm_size;      /* of /dev/shm in bytes, 0: 64 MiB */
	bool insecure;          /* all capabilities, no seccomp, /proc and /sys not masked or read-only */
	bool interactive;       /* inherit the terminal: no new session (ix run) */
	uint32_t first_pid;     /* processes that the command starts have ids from here on, where the kernel lets us; 0: 2 */
	uint32_t boot_offset_s; /* the machine was started so much earlier, where the kernel has time namespaces */
	int stdin_fd;           /* -1: /dev/null */
	int stdout_fd;          /* borrowed, must be valid */
	int stderr_fd;
};

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
int ix_sandbox_run(const struct ix_sandbox_plan *plan, const struct ix_cancel *cancel, int *ret_status, struct ix_err *err);

#endif
