/* The system calls a command may use. */
#ifndef IX_SANDBOX_SECCOMP_INT_H
#define IX_SANDBOX_SECCOMP_INT_H

#include <stddef.h>

#include "base/err.h"

/* The filter as struct sock_filter instructions, compiled at the first call; lives as long as the process. Thread-safe. */
int sandbox_filter(const void **ret_program, size_t *ret_len, struct ix_err *err);
#endif
