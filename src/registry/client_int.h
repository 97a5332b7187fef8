/*
 * The client as the files of this room share it. Lock order: flights, then an endpoint's settle_lock, then a grant's lock, then leaves
 * (hosts, lanes, an endpoint's lock, credentials). Requests are made only under the first three.
 */
#ifndef IX_REGISTRY_CLIENT_INT_H
#define IX_REGISTRY_CLIENT_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "registry/credentials_int.h"
#include "registry/endpoint_int.h"
#include "registry/lane_int.h"
#include "registry/registry.h"
#include "registry/request_int.h"

enum {
	REGISTRY_CONNECTIONS = 8,
	REGISTRY_TRIES = 5,
	REGISTRY_RETRY_S = 120,  /* all waits of one call together */
	REGISTRY_TIMEOUT_S = 60, /* without a byte */
	REGISTRY_CONNECT_S = 20,
	REGISTRY_MIRROR_CONNECT_S = 5,
};

struct flight {
	struct flight *next;
	char *key;
};

struct ix_registry {
	struct hosts hosts;
	struct credentials credentials;
	struct lanes lanes;
	const struct ix_cancel *cancel;
	unsigned retry_s;
	unsigned timeout_s;
	pthread_mutex_t flight_lock; /* uploads under way, by repository and digest */
	pthread_cond_t flight_done;
	struct flight *flights;
	atomic_uint_fast64_t requests;
	atomic_uint_fast64_t bytes_down;
	atomic_uint_fast64_t bytes_up;
};

/* "<base>/v2/<repository>/<rest>" at ep, settled first. Caller frees. */
int client_url(struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *rest, char **ret_url,
	       struct ix_err *err);
/* "repository:<repository>:<actions>". Caller frees. */
char *client_scope(const char *repository, const char *actions);

/* A request about a repository, with the texts it borrows. repository is the upstream's; the endpoint's prefix is added. Zeroed before. */
struct asked {
	struct request req;
	char *repository;
	char *scope;
};
int asked_init(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
	       const char *method, const char *rest, struct ix_err *err);
void asked_release(struct asked *asked);
#define auto_asked ix_scoped(asked_release) struct asked

/* The next mirror or the registry itself may know better than this answer (or lack of one). */
bool client_falls_through(const struct request *req);
/* Endpoint i is a mirror that was unreachable a moment ago. */
bool client_skips(struct endpoint *const *endpoints, size_t count, size_t i);
extern const char client_accept[];
/* Content-Type without parameters; "" when it is absent or unreasonable. */
void client_media_type(const struct reply *reply, char media_type[static 128]);
/* Docker-Content-Digest, when there is one that can be read, must be want. */
int client_check_digest(const struct reply *reply, const struct ix_digest *want, const char *what, struct ix_err *err);

#endif
