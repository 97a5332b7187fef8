/*
 * Authorization: learning what an endpoint asks for, and having the header that answers it. A grant is what was obtained for one scope at
 * one endpoint; a refusal is remembered for a moment, so that a batch asks once and not n times.
 */
#ifndef IX_REGISTRY_AUTH_INT_H
#define IX_REGISTRY_AUTH_INT_H

#include <stdbool.h>

#include "base/err.h"
#include "registry/client_int.h"

/* Find out the endpoint's scheme, when there is a choice. */
int endpoint_settle(struct ix_registry *registry, struct endpoint *ep, struct ix_err *err);
bool auth_is_known(struct endpoint *ep);
bool auth_wants_token(struct endpoint *ep);
/* Of all endpoints' sites. Requests that ask their site for authorization are struct asked. */
extern const struct ix_http_site_ops auth_site_ops;

/* Fetch what is missing for several scopes at once, on threads; errors are remembered by the grants. */
struct auth_want {
	struct endpoint *ep;
	const char *repository;
	const char *scope;
};
void auth_prefetch(struct ix_registry *registry, const struct auth_want *wants, size_t n);

#endif
