/* Capabilities of the command. */
#ifndef IX_SANDBOX_CAPS_INT_H
#define IX_SANDBOX_CAPS_INT_H

#include "base/err.h"

/* Nothing but the kept ones can be had any more, by any exec. The current ones stay, for what is still to be set up. */
int sandbox_caps_bound(struct ix_err *err);
/* Give up all current ones but the kept; after the change of user, which for an ordinary one has dropped them already. */
int sandbox_caps_drop(struct ix_err *err);

#endif
