#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "cli_int.h"

const char *session_keep(struct session *session, char *text_take)
{
	const char *kept = ix_arena_strdup(session->graph->arena, text_take);

	free(text_take);
	return kept;
}

/* --- facts of base images --- */

static char *facts_name(const struct ix_source *image)
{
	return ix_asprintf("%s@%s %s", image->text, image->layout_ref ? image->layout_ref : "", image->platform);
}

static int resolve_image(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct session *session = data;
	struct ix_platform platform;

	bool pinned;

	int r = ix_platform_parse(source->platform, &platform, err);
	if (r < 0)
		return r;
	if (source->kind == IX_SOURCE_LAYOUT)
		return ix_cache_resolve_layout(session->cache, source->text, source->layout_ref, &platform, ret_digest, err);
	r = pins_image(session, source, &pinned, ret_digest, err);
	if (r < 0)
		return r;
	if (pinned)
		return 0;
	return ix_cache_resolve(session->cache, source->text, &platform, ret_digest, err);
}

/* A single image is taken as it is; one for another machine is worth a word. */
static void check_platform(struct session *session, const struct ix_source *source, const struct ix_image_config *config)
{
	ix_auto_free char *got = ix_platform_text(&config->platform);
	struct ix_platform want;
	struct ix_err ignored;

	if (config->platform.arch[0] && ix_platform_parse(source->platform, &want, &ignored) == 0 &&
	    (strcmp(want.os, config->platform.os) != 0 || strcmp(want.arch, config->platform.arch) != 0))
		session_warn(session,
			     "InvalidBaseImagePlatform: Base image %s was pulled with platform \"%s\", expected \"%s\" for current build",
			     source->text, got, source->platform);
}

static int fetch_facts(struct session *session, const struct ix_source *source, const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_free char *name = facts_name(source);
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	struct ix_image_facts *facts;

	if (ix_map_get(&session->facts, name))
		return 0;
	int r = ix_cache_image(session->cache, source->kind == IX_SOURCE_IMAGE ? source->text : NULL, digest, &manifest, &config, err);
	if (r < 0)
		return r;
	check_platform(session, source, &config);
	facts = ix_calloc(1, sizeof(*facts));
	ix_strv_copy(&facts->env, &config.env);
	ix_strv_copy(&facts->onbuild, &config.onbuild);
	facts->workdir = config.working_dir && *config.working_dir && strcmp(config.working_dir, "/") != 0;
	ix_map_set(&session->facts, name, facts);
	return 0;
}

static const struct ix_image_facts *facts_of(void *data, const struct ix_source *image, bool need, struct ix_err *err)
{
	struct session *session = data;
	ix_auto_free char *name = facts_name(image);
	struct ix_digest digest;

	if (!ix_map_get(&session->facts, name) && need &&
	    (resolve_image(session, image, &digest, err) < 0 || fetch_facts(session, image, &digest, err) < 0))
		return NULL;
	return ix_map_get(&session->facts, name);
}

/* --- lowering --- */

struct lowering {
	struct ix_lower_opts opts;
	struct ix_build_arg *args;
	struct ix_named_context *contexts;
	struct ix_strv texts;
};

static void lowering_release(struct lowering *lowering)
{
	free(lowering->args);
	free(lowering->contexts);
	ix_strv_release(&lowering->texts);
}

static void add_arg(struct lowering *lowering, const char *name, const char *value)
{
	lowering->args = ix_realloc_array(lowering->args, lowering->opts.nargs + 1, sizeof(*lowering->args));
	lowering->args[lowering->opts.nargs++] = (struct ix_build_arg){ name, value };
	lowering->opts.args = lowering->args;
}

/* --build-arg K=V; K alone takes the environment's value. */
static int add_request_args(struct session *session, struct lowering *lowering, struct ix_err *err)
{
	const struct ix_strv *args = &session->request->build_args;
	const char *epoch = getenv("SOURCE_DATE_EPOCH"); /* NOLINT(concurrency-mt-unsafe) */

	/* As docker has it; --build-arg, which comes later, wins. */
	if (epoch && *epoch && !session->project)
		add_arg(lowering, "SOURCE_DATE_EPOCH", epoch);

	for (size_t i = 0; i < args->count; i++) {
		const char *equals = strchr(args->items[i], '=');
		char *name = equals ? ix_strndup(args->items[i], (size_t)(equals - args->items[i])) : ix_strdup(args->items[i]);
		const char *value = equals ? equals + 1 : getenv(name); /* NOLINT(concurrency-mt-unsafe): no other thread sets it */

		ix_strv_take(&lowering->texts, name);
		if (!*name)
			return ix_err_set(err, IX_EARG, "--build-arg %s: write NAME=VALUE", args->items[i]);
		add_arg(lowering, name, value);
	}
	return 0;
}

/* What is fetched is fetched when something uses it. */
static int add_context(struct session *session, struct lowering *lowering, const char *name, const char *value, const char *base,
		       struct ix_err *err)
{
	struct ix_named_context context = { .name = name, .source.platform = lowering->opts.platform };
	int r = 0;

	if (session_is_remote(session, value))
		context.pending = value;
	else
		r = session_context(session, value, base, lowering->opts.platform, &context.source, err);
	if (r < 0)
		return r;
	lowering->contexts = ix_realloc_array(lowering->contexts, lowering->opts.ncontexts + 1, sizeof(*lowering->contexts));
	lowering->contexts[lowering->opts.ncontexts++] = context;
	lowering->opts.contexts = lowering->contexts;
	return 0;
}

/* Names are references, which are in lower case. */
static bool has_upper(const char *name)
{
	while (*name && !(*name >= 'A' && *name <= 'Z'))
		name++;
	return *name;
}

static int add_request_contexts(struct session *session, struct lowering *lowering, struct ix_err *err)
{
	const struct ix_strv *contexts = &session->request->build_contexts;
	ix_auto_free char *cwd = getcwd(NULL, 0);

	for (size_t i = 0; i < contexts->count; i++) {
		const char *equals = strchr(contexts->items[i], '=');
		const char *name;

		if (!equals || equals == contexts->items[i])
			return ix_err_set(err, IX_EARG, "--build-context %s: write NAME=VALUE", contexts->items[i]);
		name = session_keep(session, ix_strndup(contexts->items[i], (size_t)(equals - contexts->items[i])));
		if (has_upper(name))
			return ix_err_set(err, IX_EARG, "--build-context %s: a context's name is in lower case", contexts->items[i]);
		if (add_context(session, lowering, name, equals + 1, cwd, err) < 0)
			return ix_err_wrap(err, "--build-context %s", contexts->items[i]);
	}
	return 0;
}

static int lower_text(struct session *session, const char *name, const struct ix_buf *text, const struct lowering *lowering,
		      struct ix_stage **ret_stage, struct ix_err *err)
{
	struct ix_dockerfile *file;
	ix_auto_strv unused = { 0 };
	int r = ix_dockerfile_parse(name, ix_buf_str(text), text->len, &file, err);

	if (r < 0)
		return r;
	session->files = ix_realloc_array(session->files, session->nfiles + 1, sizeof(*session->files));
	session->files[session->nfiles++] = file; /* the graph points into it */
	ix_strv_add(&session->file_stages, lowering->opts.name);
	r = session_lint(session, file, &lowering->opts, err);
	if (r < 0)
		return r;
	/* Without a target a check is about all of it, from the top. */
	if (session->whole && !lowering->opts.target && (r = ix_dockerfile_check_all(file, &lowering->opts, err)) < 0)
		return r;
	r = ix_dockerfile_lower(file, &lowering->opts, session->graph, ret_stage, &unused, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ix_dockerfile_warnings(file)->count; i++)
		session_warn(session, "%s", ix_dockerfile_warnings(file)->items[i]);
	for (size_t i = 0; i < lowering->opts.nargs; i++)
		if (strcmp(lowering->opts.args[i].name, "BUILDKIT_INLINE_CACHE") == 0 ||
		    strcmp(lowering->opts.args[i].name, "BUILDKIT_MULTI_PLATFORM") == 0)
			session_warn(session, "build argument %s has no meaning here, ignoring", lowering->opts.args[i].name);
	for (size_t i = 0; i < unused.count && !session->project; i++)
		session_warn(session, "build argument %s is used by no ARG of %s", unused.items[i], name);
	return 0;
}

static void apply_labels(struct session *session, struct ix_stage *stage, const struct ix_project_stage *spec)
{
	struct ix_arena *arena = session->graph->arena;
	size_t n = 0;

	for (size_t i = 0; spec && i < spec->nlabels; i++) {
		*IX_ARENA_PUSH(arena, stage->labels, n) = spec->labels[i].name;
		*IX_ARENA_PUSH(arena, stage->labels, n) = spec->labels[i].value;
	}
	for (size_t i = 0; i < session->request->labels.count; i++) {
		const char *text = session->request->labels.items[i], *equals = strchr(text, '=');

		*IX_ARENA_PUSH(arena, stage->labels, n) = equals ? ix_arena_strndup(arena, text, (size_t)(equals - text)) : text;
		*IX_ARENA_PUSH(arena, stage->labels, n) = equals ? equals + 1 : "";
	}
	stage->nlabels = n / 2;
}

static const char *platform_of(struct session *session, const char *given, struct ix_err *err)
{
	struct ix_platform platform;

	if (given && strchr(given, ',')) {
		ix_err_set(err, IX_EARG, "--platform %s: several platforms in one image are not supported: build them one by one", given);
		return NULL;
	}
	if (given && ix_platform_parse(given, &platform, err) < 0)
		return NULL;
	if (!given)
		ix_platform_host(&platform);
	return session_keep(session, ix_platform_text(&platform));
}

static int set_common(struct session *session, struct lowering *lowering, const char *name, const char *platform, struct ix_err *err)
{
	struct ix_platform host;

	ix_platform_host(&host);
	lowering->opts.name = name;
	lowering->opts.platform = platform;
	lowering->opts.run = &session->run;
	lowering->opts.allow_insecure = session->request->allow_insecure;
	lowering->opts.build_platform = session_keep(session, ix_platform_text(&host));
	lowering->opts.facts = facts_of;
	lowering->opts.lint_needs_facts = session->checking;
	lowering->opts.open_context = session_open_context;
	lowering->opts.data = session;
	return add_request_args(session, lowering, err);
}

/* --- a stage of the project --- */

static int read_dockerfile(struct session *session, const struct ix_project_stage *spec, const char *context, char **ret_path,
			   struct ix_buf *text, struct ix_err *err)
{
	const char *file = spec->dockerfile ? spec->dockerfile : "Dockerfile";
	int r;

	if (spec->inline_text) {
		*ret_path = ix_asprintf("%s (stage %s)", session->project->path, spec->name);
		return ix_buf_append(text, spec->inline_text, strlen(spec->inline_text), err);
	}
	*ret_path = spec->dockerfile ? ix_path_resolve(session->project->dir, file) : ix_path_join(context, file);
	r = ix_read_file(AT_FDCWD, *ret_path, text, err);
	if (r < 0)
		return ix_err_wrap(err, "%s:%u:%u: Dockerfile of stage '%s'", session->project->path, spec->place.line, spec->place.column,
				   spec->name);
	return 0;
}

/* The file as the user knows it: relative to the working directory when it is inside. */
static char *shown_path(const char *path)
{
	ix_auto_free char *cwd = getcwd(NULL, 0);

	if (cwd && strcmp(cwd, "/") != 0 && ix_path_within(cwd, path) && path[strlen(cwd)] == '/')
		return ix_strdup(path + strlen(cwd) + 1);
	return ix_strdup(path);
}

static int fill_lowering(struct session *session, const struct ix_project_stage *spec, struct lowering *lowering, struct ix_err *err)
{
	for (size_t i = 0; i < spec->nargs; i++)
		add_arg(lowering, spec->args[i].name, spec->args[i].value ? spec->args[i].value : getenv(spec->args[i].name)); /* NOLINT */
	for (size_t i = 0; i < spec->ncontexts; i++) {
		if (add_context(session, lowering, spec->contexts[i].name, spec->contexts[i].value, session->project->dir, err) < 0)
			return ix_err_wrap(err, "%s:%u:%u: context '%s'", session->project->path, spec->contexts[i].place.line,
					   spec->contexts[i].place.column, spec->contexts[i].name);
	}
	return add_request_contexts(session, lowering, err);
}

/* A file from outside of the project and the stage's context that is no Dockerfile: nothing of it is quoted, it may be anything. */
static int refuse_stranger(const char *shown, const struct ix_buf *text, struct ix_err *err)
{
	struct ix_dockerfile *file;
	struct ix_err hidden;

	if (ix_dockerfile_parse(shown, ix_buf_str(text), text->len, &file, &hidden) < 0)
		return ix_err_set(err, IX_EARG, "%s is no Dockerfile; it is outside of the project, so nothing of it is shown", shown);
	ix_dockerfile_free(file);
	return 0;
}

static int load_stage(struct session *session, const struct ix_project_stage *spec, struct ix_stage **ret_stage, struct ix_err *err)
{
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	ix_auto_free const char **names = ix_calloc(session->project->nstages + 1, sizeof(char *));
	ix_auto_free char *context = ix_path_resolve(session->project->dir, spec->context);
	ix_auto_free char *path = NULL;
	ix_auto_free char *shown = NULL;
	ix_auto_buf text = IX_BUF_INIT(IX_TEXT_MAX);
	const char *platform = platform_of(session, session->request->platform ? session->request->platform : spec->platform, err);

	if (!platform || need_directory(context, "build context", err) < 0)
		return ix_err_wrap(err, "%s:%u:%u: stage '%s'", session->project->path, spec->place.line, spec->place.column, spec->name);
	int r = read_dockerfile(session, spec, context, &path, &text, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < session->project->nstages; i++)
		names[i] = session->project->stages[i].name;
	r = set_common(session, &lowering, spec->name, platform, err);
	if (r < 0)
		return r;
	lowering.opts.target = spec->target;
	lowering.opts.context = session_dir(session, ix_strdup(context), spec->inline_text ? NULL : path, spec->context);
	lowering.opts.find_stage = session_stage;
	lowering.opts.stage_names = names;
	shown = spec->inline_text ? ix_strdup(path) : shown_path(path);
	r = fill_lowering(session, spec, &lowering, err);
	if (r < 0)
		return r;
	if (!spec->inline_text && !ix_path_within(session->project->dir, path) && !ix_path_within(context, path) &&
	    (r = refuse_stranger(shown, &text, err)) < 0)
		return r;
	r = lower_text(session, shown, &text, &lowering, ret_stage, err);
	if (r < 0)
		return r;
	(*ret_stage)->publish = spec->publish;
	(*ret_stage)->npublish = spec->npublish;
	apply_labels(session, *ret_stage, spec);
	return 0;
}

struct ix_stage *session_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err)
{
	struct session *session = data;
	const struct ix_project_stage *spec = ix_project_stage(session->project, name);
	struct ix_stage *stage = ix_graph_find(session->graph, name);

	if (stage && !stage->inner)
		return stage;
	if (!spec)
		return NULL;
	if (ix_map_get(&session->open, name)) {
		*ret_failed = true;
		ix_err_set(err, IX_EARG, "stages need each other: '%s' is needed by what it is built from", name);
		return NULL;
	}
	ix_map_set(&session->open, name, session);
	*ret_failed = load_stage(session, spec, &stage, err) < 0;
	if (*ret_failed)
		return NULL;
	return stage;
}

/* --- a lone Dockerfile --- */

static int fill_lone(struct session *session, struct lowering *lowering, struct ix_err *err)
{
	const struct build_request *request = session->request;
	const struct lone *lone = &session->lone;
	const char *platform = platform_of(session, request->platform, err);
	int r;

	if (!platform)
		return ix_err_code(err);
	r = lone_prepare(session, err);
	if (r < 0)
		return r;
	r = set_common(session, lowering, "image", platform, err);
	if (r < 0)
		return r;
	lowering->opts.target = request->target;
	if (lone->dir)
		lowering->opts.context = session_dir(session, ix_strdup(lone->dir), lone->path, request->lone_context);
	return add_request_contexts(session, lowering, err);
}

static int load_lone(struct session *session, struct ix_stage **ret_stage, struct ix_err *err)
{
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	const struct lone *lone = &session->lone;
	ix_auto_free char *shown = NULL;
	int r = fill_lone(session, &lowering, err);

	if (r < 0)
		return r;
	shown = lone->shown ? ix_strdup(lone->shown) : shown_path(lone->path);
	r = lower_text(session, shown, &lone->text, &lowering, ret_stage, err);
	if (r < 0)
		return r;
	apply_labels(session, *ret_stage, NULL);
	return 0;
}

/* --- graph, keys, plan --- */

static void add_target(struct session *session, struct ix_stage *stage)
{
	for (size_t i = 0; i < session->ntargets; i++)
		if (session->targets[i] == stage)
			return;
	session->targets = ix_realloc_array(session->targets, session->ntargets + 1, sizeof(*session->targets));
	session->targets[session->ntargets++] = stage;
}

/* Nothing named: what nobody builds on, and what is published. */
static void default_targets(struct session *session)
{
	ix_auto_free bool *used = ix_calloc(session->graph->nstages, sizeof(*used));

	for (size_t i = 0; i < session->graph->nstages; i++)
		for (size_t j = 0; j < session->graph->stages[i]->nlinks; j++)
			used[session->graph->stages[i]->links[j].stage->index] = true;
	for (size_t i = 0; i < session->graph->nstages; i++)
		if (!session->graph->stages[i]->inner && (!used[i] || session->graph->stages[i]->npublish > 0))
			add_target(session, session->graph->stages[i]);
}

static int load_targets(struct session *session, struct ix_err *err)
{
	const struct ix_strv *named = &session->request->stages;
	size_t n = named->count ? named->count : session->project->nstages;

	for (size_t i = 0; i < session->request->force.count; i++)
		if (!ix_project_stage(session->project, session->request->force.items[i]))
			return ix_project_unknown_stage(session->project, session->request->force.items[i], err);
	for (size_t i = 0; i < n; i++) {
		const char *name = named->count ? named->items[i] : session->project->stages[i].name;
		bool failed = false;
		struct ix_stage *stage = session_stage(session, name, &failed, err);

		if (!stage)
			return failed ? ix_err_code(err) : ix_project_unknown_stage(session->project, name, err);
		if (named->count)
			add_target(session, stage);
	}
	if (!named->count)
		default_targets(session);
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
static int apply_request(struct session *session, struct ix_err *err)
{
	const struct build_request *request = session->request;
	int r = session_epoch(session, &session->epoch, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < session->graph->nstages; i++) {
		struct ix_stage *stage = session->graph->stages[i];

		stage->epoch = session->epoch;
		stage->no_cache = request->no_cache;
		for (size_t j = 0; j < request->no_cache_filter.count; j++)
			if (in_list(request->no_cache_filter.items[j], stage->alias ? stage->alias : stage->name))
				stage->no_cache = true;
	}
	return 0;
}

/* Two Dockerfiles, or one with two contexts, are two things that are built. */
static char *remembered_name(const struct session *session)
{
	const struct lone *lone = &session->lone;
	const char *target = session->request->target;

	if (session->project)
		return ix_strdup(session->project->name);
	return ix_asprintf("%s\n%s\n%s", lone->path ? lone->path : "", session->request->lone_context, target ? target : "");
}

static int load_graph(struct session *session, struct ix_err *err)
{
	struct ix_stage *stage;
	size_t first = session->nfiles;
	int r;

	/* Plan and keys point into the graph they were made of. */
	ix_plan_free(session->plan);
	ix_state_free(session->state);
	session->plan = NULL;
	session->state = NULL;
	ix_map_release(&session->open);
	ix_graph_free(session->graph);
	session->graph = ix_graph_new();
	session->ntargets = 0;
	session->run = session->request->run;
	/* The command line goes before the project. */
	session->run.image_tls = session->run.image_tls || (!session->request->tls && session->project && session->project->image_tls);
	r = session->project ? load_targets(session, err) : load_lone(session, &stage, err);
	session_tell_findings(session, first);
	if (r < 0)
		return r;
	if (!session->project)
		add_target(session, stage);
	r = apply_request(session, err);
	if (r < 0)
		return r;
	free(session->remembered);
	session->remembered = remembered_name(session);
	return session->request->locking ? 0 : pins_apply(session, err);
}

static int open_context(void *data, const struct ix_dir *dir, struct ix_context **ret_context, struct ix_err *err)
{
	struct session *session = data;
	ix_auto_free char *key = ix_asprintf("%s\n%s", dir->path, dir->ignore_path ? dir->ignore_path : "");
	struct ix_context *context = ix_map_get(&session->contexts, key);
	int r;

	if (!context) {
		r = ix_context_open(dir->path, dir->ignore_path, session->stat_cache, &context, err);
		if (r < 0)
			return r;
		if (session->project && session->project->git_modes)
			ix_context_git_modes(context);
		ix_map_set(&session->contexts, key, context);
	}
	*ret_context = context;
	return 0;
}

static int remote_identity(void *data, const struct ix_remote *remote, char **ret_identity, struct ix_err *err)
{
	struct session *session = data;

	return ix_remote_identity(session->remotes, remote, ret_identity, err);
}

static int make_plan(struct session *session, struct ix_err *err)
{
	const struct ix_state_inputs inputs = { .image = resolve_image,
						.context = open_context,
						.remote = remote_identity,
						.secret = secret_digest,
						.data = session,
						.cancel = session->cancel };
	ix_auto_free bool *needed = ix_calloc(session->graph->nstages, sizeof(*needed));
	ix_auto_free char *prefix = session_prefix(session);
	struct ix_plan_opts opts = {
		.force = (const char *const *)session->request->force.items,
		.force_all = session->request->force_all || session->request->no_cache,
		.registry_prefix = prefix,
		.publish = session->request->publish,
		.complete = session->request->complete,
		.store = session->store,
		.remembered = session->remembered,
	};

	ix_strv_release(&session->channels);
	session_channels(session, &session->channels);
	opts.channels = (const char *const *)session->channels.items;
	opts.nchannels = session->channels.count;
	opts.sink = ix_ui_sink(session->ui);
	ix_graph_reach(session->graph, session->targets, session->ntargets, needed);
	int r = ix_state_new(session->graph, needed, &inputs, &session->state, err);
	if (r < 0)
		return r;
	return ix_plan_new(session->graph, session->targets, session->ntargets, session->state, session->cache, &opts, &session->plan, err);
}

/* What is to be built on an external image needs that image's config: it may hold ONBUILD triggers, which are steps of their own.
 * *ret_changed: one of them has some that the graph does not know of. */
static int learn_facts(struct session *session, bool *ret_changed, struct ix_err *err)
{
	*ret_changed = false;
	for (size_t i = 0; i < session->graph->nstages; i++) {
		const struct ix_stage *stage = session->graph->stages[i];
		const struct ix_source *base = &stage->base;
		ix_auto_free char *name = NULL;
		const struct ix_image_facts *facts;

		if (session->plan->stages[i].decision != IX_PLAN_BUILD || (base->kind != IX_SOURCE_IMAGE && base->kind != IX_SOURCE_LAYOUT))
			continue;
		name = facts_name(base);
		if (ix_map_get(&session->facts, name))
			continue;
		if (fetch_facts(session, base, ix_state_image(session->state, base), err) < 0)
			return ix_err_wrap(err, "stage '%s'", stage->name);
		facts = ix_map_get(&session->facts, name);
		if (facts && facts->onbuild.count > 0)
			*ret_changed = true;
	}
	return 0;
}

static int need_input(const struct session *session, struct ix_err *err)
{
	if (session->project || session->request->lone_context)
		return 0;
	return ix_err_set(err, IX_EARG,
			  "no ix.yaml here: name a project file with --project FILE, or build one Dockerfile with: ix build PATH");
}

int session_plan(struct session *session, struct ix_err *err)
{
	bool changed;
	int r = need_input(session, err);

	if (r < 0)
		return r;
	/* A key computed without knowing a base image's triggers is the right one exactly when it has none, and an image is published only by
	 * those who know: so looking up first is safe, and a fully cached project never asks for configs. */
	do {
		if ((r = load_graph(session, err)) < 0 || (r = make_plan(session, err)) < 0 ||
		    (r = learn_facts(session, &changed, err)) < 0)
			return r;
	} while (changed);
	return 0;
}

int session_load(struct session *session, struct ix_err *err)
{
	int r = need_input(session, err);

	return r < 0 ? r : load_graph(session, err);
}

int session_outline(struct session *session, struct ix_outline *ret_outline, struct ix_err *err)
{
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	int r = fill_lone(session, &lowering, err);

	if (r < 0)
		return r;
	return ix_dockerfile_outline(session->files[session->nfiles - 1], &lowering.opts, ret_outline, err);
}
