/*
 * The inside of a sandbox: the program that mounts what a plan says, gives up privileges and becomes the command. It is single-threaded, linked
 * against nothing that a step could replace, and small, because it is started for each step. The plan comes from the sandbox room, as bytes and
 * descriptors at agreed numbers.
 */
#ifndef IX_JAIL_JAIL_H
#define IX_JAIL_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"

/* --- what is to be executed --- */

enum ix_jail_mount_kind {
	IX_JAIL_BIND, /* a directory or file of this machine */
	IX_JAIL_TMPFS,
	IX_JAIL_OVERLAY, /* a detached tree, e.g. of ix_overlay_open, attached as it is */
};

struct ix_jail_mount {
	enum ix_jail_mount_kind kind;
	const char *source;  /* BIND: absolute path on this machine */
	const char *subpath; /* OVERLAY: path inside the tree ("" its root), resolved as if chrooted in it */
	int tree_fd;         /* OVERLAY: borrowed */
	const char *target;  /* absolute path in the sandbox, resolved as if chrooted there */
	bool read_only;
	uint64_t size; /* TMPFS: bytes, 0 default */
	uint32_t mode; /* TMPFS: permissions of its root, 0: 01777 */
};

/* A resource limit by setrlimit(2)'s number. */
struct ix_jail_limit {
	int resource;
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};
/* "nofile=1024:4096", "core=0", "nproc=-1", as docker's --ulimit. */
int ix_jail_limit_parse(const char *text, struct ix_jail_limit *ret_limit, struct ix_err *err);

struct ix_jail_plan {
	int root_fd;             /* detached tree that becomes /; borrowed */
	const char *const *argv; /* NULL terminated; argv[0] searched in env's PATH as execvpe does */
	const char *const *env;  /* NULL terminated, the whole environment */
	const char *cwd;         /* absolute; made when missing */
	const char *user;        /* "name|uid[:group|gid]", looked up in the sandbox's /etc/passwd and /etc/group; NULL or "" is 0:0 */
	const char *hostname;    /* NULL: "buildkitsandbox" is not ours; "ix" */
	bool no_network;         /* a network namespace with only loopback; otherwise the host's network */
	const struct ix_jail_mount *mounts; /* in order, after /proc /dev /sys */
	size_t nmounts;
	const char *hosts_file;  /* content bound at /etc/hosts; NULL: none */
	const char *resolv_file; /* host path bound at /etc/resolv.conf; NULL: none */
	const struct ix_jail_limit *limits;
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

/* --- the plan on its way --- */

/* Where the child finds its descriptors; 0 to 2 are the command's. Trees of OVERLAY mounts follow in the order of the mounts. */
enum { IX_JAIL_FD_PLAN = 3, IX_JAIL_FD_REPORT, IX_JAIL_FD_ROOT, IX_JAIL_FD_USERNS, IX_JAIL_FD_SELF, IX_JAIL_FD_TREES };

/* What keeps the command's capabilities from the machine. */
enum ix_confinement {
	IX_CONFINE_NOTHING, /* it may have the machine, or ix is in a user namespace itself */
	IX_CONFINE_USERNS,  /* IX_JAIL_FD_USERNS is entered */
	IX_CONFINE_CAPS,    /* there is none: the worst ones are given up */
};

enum { IX_JAIL_PLAN_MAX = 32 << 20, IX_JAIL_MOUNTS_MAX = 1000, IX_JAIL_LIMITS_MAX = 100, IX_JAIL_WORDS_MAX = 1 << 20 };

struct ix_jail_orders {
	struct ix_jail_plan plan; /* strings point into the bytes it was decoded from; descriptors are the child's */
	pid_t parent;
	enum ix_confinement confinement;
	const void *filter; /* seccomp program: struct sock_filter, unaligned; empty when insecure */
	size_t filter_len;
};

/* Appended; more than IX_JAIL_PLAN_MAX is IX_ELIMIT. Descriptors go beside it, by their agreed numbers. */
int ix_jail_orders_encode(const struct ix_jail_orders *orders, struct ix_buf *bytes, struct ix_err *err);
/* Into allocated arrays; strings and the filter stay in bytes. */
int ix_jail_orders_decode(const struct ix_buf *bytes, struct ix_jail_orders *ret_orders, struct ix_err *err);
/* Only for what was decoded. */
void ix_jail_orders_release(struct ix_jail_orders *orders);

/* main of the program; started by hand it says that it is not for people. Returns the exit status. */
int ix_jail_main(int argc, char **argv);

/* --- mount points --- */

/* Places in a root where something can be mounted: resolved as a process chrooted there would, made when missing, taken away afterwards. */

/* What was made, so that it can be taken away. */
struct ix_stubs {
	struct ix_stub *items;
	size_t count;
	size_t cap;
};

/*
 * path without symbolic links, relative to root, "" for root itself. Unlike openat2(2) it also answers when nothing is there, as for
 * /etc/resolv.conf leading to a file that only a running system has. Caller frees.
 */
int ix_mountpoint_resolve(int root_fd, const char *path, char **ret_path, struct ix_err *err);
/* Open what ix_mountpoint_resolve answered; a link put there meanwhile is an error, never followed. -1 and errno. */
int ix_mountpoint_open_resolved(int root_fd, const char *path, int flags);
/* An O_PATH descriptor of the directory (or file) at path; when missing it is made, with its parents, and noted in stubs (may be NULL). */
int ix_mountpoint_open(int root_fd, const char *path, bool is_dir, struct ix_stubs *stubs, int *ret_fd, struct ix_err *err);
/* Remove what is still empty, newest first, giving parents the times they would have without. Forgets all of them. */
int ix_stubs_remove(int root_fd, struct ix_stubs *stubs, struct ix_err *err);
void ix_stubs_release(struct ix_stubs *stubs);
#define ix_auto_stubs ix_scoped(ix_stubs_release) struct ix_stubs

/* --- detached mounts: trees that exist only as descriptors until they are attached somewhere --- */

struct ix_tree_option {
	const char *key;
	const char *value; /* NULL: a flag */
};

/* A new file system of that type. attrs are MOUNT_ATTR_*. err.sys tells EPERM from EINVAL. */
int ix_tree_new(const char *type, const struct ix_tree_option *options, size_t noptions, unsigned attrs, int *ret_fd, struct ix_err *err);
/* A recursive bind of path below dirfd; "" is dirfd itself. */
int ix_tree_clone(int dirfd, const char *path, int *ret_fd, struct ix_err *err);
/* Add MOUNT_ATTR_* to the whole tree. */
int ix_tree_restrict(int tree_fd, uint64_t attrs, struct ix_err *err);
/* Attach on what target_fd is open on. The tree stays usable through its descriptor. */
int ix_tree_attach(int tree_fd, int target_fd, struct ix_err *err);
/* A detached bind of a directory or file (open_tree, recursive), read-only on request. */
int ix_bind_open(const char *path, bool read_only, int *ret_fd, struct ix_err *err);

#endif
