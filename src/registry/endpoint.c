#include "registry/endpoint_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "registry/registry.h"

enum { DOWN_MS = 60000, MIRRORS_MAX = 32, MIRROR_CONNECT_S = 5 };

/* "registry-1.docker.io" for docker.io, otherwise the name itself. */
static const char *api_host(const char *host)
{
	return strcmp(host, "docker.io") == 0 ? "registry-1.docker.io" : host;
}

/* --- configuration --- */

static bool is_host(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(".-:[]", c)) || !c)
			return false;
	}
	return len > 0 && len < 256;
}

static int check_mirror(const char *name, const char *mirror, struct ix_err *err)
{
	ix_auto_free char *shown = ix_printable(mirror, 120);
	size_t len = strcspn(mirror, "/");

	if (strstr(mirror, "://"))
		return ix_err_set(
			err, IX_EARG,
			"mirror '%s' of %s: write host[:port][/prefix]; plain http is allowed by insecure: of the mirror's own entry",
			shown, name);
	if (!is_host(mirror, len) ||
	    (mirror[len] && strspn(mirror + len, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != strlen(mirror + len)))
		return ix_err_set(err, IX_EARG, "mirror '%s' of %s: write host[:port][/prefix]", shown, name);
	return 0;
}

static int config_init(struct host_config *config, const struct ix_registry_host *from, struct ix_err *err)
{
	int r;

	if (!from->name || !is_host(from->name, strlen(from->name))) {
		ix_auto_free char *shown = ix_printable(from->name ? from->name : "", 120);

		return ix_err_set(err, IX_EARG, "'%s' is not a registry host: write host[:port]", shown);
	}
	config->name = ix_strdup(from->name);
	config->username = ix_strdup(from->username);
	ix_secret_set(&config->password, from->password);
	config->ca_file = ix_strdup(from->ca_file);
	config->insecure = from->insecure;
	if (!from->username != !from->password)
		return ix_err_set(err, IX_EARG, "registry %s: a username needs a password, and a password a username", from->name);
	for (size_t i = 0; from->mirrors && from->mirrors[i]; i++) {
		if (i == MIRRORS_MAX)
			return ix_err_set(err, IX_EARG, "registry %s: more than %d mirrors", from->name, MIRRORS_MAX);
		r = check_mirror(from->name, from->mirrors[i], err);
		if (r < 0)
			return r;
		ix_strv_add(&config->mirrors, from->mirrors[i]);
	}
	return 0;
}

static void config_release(struct host_config *config)
{
	free(config->name);
	free(config->username);
	ix_secret_release(&config->password);
	free(config->ca_file);
	ix_strv_release(&config->mirrors);
}

static const struct host_config *find_config(const struct hosts *hosts, const char *host)
{
	for (size_t i = 0; i < hosts->nconfigs; i++)
		if (ix_strcaseeq(hosts->configs[i].name, host))
			return &hosts->configs[i];
	return NULL;
}

/* --- endpoints --- */

static void endpoint_free(struct endpoint *ep)
{
	free(ep->host);
	free(ep->authority);
	free(ep->prefix);
	free(ep->username);
	ix_secret_release(&ep->password);
	ix_secret_release(&ep->refresh);
	ix_http_trust_release(&ep->site.trust);
	challenge_release(&ep->challenge);
	grants_free(ep->grants);
	pthread_mutex_destroy(&ep->lock);
	pthread_mutex_destroy(&ep->settle_lock);
	free(ep);
}

/* name: host[:port], with a prefix behind it for mirrors. */
static int endpoint_new(struct hosts *hosts, const char *name, bool mirror, struct endpoint **ret_ep, struct ix_err *err)
{
	ix_auto_free char *host = ix_strndup(name, strcspn(name, "/"));
	const struct host_config *config = find_config(hosts, host);
	const char *prefix = name + strlen(host);
	struct endpoint *ep;

	ep = ix_calloc(1, sizeof(*ep));
	pthread_mutex_init(&ep->lock, NULL);
	pthread_mutex_init(&ep->settle_lock, NULL);
	ep->host = ix_strdup(host);
	ep->authority = ix_strdup(api_host(host));
	prefix += strspn(prefix, "/");
	ep->prefix = *prefix ? ix_asprintf("%s%s", prefix, ix_ends(prefix, "/") ? "" : "/") : ix_strdup("");
	ep->mirror = mirror;
	ep->chunk = UINT64_MAX;
	ep->hosts = hosts;
	ep->loopback = ix_url_is_loopback(ep->authority);
	if (config) {
		ep->insecure = config->insecure;
		ep->username = ix_strdup(config->username);
		ix_secret_copy(&ep->password, &config->password);
	}
	ep->site = (struct ix_http_site){
		.ops = hosts->ops,
		.name = ep->host,
		.authority = ep->authority,
		.certificate_advice = "give its CA file under registries: in ix.yaml",
		.plain_advice = ep->loopback ? NULL : "if it speaks plain http, allow that with insecure: under registries: in ix.yaml",
		.connect_s = mirror ? MIRROR_CONNECT_S : 0,
		.once = mirror,
	};
	if (ix_http_trust_init(&ep->site.trust, config ? config->ca_file : NULL, ep->host, ep->authority, ep->insecure, err) < 0) {
		endpoint_free(ep);
		return ix_err_wrap(err, "registry %s", host);
	}
	*ret_ep = ep;
	return 0;
}

static void upstream_free(struct upstream *upstream)
{
	for (size_t i = 0; i < upstream->count; i++)
		endpoint_free(upstream->endpoints[i]);
	free(upstream->endpoints);
	free(upstream->host);
	free(upstream);
}

static int upstream_new(struct hosts *hosts, const char *host, struct upstream **ret_upstream, struct ix_err *err)
{
	const struct host_config *config = find_config(hosts, host);
	size_t nmirrors = config ? config->mirrors.count : 0;
	struct upstream *upstream = ix_calloc(1, sizeof(*upstream));
	int r;

	upstream->host = ix_strdup(host);
	upstream->endpoints = ix_calloc(nmirrors + 1, sizeof(*upstream->endpoints));
	for (size_t i = 0; i <= nmirrors; i++) {
		const char *name = i < nmirrors ? config->mirrors.items[i] : host;

		r = endpoint_new(hosts, name, i < nmirrors, &upstream->endpoints[i], err);
		if (r < 0) {
			upstream_free(upstream);
			return r;
		}
		upstream->count++;
	}
	*ret_upstream = upstream;
	return 0;
}

int hosts_init(struct hosts *hosts, const struct ix_http_site_ops *ops, const struct ix_registry_host *from, size_t n, struct ix_err *err)
{
	int r;

	*hosts = (struct hosts){ .ops = ops };
	pthread_mutex_init(&hosts->lock, NULL);
	hosts->configs = ix_calloc(n + 1, sizeof(*hosts->configs));
	for (size_t i = 0; i < n; i++) {
		hosts->nconfigs++;
		r = config_init(&hosts->configs[i], &from[i], err);
		if (r < 0)
			return r;
		if (i > 0 && find_config(hosts, from[i].name) != &hosts->configs[i])
			return ix_err_set(err, IX_EARG, "registry %s is configured twice", from[i].name);
	}
	/* now, so that an unreadable CA file is known before anything was sent */
	for (size_t i = 0; i < n; i++) {
		struct upstream *upstream;

		r = hosts_upstream(hosts, hosts->configs[i].name, &upstream, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void hosts_release(struct hosts *hosts)
{
	struct upstream *upstream, *next;

	for (upstream = hosts->upstreams; upstream; upstream = next) {
		next = upstream->next;
		upstream_free(upstream);
	}
	for (size_t i = 0; i < hosts->nconfigs; i++)
		config_release(&hosts->configs[i]);
	free(hosts->configs);
	pthread_mutex_destroy(&hosts->lock);
}

int hosts_upstream(struct hosts *hosts, const char *host, struct upstream **ret_upstream, struct ix_err *err)
{
	struct upstream *at;
	int r = 0;

	pthread_mutex_lock(&hosts->lock);
	for (at = hosts->upstreams; at && !ix_strcaseeq(at->host, host); at = at->next)
		;
	if (!at && (r = upstream_new(hosts, host, &at, err)) == 0) {
		at->next = hosts->upstreams;
		hosts->upstreams = at;
	}
	pthread_mutex_unlock(&hosts->lock);
	if (r == 0)
		*ret_upstream = at;
	return r;
}

/* A loopback server without a CA file is most likely plain; one with a CA file was given it for https. */
void endpoint_schemes(const struct endpoint *ep, const char *schemes[static 3])
{
	bool has_ca = ep->site.trust.bundle.len > 0;
	size_t n = 0;

	if (ep->loopback && !has_ca)
		schemes[n++] = "http";
	if (!ep->loopback || has_ca || ep->insecure)
		schemes[n++] = "https";
	if ((ep->loopback && has_ca) || (!ep->loopback && ep->insecure))
		schemes[n++] = "http";
	schemes[n] = NULL;
}

char *endpoint_repository(const struct endpoint *ep, const char *repository)
{
	return ix_asprintf("%s%s", ep->prefix, repository);
}

char *endpoint_base(struct endpoint *ep)
{
	const char *scheme;

	pthread_mutex_lock(&ep->lock);
	scheme = ep->scheme;
	pthread_mutex_unlock(&ep->lock);
	return ix_asprintf("%s://%s", scheme ? scheme : "https", ep->authority);
}

static bool is_down(struct endpoint *ep)
{
	bool down;

	pthread_mutex_lock(&ep->lock);
	down = ep->mirror && ix_now_ms() < ep->down_until_ms;
	pthread_mutex_unlock(&ep->lock);
	return down;
}

struct endpoint *upstream_at(const struct upstream *upstream, size_t *at)
{
	while (*at + 1 < upstream->count && is_down(upstream->endpoints[*at]))
		++*at;
	return *at < upstream->count ? upstream->endpoints[*at] : NULL;
}

uint64_t endpoint_chunk(struct endpoint *ep)
{
	uint64_t chunk;

	pthread_mutex_lock(&ep->lock);
	chunk = ep->chunk;
	pthread_mutex_unlock(&ep->lock);
	return chunk;
}

void endpoint_set_chunk(struct endpoint *ep, uint64_t chunk)
{
	pthread_mutex_lock(&ep->lock);
	if (chunk < ep->chunk)
		ep->chunk = chunk;
	pthread_mutex_unlock(&ep->lock);
}

struct grant *endpoint_grant(struct endpoint *ep, const char *scope)
{
	struct grant *grant;

	pthread_mutex_lock(&ep->lock);
	grant = grants_find(&ep->grants, scope);
	pthread_mutex_unlock(&ep->lock);
	return grant;
}

/* --- as a site --- */

void endpoint_unreachable(struct ix_http_site *site)
{
	struct endpoint *ep = endpoint_of(site);

	pthread_mutex_lock(&ep->lock);
	ep->down_until_ms = ix_now_ms() + DOWN_MS;
	pthread_mutex_unlock(&ep->lock);
}

bool endpoint_allows_plain(const struct ix_http_site *site, const char *authority)
{
	const struct endpoint *ep = (const struct endpoint *)site;
	const struct host_config *config = find_config(ep->hosts, authority);

	return ep->insecure || (ep->loopback && ix_url_is_loopback(authority)) || (config && config->insecure);
}

/* The endpoint listening there, if something about it was configured and it is in use. */
const struct ix_http_trust *endpoint_trust_at(const struct ix_http_site *site, const char *authority)
{
	struct hosts *hosts = ((const struct endpoint *)site)->hosts;
	const struct ix_http_trust *found = NULL;

	pthread_mutex_lock(&hosts->lock);
	for (const struct upstream *at = hosts->upstreams; at && !found; at = at->next) {
		const struct endpoint *origin = upstream_origin(at);

		if (ix_strcaseeq(origin->authority, authority) && ix_http_trust_is_own(&origin->site.trust))
			found = &origin->site.trust;
	}
	pthread_mutex_unlock(&hosts->lock);
	return found;
}
