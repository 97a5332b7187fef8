#include "registry/asked_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "http/http.h"
#include "io/digest.h"
#include "registry/auth_int.h"

static char *scope_of(const char *repository, const char *actions)
{
	return ix_asprintf("repository:%s:%s", repository, actions);
}

void asked_init_at(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
		   const char *method, const char *url)
{
	asked->registry = registry;
	asked->ep = ep;
	asked->repository = endpoint_repository(ep, repository);
	asked->scope = scope_of(asked->repository, actions);
	ix_http_request_init(&asked->req, registry->http, &ep->site, method, ix_strdup(url));
	asked->req.audience = endpoint_base(ep);
	asked->req.asks_site = true;
	asked->req.user = asked;
}

int asked_init(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
	       const char *method, const char *rest, struct ix_err *err)
{
	ix_auto_free char *base = NULL, *url = NULL;
	int r = endpoint_settle(registry, ep, err);

	if (r < 0)
		return r;
	base = endpoint_base(ep);
	url = ix_asprintf("%s/v2/%s%s/%s", base, ep->prefix, repository, rest);
	asked_init_at(asked, registry, ep, repository, actions, method, url);
	return 0;
}

void asked_release(struct asked *asked)
{
	ix_http_request_release(&asked->req);
	free(asked->repository);
	free(asked->scope);
}

void asked_widen(struct asked *asked, const char *repository, const char *actions)
{
	ix_auto_free char *scope = asked->scope, *more = scope_of(repository, actions);

	asked->scope = scope_join(scope, more);
}

bool asked_falls_through(const struct ix_http_request *req)
{
	if (req->result < 0)
		return req->err.code != IX_ECANCELED && !req->sink_failed;
	return req->reply.status / 100 != 2;
}

/* What every pull of a manifest accepts. */
const char asked_accept[] = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
			    "application/vnd.docker.distribution.manifest.list.v2+json, "
			    "application/vnd.docker.distribution.manifest.v2+json";

void reply_media_type(const struct ix_http_reply *reply, char media_type[static 128])
{
	const char *type = ix_http_header(reply, "Content-Type", 0);
	size_t n = type ? strcspn(type, "; \t") : 0;

	if (n > 127)
		n = 0;
	memcpy(media_type, type ? type : "", n);
	media_type[n] = '\0';
}

bool reply_digest(const struct ix_http_reply *reply, struct ix_digest *ret_digest)
{
	const char *text = ix_http_header(reply, "Docker-Content-Digest", 0);
	struct ix_err ignored;

	return text && ix_digest_parse(text, ret_digest, &ignored) == 0;
}

int reply_check_digest(const struct ix_http_reply *reply, const struct ix_digest *want, const char *what, struct ix_err *err)
{
	struct ix_digest sent;
	char a[IX_DIGEST_TEXT], b[IX_DIGEST_TEXT];

	if (!reply_digest(reply, &sent) || ix_digest_eq(&sent, want))
		return 0;
	return ix_err_set(err, IX_ECORRUPT, "the registry says the %s is %s, but it is %s", what, ix_digest_text(&sent, a),
			  ix_digest_text(want, b));
}
