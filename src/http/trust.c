#include "http/trust_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "base/str.h"

enum { PEM_MAX = 1 << 20, BUNDLE_MAX = 8 << 20 };

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* The system's authorities as one file: what the user says, then what curl was built with. */
static const char *system_bundle(void)
{
	const char *path = env("CURL_CA_BUNDLE");

	if (!path)
		path = env("SSL_CERT_FILE");
	return path ? path : curl_version_info(CURLVERSION_NOW)->cainfo;
}

static int add_pem(struct ix_http_trust *trust, int dirfd, const char *path, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(PEM_MAX);

	if (ix_read_file(dirfd, path, &text, err) < 0)
		return ix_err_wrap(err, "CA file");
	if (!strstr(ix_buf_str(&text), "-----BEGIN "))
		return ix_err_set(err, IX_EARG, "CA file %s: not a PEM certificate", path);
	if (ix_buf_append(&trust->bundle, text.data, text.len, err) < 0)
		return ix_err_wrap(err, "CA file %s", path);
	ix_buf_putc(&trust->bundle, '\n');
	return 0;
}

/* docker's layout: *.crt are authorities, x.cert with x.key is who we are. */
static int add_directory(struct ix_http_trust *trust, const char *path, struct ix_err *err)
{
	ix_auto_closedir DIR *dir = opendir(path);
	struct dirent *entry;
	ix_auto_strv names = { 0 };

	if (!dir)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		ix_strv_add(&names, entry->d_name);
	ix_strv_sort(&names);
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.items[i];

		if (ix_ends(name, ".crt") && add_pem(trust, dirfd(dir), name, err) < 0)
			return ix_err_wrap(err, "%s", path);
		if (!ix_ends(name, ".cert") || trust->cert)
			continue;
		trust->cert = ix_asprintf("%s/%s", path, name);
		trust->key = ix_asprintf("%s/%.*s.key", path, (int)(strlen(name) - 5), name);
	}
	return 0;
}

static int add_directories(struct ix_http_trust *trust, const char *name, struct ix_err *err)
{
	const char *home = env("HOME");
	ix_auto_free char *docker = ix_asprintf("/etc/docker/certs.d/%s", name);
	ix_auto_free char *containers = ix_asprintf("/etc/containers/certs.d/%s", name);
	ix_auto_free char *own = home ? ix_asprintf("%s/.config/containers/certs.d/%s", home, name) : NULL;
	int r;

	if ((r = add_directory(trust, docker, err)) < 0 || (r = add_directory(trust, containers, err)) < 0)
		return r;
	return own ? add_directory(trust, own, err) : 0;
}

static int add_system(struct ix_http_trust *trust, struct ix_err *err)
{
	const char *path = system_bundle();

	if (!path || (!env("CURL_CA_BUNDLE") && !env("SSL_CERT_FILE") && !ix_path_exists(AT_FDCWD, path)))
		return 0;
	return add_pem(trust, AT_FDCWD, path, err);
}

int ix_http_trust_init(struct ix_http_trust *trust, const char *ca_file, const char *name, const char *authority, bool insecure,
		       struct ix_err *err)
{
	int r;

	*trust = (struct ix_http_trust){ .bundle = IX_BUF_INIT(BUNDLE_MAX), .insecure = insecure };
	if (strchr(name, '/') || strchr(authority, '/') || name[0] == '.')
		return ix_err_set(err, IX_EARG, "'%s' is not a registry host", name);
	if ((ca_file && (r = add_pem(trust, AT_FDCWD, ca_file, err)) < 0) || (r = add_directories(trust, name, err)) < 0 ||
	    (strcmp(name, authority) != 0 && (r = add_directories(trust, authority, err)) < 0) ||
	    (trust->bundle.len > 0 && (r = add_system(trust, err)) < 0)) {
		ix_http_trust_release(trust);
		return r;
	}
	return 0;
}

void ix_http_trust_release(struct ix_http_trust *trust)
{
	ix_buf_release(&trust->bundle);
	free(trust->cert);
	free(trust->key);
	*trust = (struct ix_http_trust){ 0 };
}

bool ix_http_trust_is_own(const struct ix_http_trust *trust)
{
	return trust->bundle.len > 0 || trust->cert || trust->insecure;
}

void trust_apply(const struct ix_http_trust *trust, bool show, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, trust->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, trust->insecure ? 0L : 2L);
	if (trust->bundle.len > 0) {
		struct curl_blob blob = { .data = trust->bundle.data, .len = trust->bundle.len, .flags = CURL_BLOB_NOCOPY };

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	} else if (system_bundle()) {
		/* curl keeps the parsed authorities of a lone CAINFO for the next connection, but not of a CAPATH */
		curl_easy_setopt(easy, CURLOPT_CAINFO, system_bundle());
		curl_easy_setopt(easy, CURLOPT_CAPATH, env("SSL_CERT_DIR"));
	}
	if (show && trust->cert) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, trust->cert);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, trust->key);
	}
}
