/* The program that sandboxes are started from: a copy that nothing in them can change. */
#ifndef IX_SANDBOX_SELF_INT_H
#define IX_SANDBOX_SELF_INT_H

#include "base/err.h"

/*
 * A step finds the program that started it as /proc/self/exe, and as root may give the file another mode, or write it. So it is a sealed file
 * in memory or, where those may not be executed (vm.memfd_noexec), a read-only mount of its own. Made at the first call; thread-safe; lives as
 * long as the process.
 */
int sandbox_self(int *ret_fd, struct ix_err *err);

#endif
