/* Capabilities of the command. */
#ifndef IX_JAIL_CAPS_INT_H
#define IX_JAIL_CAPS_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* docker's default set: what package managers and build scripts rely on. */
uint64_t jail_caps_all(void);
/* The same without what opens the machine, for a command that has them over it: its devices and, when that is shared, its network. */
uint64_t jail_caps_harmless(bool own_network);
/* Nothing but the kept ones can be had any more, by any exec. The current ones stay, for what is still to be set up. */
int jail_caps_bound(uint64_t kept, struct ix_err *err);
/* Give up all current ones but the kept; after the change of user, which for an ordinary one has dropped them already. */
int jail_caps_drop(uint64_t kept, struct ix_err *err);

#endif
