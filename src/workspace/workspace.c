#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "base/redact.h"
#include "base/str.h"
#include "cache/cache.h"
#include "context/context.h"
#include "graph/graph.h"
#include "plan/plan.h"
#include "project/project.h"
#include "registry/registry.h"
#include "remote/remote.h"
#include "report/report.h"
#include "state/state.h"
#include "store/store.h"
#include "syntax/syntax.h"
#include "workspace_int.h"

/* --store, the configuration, $IX_STORE, root's or the user's own place. */
static char *store_path(const struct workspace *ws)
{
	const char *env = getenv("IX_STORE"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	ix_auto_free char *cwd = NULL;
	const char *given = ws->opts.store ? ws->opts.store : env && *env ? env : ws->config->store;

	if (given) {
		cwd = getcwd(NULL, 0);
		return ix_path_resolve(cwd ? cwd : "/", given);
	}
	if (geteuid() == 0)
		return ix_strdup("/var/lib/ix");
	if (data && *data)
		return ix_asprintf("%s/ix", data);
	return ix_asprintf("%s/.local/share/ix", home && *home ? home : "/tmp");
}

static int open_project(struct workspace *ws, struct ix_err *err)
{
	const char *file = ws->opts.project_file;

	if (ws->base.request->lone_context)
		return 0;
	if (!file && access("ix.yaml", F_OK) != 0)
		return 0;
	return ix_project_load(file ? file : "ix.yaml", &ws->base.project, err);
}

int ix_workspace_new(const struct ix_workspace_opts *opts, const struct ix_request *request, struct ix_workspace **ret_workspace,
		     struct ix_err *err)
{
	ix_scoped(ix_workspace_freep) struct ix_workspace *workspace = ix_calloc(1, sizeof(struct workspace));
	struct workspace *ws = workspace_of(workspace);
	int r;

	ws->opts = *opts;
	ws->cancel = opts->cancel;
	ws->base.request = request;
	ws->base.redactor = ix_redactor_new();
	if ((r = ix_user_config_load(opts->config, &ws->config, err)) < 0 || (r = open_project(ws, err)) < 0 ||
	    (r = pins_load(ws, err)) < 0)
		return r;
	secrets_hide(ws);
	*ret_workspace = ix_steal(&workspace);
	return 0;
}

/* --- opening --- */

static void tell_wait(void *data, const char *text)
{
	const struct workspace *ws = data;

	ix_report(ws->sink, &(struct ix_event){ .kind = IX_EVENT_NOTE, .text = text });
}

static int open_store(struct workspace *ws, struct ix_err *err)
{
	const struct ix_store_listener listener = { tell_wait, ws };
	ix_auto_free char *path = store_path(ws);
	ix_auto_free char *stat_path = NULL;
	int r = ix_store_open(path, &listener, &ws->base.store, err);

	if (r < 0)
		return r;
	stat_path = ix_store_sub(ws->base.store, "stat");
	ws->stat_cache = ix_stat_cache_open(stat_path);
	return 0;
}

static int open_cache(struct workspace *ws, struct ix_err *err)
{
	const struct ix_request *request = ws->base.request;
	const struct ix_cache_opts opts = {
		.store = ws->base.store,
		.registry = ws->base.registry,
		.repository = ws->base.project ? ws->base.project->registry : NULL,
		.sink = ws->sink,
		.cancel = ws->cancel,
		.pull = request->pull,
		.offline = request->offline,
		.required = request->require_cache,
		.trust = ws->trust,
	};

	ws->base.remotes = ix_remotes_new(&(struct ix_remotes_opts){
		.store = ws->base.store, .cancel = ws->cancel, .secret = secret_value, .data = ws, .offline = request->offline });
	return ix_cache_new(&opts, &ws->base.cache, err);
}

int ix_workspace_open(struct ix_workspace *workspace, struct ix_sink *sink, struct ix_err *err)
{
	struct workspace *ws = workspace_of(workspace);
	int r;

	ix_veil_init(&ws->veil, sink, ws->base.redactor);
	ws->sink = &ws->veil.sink;
	if ((r = connect_trust(ws, err)) < 0 || (r = open_store(ws, err)) < 0 || (r = connect_registry(ws, err)) < 0)
		return r;
	return open_cache(ws, err);
}

void ix_workspace_free(struct ix_workspace *workspace)
{
	struct workspace *ws = workspace_of(workspace);
	struct ix_err ignored;

	if (!ws)
		return;
	ix_plan_free(ws->base.plan);
	ix_state_free(ws->base.state);
	for (size_t i = 0; i < ws->contexts.count; i++)
		ix_context_free(ws->contexts.entries[i].value);
	ix_map_release(&ws->contexts);
	facts_release(ws);
	resolve_release(ws);
	ix_map_release(&ws->open);
	ix_graph_free(ws->base.graph);
	for (size_t i = 0; i < ws->nfiles; i++)
		ix_dockerfile_free(ws->files[i]);
	free(ws->files);
	free(ws->base.targets);
	ix_cache_free(ws->base.cache);
	ix_remotes_free(ws->base.remotes);
	for (size_t i = 0; i < ws->dirs.count; i++)
		(void)ix_remove_tree(AT_FDCWD, ws->dirs.items[i], &ignored);
	ix_strv_release(&ws->dirs);
	lone_release(&ws->lone);
	ix_stat_cache_close(ws->stat_cache);
	ix_store_close(ws->base.store);
	ix_registry_free(ws->base.registry);
	free(ws->trusted_keys);
	explicit_bzero(&ws->signing_key, sizeof(ws->signing_key));
	ix_redactor_free(ws->base.redactor);
	ix_lock_free(ws->base.lock);
	ix_project_free(ws->base.project);
	ix_user_config_free(ws->config);
	ix_strv_release(&ws->base.channels);
	ix_strv_release(&ws->warned);
	ix_strv_release(&ws->told);
	ix_strv_release(&ws->file_stages);
	free(ws->base.remembered);
	free(ws);
}
