/* Logging in and out: credentials are tried at the registry, and kept where docker keeps them. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/scope.h"
#include "credentials/credentials.h"
#include "http/http.h"
#include "registry/asked_int.h"
#include "registry/auth_int.h"
#include "registry/message_int.h"

int ix_registry_log_in(struct ix_registry *registry, const char *host, const char *username, const char *password, struct ix_err *err)
{
	ix_auto_free char *base = NULL, *url = NULL;
	struct upstream *upstream;
	struct endpoint *ep;
	auto_asked asked = { 0 };
	int r = hosts_upstream(&registry->hosts, host, &upstream, err);

	if (r < 0)
		return r;
	ep = upstream_origin(upstream);
	free(ep->username);
	ep->username = ix_strdup(username);
	ix_secret_set(&ep->password, password);
	r = endpoint_settle(registry, ep, err);
	if (r < 0)
		return r;
	base = endpoint_base(ep);
	url = ix_asprintf("%s/v2/", base);
	asked_init_at(&asked, registry, ep, "", "", "GET", url);
	asked.scope[0] = '\0'; /* of no repository */
	r = ix_http_run(&asked.req, err);
	if (r < 0)
		return r;
	return asked.req.reply.status == 200 ? 0 : reply_error(&asked.req, err);
}

int ix_registry_keep_login(struct ix_registry *registry, const char *host, const char *username, const char *password, char **ret_where,
			   struct ix_err *err)
{
	return ix_credentials_keep(registry->credentials, host, username, password, ret_where, err);
}

int ix_registry_forget_login(struct ix_registry *registry, const char *host, char **ret_left, struct ix_err *err)
{
	return ix_credentials_forget(registry->credentials, host, ret_left, err);
}
