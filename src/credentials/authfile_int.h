/*
 * docker's config.json, its older twin .dockercfg and containers' auth.json: who logs in where. Parsing and looking up are pure; who reads
 * which file is credentials.c.
 */
#ifndef IX_CREDENTIALS_AUTHFILE_INT_H
#define IX_CREDENTIALS_AUTHFILE_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "credentials/credentials.h"

void creds_copy(struct ix_creds *to, const struct ix_creds *from);

struct authfile_entry {
	char *key; /* "host[:port][/path]", without scheme; Docker Hub's many names are "docker.io" */
	struct ix_creds creds;
};

struct authfile {
	struct authfile_entry *entries;
	size_t count;
	struct ix_strv helpers; /* host, helper, host, helper, ... */
	char *store;            /* credsStore or NULL */
};

/* name is for messages. legacy: a .dockercfg, whose top level is what "auths" is elsewhere. Bad JSON is IX_EARG and says where. */
int authfile_parse(const char *bytes, size_t len, const char *name, bool legacy, struct authfile *ret_file, struct ix_err *err);
void authfile_release(struct authfile *file);
#define auto_authfile ix_scoped(authfile_release) struct authfile

/* "https://index.docker.io/v1/" and its like as entries have it. Caller frees. */
char *authfile_key(const char *key);
/* The entry for the longest prefix of host/repository; NULL when there is none. */
const struct ix_creds *authfile_find(const struct authfile *file, const char *host, const char *repository);
/* The helper responsible for host: credHelpers, else credsStore, else NULL. */
const char *authfile_helper(const struct authfile *file, const char *host);

#endif
