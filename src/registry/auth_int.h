/*
 * Authorization: learning what an endpoint asks for, and having the header that answers it. A grant is what was obtained for one scope at
 * one endpoint; getting one is single flight, and a refusal is remembered for a moment, so that a batch asks once and not n times.
 */
#ifndef IX_REGISTRY_AUTH_INT_H
#define IX_REGISTRY_AUTH_INT_H

#include <stdbool.h>

#include "base/err.h"
#include "registry/authfile_int.h"
#include "registry/endpoint_int.h"
#include "registry/request_int.h"

struct ix_registry;

/* Find out the endpoint's scheme, when there is a choice. */
int endpoint_settle(struct ix_registry *registry, struct endpoint *ep, struct ix_err *err);
/* The server answered without asking who we are. */
void auth_note_open(struct endpoint *ep);
bool auth_is_known(struct endpoint *ep);
bool auth_wants_token(struct endpoint *ep);

/* The Authorization header for scope, made or fetched as needed; an empty secret when none is asked for or nothing is known to answer. */
int auth_header(struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *scope, struct ix_secret *ret_header,
		struct ix_err *err);
/* A 401 came although used (may be empty) was sent; refusals counts them, this one included. 0: learned something, send again; -IX_EAUTH:
 * it is final, err is not filled. */
int auth_refused(struct ix_registry *registry, struct endpoint *ep, const char *scope, const struct ix_secret *used,
		 const struct reply *reply, unsigned refusals, struct ix_err *err);
/* Fetch what is missing for several scopes at once, on threads; errors are remembered by the grants. */
struct auth_want {
	struct endpoint *ep;
	const char *repository;
	const char *scope;
};
void auth_prefetch(struct ix_registry *registry, const struct auth_want *wants, size_t n);
/* Credentials were sent with the scope's last header. */
bool auth_had_credentials(struct endpoint *ep, const char *scope);

void grants_free(struct grant *grants);

/* token.c: get a bearer token. ret_lifetime_ms: how long to use it. */
int token_fetch(struct ix_registry *registry, struct endpoint *ep, const struct challenge *challenge, const char *scope,
		const struct creds *creds, struct ix_secret *ret_token, struct ix_secret *refresh, uint64_t *ret_lifetime_ms,
		struct ix_err *err);

#endif
