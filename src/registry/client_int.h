/*
 * The client as the files of this room share it. Lock order: flights, then an endpoint's settle_lock, then a grant's lock, then leaves
 * (hosts, an endpoint's lock, credentials, what was told). Requests are made only under the first three.
 */
#ifndef IX_REGISTRY_CLIENT_INT_H
#define IX_REGISTRY_CLIENT_INT_H

#include <pthread.h>

#include "base/map.h"
#include "credentials/credentials.h"
#include "http/http.h"
#include "registry/endpoint_int.h"
#include "registry/flight_int.h"
#include "registry/registry.h"

struct ix_registry {
	struct ix_http *http;
	struct hosts hosts;
	struct ix_credentials *credentials;
	struct flights uploads; /* under way, by repository and digest */
	void (*warn)(void *data, const char *host, const char *text);
	void *warn_data;
	pthread_mutex_t told_lock;
	struct ix_map told; /* "host text" -> not NULL */
};

/* A request about a repository, with what its authorization depends on: asked.c makes them, auth.c answers for them. */
struct asked {
	struct ix_http_request req;
	struct ix_registry *registry;
	struct endpoint *ep;
	char *repository; /* at the endpoint */
	char *scope;
};

#endif
