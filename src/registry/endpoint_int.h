/*
 * Where requests go. An upstream is a registry as references name it; its endpoints are the servers that answer for it: mirrors first, the
 * registry itself last. An endpoint remembers how it wants to be spoken to.
 */
#ifndef IX_REGISTRY_ENDPOINT_INT_H
#define IX_REGISTRY_ENDPOINT_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "registry/challenge_int.h"
#include "registry/grant_int.h"

struct hosts;

struct endpoint {
	struct ix_http_site site; /* the first member: endpoint_of() */
	struct hosts *hosts;
	char *host;      /* as people and credential files name it */
	char *authority; /* where it listens */
	char *prefix;    /* goes before repositories: "" or "proxy/" */
	bool mirror;
	bool insecure;
	bool loopback;
	char *username; /* configured; NULL: look in files and helpers */
	struct ix_secret password;

	pthread_mutex_t settle_lock; /* held while the scheme is found out; for the next two */
	uint64_t unsettled_until_ms; /* it could not be found out: not tried again before */
	struct ix_err unsettled;
	pthread_mutex_t lock; /* for what follows; nothing is done under it but looking and setting */
	const char *scheme;   /* "https" or "http"; NULL: not known yet */
	bool auth_known;
	struct challenge challenge; /* kind CHALLENGE_NONE: it never asked */
	struct grant *grants;
	struct ix_secret refresh; /* from a token server's OAuth2 answer: used instead of the password */
	uint64_t chunk;           /* the most that one request may bring; UINT64_MAX: no limit is known */
	uint64_t down_until_ms;   /* a mirror that could not be reached is left alone for a while */
};

static inline struct endpoint *endpoint_of(struct ix_http_site *site)
{
	return (struct endpoint *)site;
}

struct upstream {
	struct upstream *next;
	char *host;
	struct endpoint **endpoints;
	size_t count;
};

/* What is configured about a host, owned. */
struct host_config {
	char *name;
	char *username;
	struct ix_secret password;
	char *ca_file;
	bool insecure;
	struct ix_strv mirrors;
};

struct hosts {
	const struct ix_http_site_ops *ops;
	struct host_config *configs;
	size_t nconfigs;
	pthread_mutex_t lock;
	struct upstream *upstreams;
};

struct ix_registry_host;

/* ops: of all endpoints' sites, borrowed. */
int hosts_init(struct hosts *hosts, const struct ix_http_site_ops *ops, const struct ix_registry_host *from, size_t n, struct ix_err *err);
void hosts_release(struct hosts *hosts);
/* Made at the first use. Lives as long as hosts. */
int hosts_upstream(struct hosts *hosts, const char *host, struct upstream **ret_upstream, struct ix_err *err);
static inline struct endpoint *upstream_origin(const struct upstream *upstream)
{
	return upstream->endpoints[upstream->count - 1];
}
/* The next to ask from *at on, which moves to it; mirrors that were unreachable a moment ago are passed over. NULL: there is none. */
struct endpoint *upstream_at(const struct upstream *upstream, size_t *at);
/* The schemes to try in order, NULL terminated. */
void endpoint_schemes(const struct endpoint *ep, const char *schemes[static 3]);
/* Its repository's name there. Caller frees. */
char *endpoint_repository(const struct endpoint *ep, const char *repository);
/* "https://host" once settled (https before). Caller frees. */
char *endpoint_base(struct endpoint *ep);
uint64_t endpoint_chunk(struct endpoint *ep);
void endpoint_set_chunk(struct endpoint *ep, uint64_t chunk);
struct grant *endpoint_grant(struct endpoint *ep, const char *scope);

/* For the sites' ops. */
void endpoint_unreachable(struct ix_http_site *site);
bool endpoint_allows_plain(const struct ix_http_site *site, const char *authority);
const struct ix_http_trust *endpoint_trust_at(const struct ix_http_site *site, const char *authority);

#endif
