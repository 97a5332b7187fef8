/* Dockerfiles, of the project's stages or a lone one, become stages of the graph. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "base/str.h"
#include "dockerfile/dockerfile.h"
#include "graph/graph.h"
#include "oci/image.h"
#include "project/project.h"
#include "syntax/syntax.h"
#include "workspace_int.h"

enum { DEPTH_MAX = 200 };

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
static int add_request_args(struct workspace *ws, struct lowering *lowering, struct ix_err *err)
{
	const struct ix_strv *args = &ws->base.request->build_args;
	const char *epoch = getenv("SOURCE_DATE_EPOCH");

	/* As docker has it; --build-arg, which comes later, wins. */
	if (epoch && *epoch && !ws->base.project)
		add_arg(lowering, "SOURCE_DATE_EPOCH", epoch);

	for (size_t i = 0; i < args->count; i++) {
		const char *equals = strchr(args->items[i], '=');
		char *name = equals ? ix_strndup(args->items[i], (size_t)(equals - args->items[i])) : ix_strdup(args->items[i]);
		const char *value = equals ? equals + 1 : getenv(name);

		ix_strv_take(&lowering->texts, name);
		if (!*name)
			return ix_err_set(err, IX_EARG, "--build-arg %s: write NAME=VALUE", args->items[i]);
		add_arg(lowering, name, value);
	}
	return 0;
}

/* A stage is lowered where another one names it, no deeper than DEPTH_MAX. NOLINTBEGIN(misc-no-recursion) */

/* --- named contexts --- */

/* A named context's value: docker-image://, oci-layout://, stage:NAME or a directory relative to base. */
static int named_source(struct workspace *ws, const char *value, const char *base, const char *platform, struct ix_source *ret_source,
			struct ix_err *err)
{
	bool failed = false;
	char *path = NULL;

	*ret_source = (struct ix_source){ .platform = platform };
	if (strcmp(value, "docker-image://scratch") == 0)
		return 0;
	if (ix_starts(value, "docker-image://")) {
		ret_source->kind = IX_SOURCE_IMAGE;
		ret_source->text = ix_arena_strdup(ws->base.graph->arena, value + 15);
		return 0;
	}
	if (ix_starts(value, "oci-layout://")) {
		ix_auto_free char *dir = ix_strdup(value + 13);
		char *at = strchr(dir, '@'), *colon = strrchr(dir, ':');

		ret_source->kind = IX_SOURCE_LAYOUT;
		if (at || (colon && !strchr(colon, '/'))) {
			char *cut = at ? at : colon;

			*cut = '\0';
			ret_source->layout_ref = ix_arena_strdup(ws->base.graph->arena, cut + 1);
		}
		ret_source->text = workspace_keep(ws, ix_path_resolve(base, dir));
		return 0;
	}
	if (ix_starts(value, "stage:") && ws->base.project) {
		ret_source->kind = IX_SOURCE_STAGE;
		ret_source->stage = lower_project_stage(ws, value + 6, &failed, err);
		if (ret_source->stage)
			return 0;
		return failed ? ix_err_code(err) : ix_project_unknown_stage(ws->base.project, value + 6, err);
	}
	switch (context_remote(ws, value, &path, NULL, err)) {
	case 0:
		if (strstr(value, "://"))
			return ix_err_set(err, IX_EARG, "context '%s': docker-image://, oci-layout://, a URL or a directory", value);
		path = ix_path_resolve(base, value);
		break;
	case 1:
		break;
	default:
		return ix_err_code(err);
	}
	int r = context_need_directory(path, "context", err);
	if (r < 0) {
		free(path);
		return r;
	}
	ret_source->kind = IX_SOURCE_DIR;
	ret_source->dir = context_dir(ws, path, NULL, value);
	return 0;
}

struct opened_context {
	const char *value;
	struct ix_source source;
	struct opened_context *next;
};

static bool is_remote(struct workspace *ws, const char *value)
{
	struct ix_remote remote;
	struct ix_err ignored; /* what is malformed is told where it is looked at */

	return ix_remote_parse(ws->base.graph->arena, value, &remote, &ignored) == 0 && remote.kind != IX_REMOTE_NONE;
}

static int open_named(void *data, const struct ix_named_context *context, struct ix_source *ret_source, struct ix_err *err)
{
	struct workspace *ws = data;
	struct opened_context *opened;
	int r;

	for (opened = ws->opened; opened; opened = opened->next) {
		if (strcmp(opened->value, context->pending) == 0) {
			*ret_source = opened->source;
			return 0;
		}
	}
	r = named_source(ws, context->pending, "/", context->source.platform, ret_source, err);
	if (r < 0)
		return ix_err_wrap(err, "context '%s'", context->name);
	opened = ix_arena_alloc(ws->base.graph->arena, sizeof(*opened));
	*opened = (struct opened_context){ context->pending, *ret_source, ws->opened };
	ws->opened = opened;
	return 0;
}

/* What is fetched is fetched when something uses it. */
static int add_context(struct workspace *ws, struct lowering *lowering, const char *name, const char *value, const char *base,
		       struct ix_err *err)
{
	struct ix_named_context context = { .name = name, .source.platform = lowering->opts.platform };
	int r = 0;

	if (is_remote(ws, value))
		context.pending = value;
	else
		r = named_source(ws, value, base, lowering->opts.platform, &context.source, err);
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

static int add_request_contexts(struct workspace *ws, struct lowering *lowering, struct ix_err *err)
{
	const struct ix_strv *contexts = &ws->base.request->build_contexts;
	ix_auto_free char *cwd = getcwd(NULL, 0);

	for (size_t i = 0; i < contexts->count; i++) {
		const char *equals = strchr(contexts->items[i], '=');
		const char *name;

		if (!equals || equals == contexts->items[i])
			return ix_err_set(err, IX_EARG, "--build-context %s: write NAME=VALUE", contexts->items[i]);
		name = workspace_keep(ws, ix_strndup(contexts->items[i], (size_t)(equals - contexts->items[i])));
		if (has_upper(name))
			return ix_err_set(err, IX_EARG, "--build-context %s: a context's name is in lower case", contexts->items[i]);
		if (add_context(ws, lowering, name, equals + 1, cwd, err) < 0)
			return ix_err_wrap(err, "--build-context %s", contexts->items[i]);
	}
	return 0;
}

static int lower_text(struct workspace *ws, const char *name, const struct ix_buf *text, const struct lowering *lowering,
		      struct ix_stage **ret_stage, struct ix_err *err)
{
	struct ix_dockerfile *file;
	ix_auto_strv unused = { 0 };
	int read = ix_dockerfile_parse(name, ix_buf_str(text), text->len, &file, err), r;

	ws->files = ix_realloc_array(ws->files, ws->nfiles + 1, sizeof(*ws->files));
	ws->files[ws->nfiles++] = file; /* the graph points into it */
	ix_strv_add(&ws->file_stages, lowering->opts.name);
	if (read < 0) {
		struct ix_err ignored;

		(void)lint_file(ws, file, &lowering->opts, &ignored);
		return read;
	}
	r = lint_file(ws, file, &lowering->opts, err);
	if (r < 0)
		return r;
	/* Without a target a check is about all of it, from the top. */
	if (ws->base.request->whole && !lowering->opts.target && (r = ix_dockerfile_check_all(file, &lowering->opts, err)) < 0)
		return r;
	r = ix_dockerfile_lower(file, &lowering->opts, ws->base.graph, ret_stage, &unused, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ix_dockerfile_warnings(file)->count; i++)
		workspace_warn(ws, "%s", ix_dockerfile_warnings(file)->items[i]);
	for (size_t i = 0; i < lowering->opts.nargs; i++)
		if (strcmp(lowering->opts.args[i].name, "BUILDKIT_INLINE_CACHE") == 0 ||
		    strcmp(lowering->opts.args[i].name, "BUILDKIT_MULTI_PLATFORM") == 0)
			workspace_warn(ws, "build argument %s has no meaning here, ignoring", lowering->opts.args[i].name);
	for (size_t i = 0; i < unused.count && !ws->base.project; i++)
		workspace_warn(ws, "build argument %s is used by no ARG of %s", unused.items[i], name);
	return 0;
}

static void apply_labels(struct workspace *ws, struct ix_stage *stage, const struct ix_project_stage *spec)
{
	struct ix_arena *arena = ws->base.graph->arena;
	size_t n = 0;

	for (size_t i = 0; spec && i < spec->nlabels; i++) {
		*IX_ARENA_PUSH(arena, stage->labels, n) = spec->labels[i].name;
		*IX_ARENA_PUSH(arena, stage->labels, n) = spec->labels[i].value;
	}
	for (size_t i = 0; i < ws->base.request->labels.count; i++) {
		const char *text = ws->base.request->labels.items[i], *equals = strchr(text, '=');

		*IX_ARENA_PUSH(arena, stage->labels, n) = equals ? ix_arena_strndup(arena, text, (size_t)(equals - text)) : text;
		*IX_ARENA_PUSH(arena, stage->labels, n) = equals ? equals + 1 : "";
	}
	stage->nlabels = n / 2;
}

static const char *platform_of(struct workspace *ws, const char *given, struct ix_err *err)
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
	return workspace_keep(ws, ix_platform_text(&platform));
}

static int set_common(struct workspace *ws, struct lowering *lowering, const char *name, const char *platform, struct ix_err *err)
{
	struct ix_platform host;

	ix_platform_host(&host);
	lowering->opts.name = name;
	lowering->opts.platform = platform;
	lowering->opts.run = &ws->run;
	lowering->opts.allow_insecure = ws->base.request->allow_insecure;
	lowering->opts.build_platform = workspace_keep(ws, ix_platform_text(&host));
	lowering->opts.facts = facts_of;
	lowering->opts.lint_needs_facts = ws->base.request->checking || ws->judging;
	lowering->opts.open_context = open_named;
	lowering->opts.data = ws;
	return add_request_args(ws, lowering, err);
}

/* --- a stage of the project --- */

static int read_dockerfile(struct workspace *ws, const struct ix_project_stage *spec, const char *context, char **ret_path,
			   struct ix_buf *text, struct ix_err *err)
{
	const char *file = spec->dockerfile ? spec->dockerfile : "Dockerfile";
	int r;

	if (spec->inline_text) {
		*ret_path = ix_asprintf("%s (stage %s)", ws->base.project->path, spec->name);
		return ix_buf_append(text, spec->inline_text, strlen(spec->inline_text), err);
	}
	*ret_path = spec->dockerfile ? ix_path_resolve(ws->base.project->dir, file) : ix_path_join(context, file);
	r = ix_read_file(AT_FDCWD, *ret_path, text, err);
	if (r < 0)
		return ix_err_wrap(err, "%s:%u:%u: Dockerfile of stage '%s'", ws->base.project->path, spec->place.line, spec->place.column,
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

static int fill_lowering(struct workspace *ws, const struct ix_project_stage *spec, struct lowering *lowering, struct ix_err *err)
{
	for (size_t i = 0; i < spec->nargs; i++)
		add_arg(lowering, spec->args[i].name, spec->args[i].value ? spec->args[i].value : getenv(spec->args[i].name));
	for (size_t i = 0; i < spec->ncontexts; i++) {
		if (add_context(ws, lowering, spec->contexts[i].name, spec->contexts[i].value, ws->base.project->dir, err) < 0)
			return ix_err_wrap(err, "%s:%u:%u: context '%s'", ws->base.project->path, spec->contexts[i].place.line,
					   spec->contexts[i].place.column, spec->contexts[i].name);
	}
	return add_request_contexts(ws, lowering, err);
}

/* A file from outside of the project and the stage's context that is no Dockerfile: nothing of it is quoted, it may be anything. */
static int refuse_stranger(const char *shown, const struct ix_buf *text, struct ix_err *err)
{
	ix_scoped(ix_dockerfile_freep) struct ix_dockerfile *file = NULL;
	struct ix_err hidden;

	if (ix_dockerfile_parse(shown, ix_buf_str(text), text->len, &file, &hidden) < 0)
		return ix_err_set(err, IX_EARG, "%s is no Dockerfile; it is outside of the project, so nothing of it is shown", shown);
	return 0;
}

static int load_stage(struct workspace *ws, const struct ix_project_stage *spec, struct ix_stage **ret_stage, struct ix_err *err)
{
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	ix_auto_free char *context = ix_path_resolve(ws->base.project->dir, spec->context);
	ix_auto_free char *path = NULL;
	ix_auto_free char *shown = NULL;
	ix_auto_buf text = IX_BUF_INIT(IX_TEXT_MAX);
	const char *platform = platform_of(ws, ws->base.request->platform ? ws->base.request->platform : spec->platform, err);

	if (!platform || context_need_directory(context, "build context", err) < 0)
		return ix_err_wrap(err, "%s:%u:%u: stage '%s'", ws->base.project->path, spec->place.line, spec->place.column, spec->name);
	int r = read_dockerfile(ws, spec, context, &path, &text, err);
	if (r < 0)
		return r;
	r = set_common(ws, &lowering, spec->name, platform, err);
	if (r < 0)
		return r;
	lowering.opts.target = spec->target;
	lowering.opts.context = context_dir(ws, ix_strdup(context), spec->inline_text ? NULL : path, spec->context);
	lowering.opts.find_stage = lower_project_stage;
	lowering.opts.stage_names = ws->base.project->names;
	shown = spec->inline_text ? ix_strdup(path) : shown_path(path);
	r = fill_lowering(ws, spec, &lowering, err);
	if (r < 0)
		return r;
	if (!spec->inline_text && !ix_path_within(ws->base.project->dir, path) && !ix_path_within(context, path) &&
	    (r = refuse_stranger(shown, &text, err)) < 0)
		return r;
	r = lower_text(ws, shown, &text, &lowering, ret_stage, err);
	if (r < 0)
		return r;
	(*ret_stage)->publish = spec->publish;
	(*ret_stage)->npublish = spec->npublish;
	apply_labels(ws, *ret_stage, spec);
	return 0;
}

struct ix_stage *lower_project_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err)
{
	struct workspace *ws = data;
	const struct ix_project_stage *spec = ix_project_stage(ws->base.project, name);
	struct ix_stage *stage = ix_graph_find(ws->base.graph, name);

	if (stage && !stage->inner)
		return stage;
	if (!spec)
		return NULL;
	if (ix_map_get(&ws->open, name)) {
		*ret_failed = true;
		ix_err_set(err, IX_EARG, "stages need each other: '%s' is needed by what it is built from", name);
		return NULL;
	}
	if (ws->depth >= DEPTH_MAX) {
		*ret_failed = true;
		ix_err_set(err, IX_ELIMIT, "stages stand on each other deeper than %d", DEPTH_MAX);
		return NULL;
	}
	ix_map_set(&ws->open, name, ws);
	ws->depth++;
	*ret_failed = load_stage(ws, spec, &stage, err) < 0;
	ws->depth--;
	return *ret_failed ? NULL : stage;
}

/* NOLINTEND(misc-no-recursion) */

/* --- a lone Dockerfile --- */

static int prepare_lone(struct workspace *ws, struct lowering *lowering, struct ix_err *err)
{
	const struct ix_request *request = ws->base.request;
	const struct lone *lone = &ws->lone;
	const char *platform = platform_of(ws, request->platform, err);
	int r;

	if (!platform)
		return ix_err_code(err);
	r = lone_prepare(ws, err);
	if (r < 0)
		return r;
	r = set_common(ws, lowering, "image", platform, err);
	if (r < 0)
		return r;
	lowering->opts.target = request->target;
	if (lone->dir)
		lowering->opts.context = context_dir(ws, ix_strdup(lone->dir), lone->path, request->lone_context);
	return add_request_contexts(ws, lowering, err);
}

int lower_lone(struct workspace *ws, struct ix_stage **ret_stage, struct ix_err *err)
{
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	const struct lone *lone = &ws->lone;
	ix_auto_free char *shown = NULL;
	int r = prepare_lone(ws, &lowering, err);

	if (r < 0)
		return r;
	shown = lone->shown ? ix_strdup(lone->shown) : shown_path(lone->path);
	r = lower_text(ws, shown, &lone->text, &lowering, ret_stage, err);
	if (r < 0)
		return r;
	apply_labels(ws, *ret_stage, NULL);
	return 0;
}

int ix_workspace_outline(struct ix_workspace *workspace, struct ix_outline *ret_outline, struct ix_err *err)
{
	struct workspace *ws = workspace_of(workspace);
	ix_scoped(lowering_release) struct lowering lowering = { 0 };
	int r = prepare_lone(ws, &lowering, err);

	if (r < 0)
		return r;
	return ix_dockerfile_outline(ws->files[ws->nfiles - 1], &lowering.opts, ret_outline, err);
}
