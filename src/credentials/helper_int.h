#ifndef IX_CREDENTIALS_HELPER_INT_H
#define IX_CREDENTIALS_HELPER_INT_H

#include "credentials/authfile_int.h"

/* Run docker-credential-<helper> get (docker's credential helper protocol). Unknown hosts are success with empty creds. */
int helper_get(const char *helper, const char *host, struct ix_creds *ret_creds, struct ix_err *err);
/* Run its store, and its erase. Erasing what it does not know is success. */
int helper_store(const char *helper, const char *host, const char *username, const char *password, struct ix_err *err);
int helper_erase(const char *helper, const char *host, struct ix_err *err);
/* A host as helpers and docker's files call it. */
const char *helper_server(const char *host);

#endif
