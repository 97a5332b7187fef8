#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "engine_int.h"

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

static const char *const proxy_variables[] = {
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy",
};

void host_prepare(struct ix_engine *engine)
{
	const char *chosen = getenv("SSL_CERT_FILE"); /* NOLINT(concurrency-mt-unsafe): before any thread starts */

	if (chosen && access(chosen, R_OK) == 0)
		engine->ca_bundle = realpath(chosen, NULL);
	for (size_t i = 0; i < IX_ARRAY_LEN(bundles) && !engine->ca_bundle; i++)
		engine->ca_bundle = realpath(bundles[i], NULL);
	/* A stub resolver of systemd listens on loopback, which steps share unless their network is cut off. */
	engine->resolv_conf = realpath("/etc/resolv.conf", NULL);
}

static void set_default(struct ix_strv *env, const char *name, const char *value)
{
	if (value && !ix_env_get(env, name))
		ix_env_set(env, name, value);
}

/* --build-arg HTTP_PROXY=... works without ARG, as in docker; otherwise the environment of ix counts. */
void host_env(const struct ix_engine *engine, bool image_tls, struct ix_strv *env)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(proxy_variables); i++)
		set_default(env, proxy_variables[i], getenv(proxy_variables[i])); /* NOLINT(concurrency-mt-unsafe): nothing sets it */
	for (size_t i = 0; i < IX_ARRAY_LEN(bundle_variables) && engine->ca_bundle && !image_tls; i++)
		set_default(env, bundle_variables[i], HOST_CA_TARGET);
}

char *host_hosts_file(const struct ix_run_spec *spec)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (size_t i = 0; i < spec->nhosts; i++)
		ix_buf_printf(&text, "%s\t%s\n", spec->hosts[i].address, spec->hosts[i].name);
	return ix_buf_steal(&text);
}
