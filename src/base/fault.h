/*
 * Fault injection for tests: IX_FAULT=blob.rename:2 makes the second passage of that point fail with EIO; IX_FAULT=blob.rename:2:kill kills
 * the process there with SIGKILL. Off, it costs one branch.
 */
#ifndef IX_BASE_FAULT_H
#define IX_BASE_FAULT_H

#include <stdbool.h>

/* True (and errno = EIO) when the call must fail here. */
bool ix_fault(const char *point);

#endif
