/* Whom a workspace talks to and whom it believes. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/redact.h"
#include "base/str.h"
#include "io/sign.h"
#include "project/project.h"
#include "registry/registry.h"
#include "workspace_int.h"

/* --- registries --- */

struct hosts {
	struct ix_registry_host *items;
	size_t count;
	struct ix_strv secrets;
};

static int add_host(struct workspace *ws, struct hosts *hosts, const struct ix_host_config *config, struct ix_err *err)
{
	struct ix_registry_host *host = NULL;
	char *username, *password;

	if (ix_credential_read(&config->username, &username, err) < 0)
		return ix_err_wrap(err, "user name for %s", config->host);
	if (username)
		ix_strv_take(&hosts->secrets, username);
	if (ix_credential_read(&config->password, &password, err) < 0)
		return ix_err_wrap(err, "password for %s", config->host);
	if (password) {
		ix_strv_take(&hosts->secrets, password);
		ix_redactor_add(ws->base.redactor, password, strlen(password));
	}
	for (size_t i = 0; i < hosts->count; i++)
		if (strcmp(hosts->items[i].name, config->host) == 0)
			host = &hosts->items[i];
	if (!host) {
		hosts->items = ix_realloc_array(hosts->items, hosts->count + 1, sizeof(*hosts->items));
		host = &hosts->items[hosts->count++];
		*host = (struct ix_registry_host){ .name = config->host };
	}
	/* The project comes after the user, and says the more particular. */
	if (username)
		host->username = username;
	if (password)
		host->password = password;
	if (config->ca_file)
		host->ca_file = config->ca_file;
	if (config->mirrors)
		host->mirrors = config->mirrors;
	host->insecure = host->insecure || config->insecure;
	return 0;
}

static int retry_seconds(unsigned *ret_seconds, struct ix_err *err)
{
	const char *text = getenv("IX_RETRY_SECONDS");
	uint64_t seconds;

	if (!text || !*text)
		return 0;
	if (!ix_parse_u64(text, 3600, &seconds) || seconds == 0)
		return ix_err_set(err, IX_EARG, "IX_RETRY_SECONDS=%s: 1 to 3600", text);
	*ret_seconds = (unsigned)seconds;
	return 0;
}

static void warn_of_registry(void *data, const char *host, const char *text)
{
	ix_auto_free char *shown = ix_printable(text, 400);

	workspace_warn(data, "%s says: %s", host, shown);
}

int connect_registry(struct workspace *ws, struct ix_err *err)
{
	struct hosts hosts = { 0 };
	struct ix_registry_opts opts = { .cancel = ws->cancel, .warn = warn_of_registry, .warn_data = ws };
	int r = 0;

	for (size_t i = 0; i < ws->config->nhosts && r == 0; i++)
		r = add_host(ws, &hosts, &ws->config->hosts[i], err);
	for (size_t i = 0; ws->base.project && i < ws->base.project->nhosts && r == 0; i++)
		r = add_host(ws, &hosts, &ws->base.project->hosts[i], err);
	if (r == 0)
		r = retry_seconds(&opts.retry_s, err);
	opts.hosts = hosts.items;
	opts.nhosts = hosts.count;
	if (r == 0)
		r = ix_registry_new(&opts, &ws->base.registry, err);
	for (size_t i = 0; i < hosts.secrets.count; i++)
		explicit_bzero(hosts.secrets.items[i], strlen(hosts.secrets.items[i]));
	ix_strv_release(&hosts.secrets);
	free(hosts.items);
	return r;
}

/* --- trust --- */

static int read_trusted_key(const struct ix_project *project, const char *name, struct ix_public_key *ret_key, struct ix_err *err)
{
	ix_auto_free char *path = ix_path_resolve(project->dir, name);
	ix_auto_buf text = IX_BUF_INIT(4096);

	if (ix_read_file(AT_FDCWD, path, &text, err) < 0 || ix_public_key_parse(ix_buf_str(&text), ret_key, err) < 0)
		return ix_err_wrap(err, "trusted key %s", path);
	return 0;
}

/* Who has no key to sign with builds all the same; the others will not use it. */
static int read_signing_key(struct workspace *ws, struct ix_err *err)
{
	const struct ix_credential *from = &ws->base.project->signing_key;
	char *text = NULL;
	int r;

	if (from->kind == IX_CREDENTIAL_NONE)
		return 0;
	if (from->kind == IX_CREDENTIAL_ENV && !getenv(from->value)) {
		if (ws->base.project->trust_signed && ws->base.request && ws->base.request->publish)
			workspace_warn(ws,
				       "%s is not set: what is built is published without a signature, and nobody who asks for one uses it",
				       from->value);
		return 0;
	}
	r = ix_credential_read(from, &text, err);
	if (r == 0)
		r = ix_private_key_parse(text, &ws->signing_key, err);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	ws->trust.signing_key = r == 0 ? &ws->signing_key : NULL;
	return r < 0 ? ix_err_wrap(err, "signing_key") : 0;
}

int connect_trust(struct workspace *ws, struct ix_err *err)
{
	const struct ix_project *project = ws->base.project;
	int r;

	if (!project)
		return 0;
	if (project->trust_signed && project->ntrusted_keys == 0)
		return ix_err_set(err, IX_EARG, "%s: trust: signed needs trusted_keys: (ix key generate makes one)", project->path);
	ws->trusted_keys = ix_calloc(project->ntrusted_keys, sizeof(*ws->trusted_keys));
	for (size_t i = 0; i < project->ntrusted_keys; i++)
		if ((r = read_trusted_key(project, project->trusted_keys[i], &ws->trusted_keys[i], err)) < 0)
			return r;
	ws->trust = (struct ix_trust){ .signed_only = project->trust_signed, .keys = ws->trusted_keys, .nkeys = project->ntrusted_keys };
	return read_signing_key(ws, err);
}
