#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "local_int.h"

/* Where systems keep their bundle of certificate authorities; the first that exists is shown. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

/* What programs look at to find certificate authorities. */
static const char *const bundle_variables[] = {
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "NPM_CONFIG_CAFILE",
};

/* Where steps see the bundle. */
#define HOST_CA_TARGET "/run/ix/ca-certificates.crt"

/* In both spellings. */
static const char *const proxy_variables[][2] = {
	{ "HTTP_PROXY", "http_proxy" }, { "HTTPS_PROXY", "https_proxy" }, { "FTP_PROXY", "ftp_proxy" },
	{ "NO_PROXY", "no_proxy" },     { "ALL_PROXY", "all_proxy" },
};

void host_init(struct host *host, const struct ix_strv *build_args)
{
	const char *chosen = getenv("SSL_CERT_FILE");

	*host = (struct host){ .build_args = build_args };
	if (chosen && access(chosen, R_OK) == 0)
		host->ca_bundle = realpath(chosen, NULL);
	for (size_t i = 0; i < IX_ARRAY_LEN(bundles) && !host->ca_bundle; i++)
		host->ca_bundle = realpath(bundles[i], NULL);
	/* A stub resolver of systemd listens on loopback, which steps share unless their network is cut off. */
	host->resolv_conf = realpath("/etc/resolv.conf", NULL);
}

void host_release(struct host *host)
{
	free(host->ca_bundle);
	free(host->resolv_conf);
}

static void set_default(struct ix_strv *env, const char *name, const char *value)
{
	if (value && !ix_env_get(env, name))
		ix_env_set(env, name, value);
}

/* The value that --build-arg gives in whatever spelling, the last one; NULL when it gives none. */
static const char *given_proxy(const struct host *host, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = host->build_args ? host->build_args->count : 0; i-- > 0;) {
		const char *arg = host->build_args->items[i];

		if (strncasecmp(arg, name, len) == 0 && (arg[len] == '=' || !arg[len]))
			return arg[len] ? arg + len + 1 : getenv(arg);
	}
	return NULL;
}

/* --build-arg HTTP_PROXY=... works without ARG, sets both spellings and goes before the image's, as in docker; otherwise the environment of
 * ix counts. */
void host_env(const struct host *host, bool image_tls, struct ix_strv *env)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(proxy_variables); i++) {
		const char *given = given_proxy(host, proxy_variables[i][0]);

		for (size_t j = 0; j < 2; j++) {
			const char *name = proxy_variables[i][j];

			if (!given)
				set_default(env, name, getenv(name));
			else if (*given)
				ix_env_set(env, name, given);
		}
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(bundle_variables) && host->ca_bundle && !image_tls; i++)
		set_default(env, bundle_variables[i], HOST_CA_TARGET);
}

bool host_ca_mount(const struct host *host, bool image_tls, struct ix_jail_mount *ret_mount)
{
	if (!host->ca_bundle || image_tls)
		return false;
	*ret_mount = (struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = host->ca_bundle, .target = HOST_CA_TARGET, .read_only = true };
	return true;
}

char *host_hosts_file(const struct ix_run_spec *spec)
{
	ix_auto_buf text = { 0 };

	/* A step's own name leads to itself, whatever name servers say. */
	ix_buf_printf(&text, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		      spec->hostname ? spec->hostname : STEP_HOSTNAME);
	for (size_t i = 0; i < spec->nhosts; i++)
		ix_buf_printf(&text, "%s\t%s\n", spec->hosts[i].address, spec->hosts[i].name);
	return ix_buf_steal(&text);
}
