#ifndef IX_REGISTRY_HELPER_INT_H
#define IX_REGISTRY_HELPER_INT_H

#include "registry/authfile_int.h"

/* Run docker-credential-<helper> get (docker's credential helper protocol). Unknown hosts are success with empty creds. */
int helper_get(const char *helper, const char *host, struct creds *ret_creds, struct ix_err *err);

#endif
