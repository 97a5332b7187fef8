/* What the files of the sandbox share: the plan on its way to the child, and what comes back. */
#ifndef IX_SANDBOX_SANDBOX_INT_H
#define IX_SANDBOX_SANDBOX_INT_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

/* A mount as the child does it: everything is an open tree by then. */
struct child_mount {
	enum ix_sandbox_mount_kind kind;
	int fd;               /* BIND, OVERLAY: a detached tree */
	const char *subpath;  /* OVERLAY: inside the tree, "" all of it */
	const char *target;
	bool read_only;
	uint64_t size;
	uint32_t mode;
};

/* The plan in the child. Strings point into the received bytes. */
struct child_plan {
	int root_fd;
	int result_fd;   /* struct result goes here */
	int filter_fd;   /* BPF program, -1: none */
	int resolv_fd;   /* a bind for /etc/resolv.conf, -1: none */
	const char *cwd;
	const char *user;
	const char *hostname;
	const char *hosts;
	bool no_network, insecure, interactive;
	const char **argv;
	const char **env;
	struct child_mount *mounts;
	size_t nmounts;
};

/* What the child says in the end. */
struct result {
	enum { RESULT_STATUS, RESULT_ERROR } kind;
	int status; /* wait(2) status */
	struct ix_err err;
};

/* --- wire.c --- */
void wire_put_int(struct ix_buf *buf, int64_t value);
void wire_put_text(struct ix_buf *buf, const char *text); /* NULL is kept apart from "" */
void wire_put_list(struct ix_buf *buf, const char *const *list);
struct wire {
	const char *at;
	size_t left;
	bool bad;
};
int64_t wire_int(struct wire *wire);
const char *wire_text(struct wire *wire);
const char **wire_list(struct wire *wire); /* NULL terminated, allocated */

/* --- mountpoint.c --- */

/* Places in the root where something is mounted, made when missing and taken away afterwards. */
struct mountpoints {
	struct made *items;
	size_t count, cap;
};
int mountpoint_ensure(struct mountpoints *points, int root_fd, const char *target, bool is_dir, struct ix_err *err);
void mountpoints_release(struct mountpoints *points); /* removes what is still empty, restores times */
void mountpoints_forget(struct mountpoints *points);  /* leaves them where they are */

/* --- filter.c --- */
/* A descriptor of the seccomp program for ordinary steps, made once. */
int filter_fd(int *ret_fd, struct ix_err *err);
int filter_load(int fd, struct ix_err *err);

/* --- the child's parts --- */
int child_mounts(const struct child_plan *plan, struct ix_err *err);
int child_caps(const struct child_plan *plan, struct ix_err *err);

struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[256];
	size_t ngroups;
	char home[256];
};
/* "user[:group]" by the passwd and group files of the current root. */
int users_lookup(const char *text, struct identity *ret_identity, struct ix_err *err);

#endif
