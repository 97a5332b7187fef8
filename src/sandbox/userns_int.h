/*
 * The user namespace of the steps, where ix itself is the machine's root: every id keeps its number in it, and no capability had in it holds
 * for anything of the machine: no device nodes, no raw packets on its network, no clock, no modules.
 */
#ifndef IX_SANDBOX_USERNS_INT_H
#define IX_SANDBOX_USERNS_INT_H

#include "base/err.h"

/* Make it, once; by a process that has one thread. */
int sandbox_userns_make(struct ix_err *err);
/* The namespace, or -1. Lives as long as the process. */
int sandbox_userns_fd(void);

#endif
