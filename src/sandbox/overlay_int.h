/* The two ways to mount an overlay, apart so that tests can force each. */
#ifndef IX_SANDBOX_OVERLAY_INT_H
#define IX_SANDBOX_OVERLAY_INT_H

#include "sandbox/sandbox.h"

/* Layers are added one by one with "lowerdir+" (Linux 6.8). -IX_ESYS with err.sys EINVAL or ENOSYS where the kernel cannot. */
int sandbox_overlay_fsconfig(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err);
/* mount(2) with one option string, for Linux 5.15 to 6.7. */
int sandbox_overlay_legacy(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err);

#endif
