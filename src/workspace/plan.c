/* The graph of a request, its keys and its plan. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "context/context.h"
#include "graph/graph.h"
#include "plan/plan.h"
#include "project/project.h"
#include "state/state.h"
#include "workspace_int.h"

static void add_target(struct workspace *ws, struct ix_stage *stage)
{
	for (size_t i = 0; i < ws->base.ntargets; i++)
		if (ws->base.targets[i] == stage)
			return;
	ws->base.targets = ix_realloc_array(ws->base.targets, ws->base.ntargets + 1, sizeof(*ws->base.targets));
	ws->base.targets[ws->base.ntargets++] = stage;
}

/* Nothing named: what nobody builds on, and what is published. */
static void default_targets(struct workspace *ws)
{
	ix_auto_free bool *used = ix_calloc(ws->base.graph->nstages, sizeof(*used));

	for (size_t i = 0; i < ws->base.graph->nstages; i++)
		for (size_t j = 0; j < ws->base.graph->stages[i]->nlinks; j++)
			used[ws->base.graph->stages[i]->links[j].stage->index] = true;
	for (size_t i = 0; i < ws->base.graph->nstages; i++)
		if (!ws->base.graph->stages[i]->inner && (!used[i] || ws->base.graph->stages[i]->npublish > 0))
			add_target(ws, ws->base.graph->stages[i]);
}

static int load_targets(struct workspace *ws, struct ix_err *err)
{
	const struct ix_strv *named = &ws->base.request->stages;
	size_t n = named->count ? named->count : ws->base.project->nstages;

	for (size_t i = 0; i < ws->base.request->force.count; i++)
		if (!ix_project_stage(ws->base.project, ws->base.request->force.items[i]))
			return ix_project_unknown_stage(ws->base.project, ws->base.request->force.items[i], err);
	for (size_t i = 0; i < n; i++) {
		const char *name = named->count ? named->items[i] : ws->base.project->stages[i].name;
		bool failed = false;
		struct ix_stage *stage = lower_project_stage(ws, name, &failed, err);

		if (!stage)
			return failed ? ix_err_code(err) : ix_project_unknown_stage(ws->base.project, name, err);
		if (named->count)
			add_target(ws, stage);
	}
	if (!named->count)
		default_targets(ws);
	return 0;
}

static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || !at[len]))
			return true;
	return false;
}

/* What the request says about all stages. */
static int apply_request(struct workspace *ws, struct ix_err *err)
{
	const struct ix_request *request = ws->base.request;
	int r = epoch_find(ws, &ws->base.epoch, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ws->base.graph->nstages; i++) {
		struct ix_stage *stage = ws->base.graph->stages[i];

		stage->epoch = ws->base.epoch;
		stage->no_cache = request->no_cache;
		for (size_t j = 0; j < request->no_cache_filter.count; j++)
			if (in_list(request->no_cache_filter.items[j], stage->alias ? stage->alias : stage->name))
				stage->no_cache = true;
	}
	return 0;
}

/* Two Dockerfiles, or one with two contexts, are two things that are built. */
static char *remembered_name(const struct workspace *ws)
{
	const struct lone *lone = &ws->lone;
	const char *target = ws->base.request->target;

	if (ws->base.project)
		return ix_strdup(ws->base.project->name);
	return ix_asprintf("%s\n%s\n%s", lone->path ? lone->path : "", ws->base.request->lone_context, target ? target : "");
}

static int load_graph(struct workspace *ws, struct ix_err *err)
{
	struct ix_stage *stage;
	size_t first = ws->nfiles;
	int r;

	/* Plan and keys point into the graph they were made of. */
	ix_plan_free(ws->base.plan);
	ix_state_free(ws->base.state);
	ws->base.plan = NULL;
	ws->base.state = NULL;
	ix_map_release(&ws->open);
	ix_graph_free(ws->base.graph);
	ws->base.graph = ix_graph_new();
	ws->base.ntargets = 0;
	ws->run = ws->base.request->run;
	/* The command line goes before the project. */
	ws->run.image_tls = ws->run.image_tls || (!ws->base.request->tls && ws->base.project && ws->base.project->image_tls);
	r = ws->base.project ? load_targets(ws, err) : lower_lone(ws, &stage, err);
	lint_tell(ws, first);
	if (r < 0)
		return r;
	if (!ws->base.project)
		add_target(ws, stage);
	r = apply_request(ws, err);
	if (r < 0)
		return r;
	free(ws->base.remembered);
	ws->base.remembered = remembered_name(ws);
	return ws->base.request->locking ? 0 : pins_apply(ws, err);
}

static int open_context(void *data, const struct ix_dir *dir, struct ix_context **ret_context, struct ix_err *err)
{
	struct workspace *ws = data;
	ix_auto_free char *key = ix_asprintf("%s\n%s", dir->path, dir->ignore_path ? dir->ignore_path : "");
	struct ix_context *context = ix_map_get(&ws->contexts, key);
	int r;

	if (!context) {
		r = ix_context_open(dir->path, dir->ignore_path, ws->stat_cache, &context, err);
		if (r < 0)
			return r;
		if (ws->base.project && ws->base.project->git_modes)
			ix_context_git_modes(context);
		ix_map_set(&ws->contexts, key, context);
	}
	*ret_context = context;
	return 0;
}

/* "host/" that publish names without a host get; NULL for none. */
static char *prefix_of(const struct workspace *ws)
{
	const char *registry = ws->base.project ? ws->base.project->registry : NULL;

	return registry ? ix_asprintf("%.*s/", (int)strcspn(registry, "/"), registry) : NULL;
}

static int make_plan(struct workspace *ws, struct ix_err *err)
{
	const struct ix_state_inputs inputs = { .image = resolved_image,
						.context = open_context,
						.remote = resolved_remote,
						.secret = secret_digest,
						.data = ws,
						.cancel = ws->cancel };
	ix_auto_free bool *needed = ix_calloc(ws->base.graph->nstages, sizeof(*needed));
	ix_auto_free char *prefix = prefix_of(ws);
	struct ix_plan_opts opts = {
		.force = (const char *const *)ws->base.request->force.items,
		.force_all = ws->base.request->force_all || ws->base.request->no_cache,
		.registry_prefix = prefix,
		.publish = ws->base.request->publish,
		.complete = ws->base.request->complete,
		.store = ws->base.store,
		.remembered = ws->base.remembered,
	};
	int r;

	ix_strv_release(&ws->base.channels);
	ix_workspace_channels(&ws->base, ws->base.request->channel, &ws->base.channels);
	opts.channels = (const char *const *)ws->base.channels.items;
	opts.nchannels = ws->base.channels.count;
	opts.sink = ws->sink;
	ix_graph_reach(ws->base.graph, ws->base.targets, ws->base.ntargets, needed);
	r = resolve_all(ws, needed, err);
	if (r < 0)
		return r;
	r = ix_state_new(ws->base.graph, needed, &inputs, &ws->base.state, err);
	if (r < 0)
		return r;
	return ix_plan_new(ws->base.graph, ws->base.targets, ws->base.ntargets, ws->base.state, ws->base.cache, &opts, &ws->base.plan, err);
}

static int need_input(const struct workspace *ws, struct ix_err *err)
{
	if (ws->base.project || ws->base.request->lone_context)
		return 0;
	return ix_err_set(err, IX_EARG,
			  "no ix.yaml here: name a project file with --project FILE, or build one Dockerfile with: ix build PATH");
}

/* The graph or its keys could not be made, of files for example. What is wrong with the language goes before that, in the order of lines, also
 * where only base images' configs tell. */
static int tell_mistake(struct workspace *ws, struct ix_err *err)
{
	const struct ix_err found = *err;
	int r;

	if (err->code == IX_ECANCELED || !ws->base.graph->awaits_bases)
		return ix_err_code(err);
	ws->judging = true;
	r = load_graph(ws, err);
	ws->judging = false;
	if (r == 0)
		*err = found;
	return ix_err_code(err);
}

int ix_workspace_plan(struct ix_workspace *workspace, struct ix_err *err)
{
	struct workspace *ws = workspace_of(workspace);
	bool changed;
	int r = need_input(ws, err);

	if (r < 0)
		return r;
	/* A key computed without knowing a base image's triggers is the right one exactly when it has none, and an image is published only by
	 * those who know: so looking up first is safe, and a fully cached project never asks for configs. */
	do {
		r = load_graph(ws, err);
		if (r == 0)
			r = make_plan(ws, err);
		if (r < 0)
			return tell_mistake(ws, err);
		r = facts_learn(ws, &changed, err);
		if (r < 0)
			return r;
	} while (changed);
	return 0;
}

int ix_workspace_load(struct ix_workspace *workspace, struct ix_err *err)
{
	struct workspace *ws = workspace_of(workspace);
	int r = need_input(ws, err);

	return r < 0 ? r : load_graph(ws, err);
}
