#ifndef IX_REGISTRY_TOKEN_INT_H
#define IX_REGISTRY_TOKEN_INT_H

#include "registry/client_int.h"

/* Get a bearer token. ret_lifetime_ms: how long to use it. */
int token_fetch(struct ix_registry *registry, struct endpoint *ep, const struct challenge *challenge, const char *scope,
		const struct ix_creds *creds, struct ix_secret *ret_token, struct ix_secret *refresh, uint64_t *ret_lifetime_ms,
		struct ix_err *err);

#endif
