#include "registry/registry.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "credentials/credentials.h"
#include "http/http.h"
#include "registry/auth_int.h"

int ix_registry_new(const struct ix_registry_opts *opts, struct ix_registry **ret_registry, struct ix_err *err)
{
	struct ix_registry *registry = ix_calloc(1, sizeof(*registry));

	registry->http = ix_http_new(&(struct ix_http_opts){
		.cancel = opts->cancel, .connections = opts->connections, .timeout_s = opts->timeout_s, .retry_s = opts->retry_s });
	flights_init(&registry->uploads, opts->cancel);
	registry->warn = opts->warn;
	registry->warn_data = opts->warn_data;
	pthread_mutex_init(&registry->told_lock, NULL);
	registry->credentials = ix_credentials_new(opts->docker_config);
	int r = hosts_init(&registry->hosts, &auth_site_ops, opts->hosts, opts->nhosts, err);
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
	ix_http_free(registry->http);
	hosts_release(&registry->hosts);
	ix_credentials_free(registry->credentials);
	flights_release(&registry->uploads);
	ix_map_release(&registry->told);
	pthread_mutex_destroy(&registry->told_lock);
	free(registry);
}

void ix_registry_stats(const struct ix_registry *registry, struct ix_registry_stats *ret_stats)
{
	struct ix_http_stats stats;

	ix_http_stats(registry->http, &stats);
	*ret_stats = (struct ix_registry_stats){ stats.requests, stats.bytes_down, stats.bytes_up };
}
