/* The plan on its way from parent to child: bytes in a memory file, descriptors at agreed numbers. Both ends are the same executable. */
#ifndef IX_SANDBOX_WIRE_INT_H
#define IX_SANDBOX_WIRE_INT_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/sandbox.h"

/* Where the child finds its descriptors; 0 to 2 are the command's. Trees of OVERLAY mounts follow in the order of the mounts. */
enum { FD_PLAN = 3, FD_REPORT, FD_ROOT, FD_USERNS, FD_SELF, FD_TREES };

/* What keeps the command's capabilities from the machine. */
enum confinement {
	CONFINE_NOTHING, /* it may have the machine, or ix is in a user namespace itself */
	CONFINE_USERNS,  /* FD_USERNS is entered */
	CONFINE_CAPS,    /* there is none: the worst ones are given up */
};

enum { PLAN_MAX = 32 << 20, PLAN_MOUNTS_MAX = 1000, PLAN_LIMITS_MAX = 100, PLAN_WORDS_MAX = 1 << 20 };

struct orders {
	struct ix_sandbox_plan plan; /* strings point into the bytes it was decoded from; descriptors are the child's */
	pid_t parent;
	enum confinement confinement;
	const void *filter; /* seccomp program: struct sock_filter, unaligned; empty when insecure */
	size_t filter_len;
};

int sandbox_orders_encode(const struct orders *orders, struct ix_buf *bytes, struct ix_err *err);
/* Into allocated arrays; strings and the filter stay in bytes. */
int sandbox_orders_decode(const struct ix_buf *bytes, struct orders *ret_orders, struct ix_err *err);
/* Only for what was decoded. */
void sandbox_orders_release(struct orders *orders);

#endif
