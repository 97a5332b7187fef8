/* The fallback for kernels before 6.5, apart so that tests can take it anywhere. */
#ifndef IX_SANDBOX_OVERLAY_INT_H
#define IX_SANDBOX_OVERLAY_INT_H

#include <sys/mount.h>

#include "sandbox/sandbox.h"

/* A detached overlay by mount(2), or -1 with errno. */
int overlay_legacy(const struct ix_overlay *overlay);

#endif
