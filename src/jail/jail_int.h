#ifndef IX_JAIL_JAIL_INT_H
#define IX_JAIL_JAIL_INT_H

#include "jail/jail.h"

/* Put this process under it, for good. Needs CAP_SYS_ADMIN, as no_new_privs is not set: sudo and su work in steps. */
int jail_filter_load(const void *program, size_t len, struct ix_err *err);

#endif
