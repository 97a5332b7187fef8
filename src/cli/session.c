#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "cli_int.h"
#include "report/report.h"
#include "sandbox/sandbox.h"

void session_warn(struct session *session, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	if (ix_strv_has(&session->warned, ix_buf_str(&text)))
		return;
	ix_strv_add(&session->warned, ix_buf_str(&text));
	ix_report(session->ui ? ix_ui_sink(session->ui) : NULL, &(struct ix_event){ .kind = IX_EVENT_WARNING, .text = ix_buf_str(&text) });
}

/* --store, the configuration, $IX_STORE, root's or the user's own place. */
static char *store_path(const struct session *session, bool root)
{
	const char *env = getenv("IX_STORE"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME"); /* NOLINT(concurrency-mt-unsafe) */
	ix_auto_free char *cwd = NULL;
	const char *given = session->common.store ? session->common.store : env && *env ? env : session->config->store;

	if (given) {
		cwd = getcwd(NULL, 0);
		return ix_path_resolve(cwd ? cwd : "/", given);
	}
	if (root)
		return ix_strdup("/var/lib/ix");
	if (data && *data)
		return ix_asprintf("%s/ix", data);
	return ix_asprintf("%s/.local/share/ix", home && *home ? home : "/tmp");
}

static int open_project(struct session *session, const struct build_request *request, struct ix_err *err)
{
	const char *file = session->common.project_file;

	if (request && request->lone_context)
		return 0;
	if (!file && access("ix.yaml", F_OK) != 0)
		return 0;
	return ix_project_load(file ? file : "ix.yaml", &session->project, err);
}

/* --- registries --- */

struct hosts {
	struct ix_registry_host *items;
	size_t count;
	struct ix_strv secrets;
};

static int add_host(struct hosts *hosts, const struct ix_host_config *config, struct ix_err *err)
{
	struct ix_registry_host *host = NULL;
	char *username, *password;

	if (ix_credential_read(&config->username, &username, err) < 0)
		return ix_err_wrap(err, "user name for %s", config->host);
	if (username)
		ix_strv_take(&hosts->secrets, username);
	if (ix_credential_read(&config->password, &password, err) < 0)
		return ix_err_wrap(err, "password for %s", config->host);
	if (password)
		ix_strv_take(&hosts->secrets, password);
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
	const char *text = getenv("IX_RETRY_SECONDS"); /* NOLINT(concurrency-mt-unsafe) */
	uint64_t seconds;

	if (!text || !*text)
		return 0;
	if (!ix_parse_u64(text, 3600, &seconds) || seconds == 0)
		return ix_err_set(err, IX_EARG, "IX_RETRY_SECONDS=%s: 1 to 3600", text);
	*ret_seconds = (unsigned)seconds;
	return 0;
}

static int open_registry(struct session *session, struct ix_err *err)
{
	struct hosts hosts = { 0 };
	struct ix_registry_opts opts = { .cancel = session->cancel };
	int r = 0;

	for (size_t i = 0; i < session->config->nhosts && r == 0; i++)
		r = add_host(&hosts, &session->config->hosts[i], err);
	for (size_t i = 0; session->project && i < session->project->nhosts && r == 0; i++)
		r = add_host(&hosts, &session->project->hosts[i], err);
	if (r == 0)
		r = retry_seconds(&opts.retry_s, err);
	opts.hosts = hosts.items;
	opts.nhosts = hosts.count;
	if (r == 0)
		r = ix_registry_new(&opts, &session->registry, err);
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
static int read_signing_key(struct session *session, struct ix_err *err)
{
	const struct ix_credential *from = &session->project->signing_key;
	char *text = NULL;
	int r;

	if (from->kind == IX_CREDENTIAL_NONE)
		return 0;
	if (from->kind == IX_CREDENTIAL_ENV && !getenv(from->value)) { /* NOLINT(concurrency-mt-unsafe) */
		if (session->project->trust_signed && session->request && session->request->publish)
			session_warn(session,
				     "%s is not set: what is built is published without a signature, and nobody who asks for one uses it",
				     from->value);
		return 0;
	}
	r = ix_credential_read(from, &text, err);
	if (r == 0)
		r = ix_private_key_parse(text, &session->signing_key, err);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	session->trust.signing_key = r == 0 ? &session->signing_key : NULL;
	return r < 0 ? ix_err_wrap(err, "signing_key") : 0;
}

static int open_trust(struct session *session, struct ix_err *err)
{
	const struct ix_project *project = session->project;
	int r;

	if (!project)
		return 0;
	if (project->trust_signed && project->ntrusted_keys == 0)
		return ix_err_set(err, IX_EARG, "%s: trust: signed needs trusted_keys: (ix key generate makes one)", project->path);
	session->trusted_keys = ix_calloc(project->ntrusted_keys, sizeof(*session->trusted_keys));
	for (size_t i = 0; i < project->ntrusted_keys; i++)
		if ((r = read_trusted_key(project, project->trusted_keys[i], &session->trusted_keys[i], err)) < 0)
			return r;
	session->trust =
		(struct ix_trust){ .signed_only = project->trust_signed, .keys = session->trusted_keys, .nkeys = project->ntrusted_keys };
	return read_signing_key(session, err);
}

static int session_secret(void *data, const char *id, struct ix_buf *ret_value, struct ix_err *err)
{
	const struct session *session = data;

	return ix_build_secret_read(session->secrets, session->nsecrets, id, ret_value, err);
}

static void session_waits(void *data, const char *text)
{
	const struct session *session = data;

	ix_report(ix_ui_sink(session->ui), &(struct ix_event){ .kind = IX_EVENT_NOTE, .text = text });
}

int session_open(struct session *session, const struct build_request *request, bool enter, struct ix_err *err)
{
	ix_auto_free char *path = NULL;
	ix_auto_free char *stat_path = NULL;
	enum ix_progress progress = IX_PROGRESS_AUTO;
	const char *degraded = NULL;
	bool root = geteuid() == 0;
	struct ix_cache_opts cache = { 0 };
	const struct ix_store_listener listener = { session_waits, session };
	int r;

	session->request = request;
	if (session->common.progress && (r = ix_progress_parse(session->common.progress, &progress, err)) < 0)
		return r;
	if (session->common.quiet)
		progress = IX_PROGRESS_QUIET;
	if ((r = ix_user_config_load(session->common.config, &session->config, err)) < 0 || (r = open_project(session, request, err)) < 0 ||
	    (r = pins_load(session, err)) < 0)
		return r;
	path = store_path(session, root);
	/* Before the first thread: namespaces are entered by a process that has only one. */
	if (enter && (r = ix_sandbox_enter(&degraded, err)) < 0)
		return r;
	session->ui = ix_ui_new(progress, STDERR_FILENO);
	if (degraded)
		session_warn(session, "%s", degraded);
	if ((r = open_trust(session, err)) < 0 || (r = ix_store_open(path, &listener, &session->store, err)) < 0 ||
	    (r = open_registry(session, err)) < 0)
		return r;
	session->remotes = ix_remotes_new(&(struct ix_remotes_opts){ .store = session->store,
								     .cancel = session->cancel,
								     .secret = session_secret,
								     .data = session,
								     .offline = request && request->offline });
	stat_path = ix_store_sub(session->store, "stat");
	session->stat_cache = ix_stat_cache_open(stat_path);
	cache = (struct ix_cache_opts){
		.store = session->store,
		.registry = session->registry,
		.repository = session->project ? session->project->registry : NULL,
		.sink = ix_ui_sink(session->ui),
		.cancel = session->cancel,
		.pull = request && request->pull,
		.offline = request && request->offline,
		.required = request && request->require_cache,
		.trust = session->trust,
	};
	return ix_cache_new(&cache, &session->cache, err);
}

char *session_prefix(const struct session *session)
{
	const char *registry = session->project ? session->project->registry : NULL;

	return registry ? ix_asprintf("%.*s/", (int)strcspn(registry, "/"), registry) : NULL;
}

static void facts_free(struct ix_image_facts *facts)
{
	ix_strv_release(&facts->env);
	ix_strv_release(&facts->onbuild);
	free(facts);
}

void session_close(struct session *session)
{
	struct ix_err ignored;

	ix_ui_finish(session->ui);
	ix_plan_free(session->plan);
	ix_state_free(session->state);
	for (size_t i = 0; i < session->contexts.count; i++)
		ix_context_free(session->contexts.entries[i].value);
	for (size_t i = 0; i < session->facts.count; i++)
		facts_free(session->facts.entries[i].value);
	ix_map_release(&session->contexts);
	ix_map_release(&session->facts);
	ix_map_release(&session->open);
	ix_graph_free(session->graph);
	for (size_t i = 0; i < session->nfiles; i++)
		ix_dockerfile_free(session->files[i]);
	free(session->files);
	free(session->targets);
	ix_cache_free(session->cache);
	ix_remotes_free(session->remotes);
	for (size_t i = 0; i < session->dirs.count; i++)
		(void)ix_remove_tree(AT_FDCWD, session->dirs.items[i], &ignored);
	ix_strv_release(&session->dirs);
	lone_release(&session->lone);
	ix_stat_cache_close(session->stat_cache);
	ix_store_close(session->store);
	ix_registry_free(session->registry);
	free(session->trusted_keys);
	explicit_bzero(&session->signing_key, sizeof(session->signing_key));
	ix_lock_free(session->lock);
	ix_project_free(session->project);
	ix_user_config_free(session->config);
	ix_ui_free(session->ui);
	ix_strv_release(&session->channels);
	ix_strv_release(&session->warned);
	ix_strv_release(&session->told);
	ix_strv_release(&session->file_stages);
	free(session->remembered);
}
