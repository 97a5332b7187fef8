#include "registry/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "registry/auth_int.h"
#include "registry/client_int.h"

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ix_bug("curl_global_init failed");
}

int ix_registry_new(const struct ix_registry_opts *opts, struct ix_registry **ret_registry, struct ix_err *err)
{
	struct ix_registry *registry;

	pthread_once(&curl_once, start_curl);
	registry = ix_calloc(1, sizeof(*registry));
	registry->cancel = opts->cancel;
	registry->retry_s = opts->retry_s ? opts->retry_s : REGISTRY_RETRY_S;
	registry->timeout_s = opts->timeout_s ? opts->timeout_s : REGISTRY_TIMEOUT_S;
	pthread_mutex_init(&registry->flight_lock, NULL);
	pthread_cond_init(&registry->flight_done, NULL);
	credentials_init(&registry->credentials, opts->docker_config);
	lanes_init(&registry->lanes, opts->connections ? opts->connections : REGISTRY_CONNECTIONS);
	int r = hosts_init(&registry->hosts, opts->hosts, opts->nhosts, err);
	if (r < 0) {
		ix_registry_free(registry);
		return r;
	}
	*ret_registry = registry;
	return 0;
}

void ix_registry_free(struct ix_registry *registry)
{
	if (!registry)
		return;
	lanes_release(&registry->lanes);
	hosts_release(&registry->hosts);
	credentials_release(&registry->credentials);
	pthread_cond_destroy(&registry->flight_done);
	pthread_mutex_destroy(&registry->flight_lock);
	free(registry);
}

void ix_registry_stats(const struct ix_registry *registry, struct ix_registry_stats *ret_stats)
{
	*ret_stats = (struct ix_registry_stats){
		.requests = atomic_load(&registry->requests),
		.bytes_down = atomic_load(&registry->bytes_down),
		.bytes_up = atomic_load(&registry->bytes_up),
	};
}

int client_url(struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *rest, char **ret_url,
	       struct ix_err *err)
{
	ix_auto_free char *base = NULL;
	int r = endpoint_settle(registry, ep, err);

	if (r < 0)
		return r;
	base = endpoint_base(ep);
	*ret_url = ix_asprintf("%s/v2/%s/%s", base, repository, rest);
	return 0;
}

char *client_scope(const char *repository, const char *actions)
{
	return ix_asprintf("repository:%s:%s", repository, actions);
}

bool client_falls_through(const struct request *req)
{
	if (req->result < 0)
		return req->err.code != IX_ECANCELED && !req->sink_failed;
	return req->reply.status / 100 != 2;
}

int asked_init(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
	       const char *method, const char *rest, struct ix_err *err)
{
	char *url;

	asked->repository = endpoint_repository(ep, repository);
	asked->scope = client_scope(asked->repository, actions);
	int r = client_url(registry, ep, asked->repository, rest, &url, err);
	if (r < 0)
		return r;
	request_init(&asked->req, registry, ep, method, url);
	asked->req.repository = asked->repository;
	asked->req.scope = asked->scope;
	return 0;
}

void asked_release(struct asked *asked)
{
	request_release(&asked->req);
	free(asked->repository);
	free(asked->scope);
}

bool client_skips(struct endpoint *const *endpoints, size_t count, size_t i)
{
	return i + 1 < count && endpoint_is_down(endpoints[i]);
}

/* What every pull of a manifest accepts. */
const char client_accept[] = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
			     "application/vnd.docker.distribution.manifest.list.v2+json, "
			     "application/vnd.docker.distribution.manifest.v2+json";

void client_media_type(const struct reply *reply, char media_type[static 128])
{
	const char *type = reply->content_type ? reply->content_type : "";
	size_t n = strcspn(type, "; \t");

	if (n > 127)
		n = 0;
	memcpy(media_type, type, n);
	media_type[n] = '\0';
}

int client_check_digest(const struct reply *reply, const struct ix_digest *want, const char *what, struct ix_err *err)
{
	struct ix_digest sent;
	struct ix_err ignored;
	char a[IX_DIGEST_TEXT], b[IX_DIGEST_TEXT];

	if (!reply->digest || ix_digest_parse(reply->digest, &sent, &ignored) < 0 || ix_digest_eq(&sent, want))
		return 0;
	return ix_err_set(err, IX_ECORRUPT, "the registry says the %s is %s, but it is %s", what, ix_digest_text(&sent, a),
			  ix_digest_text(want, b));
}
