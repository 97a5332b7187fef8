#include "lower_int.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "syntax/syntax.h"

/*
 * From syntax to graph. Inner stages are lowered when something asks for them, the target first, so that what nobody needs costs nothing.
 * What words can be known now: arguments, and the environment as far as it is set in Dockerfiles. The environment of an external base image
 * is read only when a word that chooses files or stages may need it.
 */
enum { DEPTH_MAX = 200 };

/* The external image at the root of a chain of stages, or NULL. */
static const struct ix_source *root_image(const struct ix_source *base)
{
	while (base->kind == IX_SOURCE_STAGE)
		base = &base->stage->base;
	return base->kind == IX_SOURCE_IMAGE || base->kind == IX_SOURCE_LAYOUT ? base : NULL;
}

/* What the base brings along: environment and triggers. */
static int inherit(struct making *self)
{
	struct lower *lower = self->lower;
	struct ix_stage *stage = self->stage;
	const struct ix_source *root = root_image(&stage->base);
	const struct ix_image_facts *facts = NULL;
	const struct ix_stage *parent = stage->base.kind == IX_SOURCE_STAGE ? stage->base.stage : NULL;
	bool missing = root && !(parent && parent->env_complete);

	if (parent)
		ix_strv_copy(&stage->env, &parent->env);
	stage->env_complete = !missing;
	if (missing && lower->opts->facts) {
		struct ix_err ignored;

		facts = lower->opts->facts(lower->opts->data, root, lower->needs_env || lower->opts->lint_needs_facts,
					   lower->needs_env ? lower->err : &ignored);
		if (!facts && lower->needs_env)
			return lower_at(lower, &stage->pos);
	}
	for (size_t i = 0; facts && i < facts->env.count; i++) {
		const char *equals = strchr(facts->env.items[i], '=');
		ix_auto_free char *name = equals ? ix_strndup(facts->env.items[i], (size_t)(equals - facts->env.items[i])) : NULL;

		if (name && !ix_env_get(&stage->env, name))
			ix_env_set(&stage->env, name, equals + 1);
	}
	stage->env_complete = stage->env_complete || facts;
	if (!parent)
		self->workdir = root && (!facts || facts->workdir);
	for (size_t i = 0; parent && i < parent->nonbuild; i++)
		if (lower_add_trigger(self, parent->onbuild[i]) < 0)
			return lower_failed(lower);
	for (size_t i = 0; !parent && facts && i < facts->onbuild.count; i++)
		if (lower_add_trigger(self, facts->onbuild.items[i]) < 0)
			return lower_failed(lower);
	return 0;
}

/* os/arch[/variant] */
static bool is_platform(const char *text)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t parts = 0;

	for (;; text++) {
		size_t len = strspn(text, good);

		text += len;
		if (len == 0 || ++parts > 3 || (*text && *text != '/'))
			return false;
		if (!*text)
			return true;
	}
}

/* A lone word is an operating system or an architecture that somebody knows. */
static int check_platform(struct lower *self, const char *platform, const char *written, const struct ix_pos *pos)
{
	static const char *const known[] = {
		"aix",     "android", "darwin", "dragonfly", "freebsd", "hurd",     "illumos", "ios",    "js",      "linux", "nacl",
		"netbsd",  "openbsd", "plan9",  "solaris",   "windows", "zos",      "386",     "amd64",  "arm",     "arm64", "armbe",
		"arm64be", "loong64", "mips",   "mipsle",    "mips64",  "mips64le", "ppc",     "ppc64",  "ppc64le", "riscv", "riscv64",
		"s390",    "s390x",   "sparc",  "sparc64",   "wasm",    "i386",     "x86_64",  "x86-64", "aarch64", "armhf", "armel",
	};
	const char *near;

	if (!*platform)
		return ix_df_err(self->file, self->err, pos, "FROM --platform=%s is empty", written);
	if (strchr(platform, '/') && is_platform(platform))
		return 0;
	if (strchr(platform, '/'))
		return ix_df_err(self->file, self->err, pos, "FROM --platform=%s: write os/arch[/variant], as linux/amd64", platform);
	for (size_t i = 0; i < IX_ARRAY_LEN(known); i++)
		if (ix_strcaseeq(platform, known[i]))
			return 0;
	near = ix_nearest(platform, known, IX_ARRAY_LEN(known));
	return ix_df_err(self->file, self->err, pos,
			 near ? "FROM --platform=%s: unknown operating system or architecture (did you mean %s?)"
			      : "FROM --platform=%s: unknown operating system or architecture",
			 platform, near);
}

/* The words of a FROM; *ret_platform stays when it names none. */
static int from_words(struct lower *self, const struct ix_df_instr *from, const char **ret_name, const char **ret_platform)
{
	const char *platform = ix_df_flag_value(from, "platform");
	struct values values = { &self->globals, NULL, false };
	int r = lower_expand(self, &values, from->words[0], &from->pos, ret_name);

	if (r < 0)
		return r;
	if (!**ret_name)
		return ix_df_err(self->file, self->err, &from->pos, "base name (%s) should not be blank", from->words[0]);
	if (!platform || !*platform)
		return 0;
	r = lower_expand(self, &values, platform, &from->pos, ret_platform);
	return r < 0 ? r : check_platform(self, *ret_platform, platform, &from->pos);
}

/* All of them are read before any instruction, needed or not. */
static int check_froms(struct lower *self)
{
	for (size_t i = 0; i < self->file->nstages; i++) {
		const struct ix_df_instr *from = &self->file->stages[i].from;
		const char *name, *platform = self->opts->platform;
		int r = from_words(self, from, &name, &platform);

		if (r == 0)
			r = lower_check_base(self, name, i, platform, &from->pos);
		if (r == 0)
			continue;
		ix_df_checks_refused(self->file, IX_DF_PHASE_FROM, from->pos.line);
		return r;
	}
	return 0;
}

static int do_from(struct making *self)
{
	struct lower *lower = self->lower;
	const struct ix_df_instr *from = &lower->file->stages[self->index].from;
	const char *name;
	size_t inner;
	int r;

	self->stage->pos = from->pos;
	self->stage->platform = ix_arena_strdup(lower->graph->arena, lower->opts->platform);
	r = from_words(lower, from, &name, &self->stage->platform);
	if (r < 0)
		return r;
	if (lower_resolve(lower, name, self->index, false, self->stage->platform, &from->pos, &self->stage->base) < 0)
		return lower_failed(lower);
	if (self->stage->base.kind == IX_SOURCE_SCRATCH)
		self->stage->platform = ix_arena_strdup(lower->graph->arena, lower->opts->platform); /* nothing is of any platform */
	if (self->stage->base.kind == IX_SOURCE_DIR)
		return ix_df_err(lower->file, lower->err, &from->pos, "'%s' is a directory of files and cannot be a base image", name);
	lower_link_source(self, &self->stage->base, true);
	/* Arguments come along from an inner stage, not from another file. */
	if (lower_inner_stage(lower, name, self->index, false, &inner) && lower->done[inner].stage == self->stage->base.stage) {
		scope_copy(lower, &lower->done[inner].scope, &self->scope);
		self->workdir = lower->done[inner].workdir;
	}
	return inherit(self);
}

static int lower_stage(struct lower *self, size_t index, struct ix_stage **ret_stage)
{
	const struct ix_df_stage *source = &self->file->stages[index];
	ix_auto_free char *name = NULL;
	struct making making = { .lower = self, .index = index, .workdir = true };

	if (self->done[index].stage) {
		*ret_stage = self->done[index].stage;
		return 0;
	}
	if (++self->depth > DEPTH_MAX)
		return ix_df_err(self->file, self->err, &source->from.pos, "stages are nested deeper than %d", DEPTH_MAX);
	name = index == self->target ? ix_strdup(self->opts->name)
	       : source->name        ? ix_asprintf("%s.%s", self->opts->name, source->name)
				     : ix_asprintf("%s.%zu", self->opts->name, index);
	/* The stage joins the graph when what it needs is there, so that errors leave no half of it behind. */
	making.stage = ix_arena_alloc(self->graph->arena, sizeof(*making.stage));
	making.stage->name = ix_arena_strdup(self->graph->arena, name);
	making.stage->inner = index != self->target;
	making.stage->alias = source->name;
	if (do_from(&making) < 0) {
		ix_df_checks_refused(self->file, IX_DF_PHASE_FROM, source->from.pos.line);
		goto fail;
	}
	for (size_t i = 0; i < source->ninstrs; i++)
		if (lower_add_step(&making, &source->instrs[i], false) < 0) {
			ix_df_checks_refused(self->file, IX_DF_PHASE_STEPS, source->instrs[i].pos.line);
			goto fail;
		}
	if (making.stage->inner && making.stage->nsteps == 0 && making.stage->base.kind == IX_SOURCE_STAGE) {
		/* "FROM $IMAGE AS name" and nothing more is another name for that stage. */
		ix_strv_release(&making.stage->env);
		making.stage = making.stage->base.stage;
		self->done[index] = (struct lowered){ making.stage, making.scope, making.workdir };
		self->depth--;
		*ret_stage = making.stage;
		return 0;
	}
	ix_graph_join(self->graph, making.stage);
	self->done[index] = (struct lowered){ making.stage, making.scope, making.workdir };
	self->depth--;
	*ret_stage = making.stage;
	return 0;
fail:
	ix_strv_release(&making.stage->env);
	return lower_failed(self);
}

/* --- the whole file --- */

static void platform_args(struct lower *self, const char *prefix, const char *platform)
{
	ix_auto_free char *copy = ix_strdup(platform ? platform : "");
	char *rest = copy, *part;
	static const char *const parts[] = { "OS", "ARCH", "VARIANT" };

	{
		ix_auto_free char *name = ix_asprintf("%sPLATFORM", prefix);

		scope_set(self, &self->globals, name, platform);
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(parts); i++) {
		ix_auto_free char *name = ix_asprintf("%s%s", prefix, parts[i]);

		part = strsep(&rest, "/");
		scope_set(self, &self->globals, name, part ? part : "");
	}
}

static int lower_globals(struct lower *self)
{
	const struct ix_df_stage *target = &self->file->stages[self->target];

	platform_args(self, "TARGET", self->opts->platform);
	platform_args(self, "BUILD", self->opts->build_platform ? self->opts->build_platform : self->opts->platform);
	scope_set(self, &self->globals, "TARGETSTAGE", self->opts->target ? self->opts->target : target->name ? target->name : "default");
	for (size_t i = 0; i < self->file->nglobals; i++) {
		const struct ix_df_instr *instr = &self->file->globals[i];
		const struct ix_build_arg *given = lower_build_arg(self, instr->words[0]);
		struct values values = { &self->globals, NULL, false };
		const char *value = NULL;

		if (given && given->value) {
			value = given->value;
		} else if (instr->nwords > 1 && lower_expand(self, &values, instr->words[1], &instr->pos, &value) < 0) {
			ix_df_checks_refused(self->file, IX_DF_PHASE_FROM, instr->pos.line);
			return lower_failed(self);
		}
		if (!value && scope_find(&self->globals, instr->words[0]))
			continue; /* ARG TARGETPLATFORM keeps what it is */
		scope_set(self, &self->globals, instr->words[0], value);
	}
	return 0;
}

/* No stage copies from itself, needed or not. Of several instructions of a stage that would, the last one is told. */
static int check_circles(const struct ix_dockerfile *file, struct ix_err *err)
{
	const struct ix_df_instr *last = NULL;

	for (size_t i = 0; i < file->nstages; i++) {
		ix_auto_free char *number = ix_asprintf("%zu", i);

		for (size_t j = 0; j < file->stages[i].ninstrs; j++) {
			const struct ix_df_instr *instr = &file->stages[i].instrs[j];
			const char *from = instr->kind == IX_STEP_COPY ? ix_df_flag_value(instr, "from") : NULL;

			if (!from || !(strcmp(from, number) == 0 || (file->stages[i].name && ix_strcaseeq(from, file->stages[i].name))))
				continue;
			last = instr;
		}
		if (!last)
			continue;
		ix_df_checks_refused(file, IX_DF_PHASE_FROM, UINT_MAX);
		return ix_df_err(file, err, &last->pos, "--from=%s: a stage cannot copy from itself", ix_df_flag_value(last, "from"));
	}
	return 0;
}

static int find_target(struct lower *self)
{
	const char *names[64];
	size_t n = 0;
	const char *near;

	self->target = self->file->nstages - 1;
	if (!self->opts->target || lower_inner_stage(self, self->opts->target, self->file->nstages, true, &self->target))
		return 0;
	for (size_t i = 0; i < self->file->nstages && n < IX_ARRAY_LEN(names); i++)
		if (self->file->stages[i].name)
			names[n++] = self->file->stages[i].name;
	near = ix_nearest(self->opts->target, names, n);
	return ix_err_set(self->err, IX_EARG,
			  near ? "%s: target stage \"%s\" could not be found (did you mean %s?)"
			       : "%s: target stage \"%s\" could not be found",
			  self->file->name, self->opts->target, near);
}

/* Arguments that need no ARG: proxies and what steers BuildKit. */
static bool predefined(const char *name)
{
	static const char *const names[] = { "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH" };

	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++)
		if (ix_strcaseeq(name, names[i]))
			return true;
	return ix_starts(name, "BUILDKIT_");
}

int ix_dockerfile_lower(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_graph *graph,
			struct ix_stage **ret_stage, struct ix_strv *unused, struct ix_err *err)
{
	struct lower self = { .file = file, .opts = opts, .graph = graph, .err = err, .lower_stage = lower_stage };
	ix_auto_free struct lowered *done = ix_calloc(file->nstages, sizeof(*done));
	ix_auto_free bool *used = ix_calloc(opts->nargs, sizeof(*used));
	int r;

	self.done = done;
	self.used_args = used;
	if ((r = find_target(&self)) < 0 || (r = lower_globals(&self)) < 0 || (r = check_froms(&self)) < 0 ||
	    (r = check_circles(file, err)) < 0)
		return r;
	self.needs_env = lower_needs_env(&self);
	r = lower_stage(&self, self.target, ret_stage);
	if (r < 0)
		return r;
	/* An argument of a stage that is not needed is not unused. */
	for (size_t i = 0; i < file->nstages; i++)
		for (size_t j = 0; j < file->stages[i].ninstrs; j++)
			if (file->stages[i].instrs[j].kind == IX_STEP_ARG)
				(void)lower_build_arg(&self, file->stages[i].instrs[j].words[0]);
	for (size_t i = 0; unused && i < opts->nargs; i++)
		if (!used[i] && !predefined(opts->args[i].name))
			ix_strv_add(unused, opts->args[i].name);
	return 0;
}

int ix_dockerfile_check_all(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_err *err)
{
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	struct ix_lower_opts one = *opts;

	for (size_t i = 0; i < file->nstages; i++) {
		ix_auto_free char *number = ix_asprintf("%zu", i);
		struct ix_stage *stage;

		one.target = number;
		ix_df_checks_accepted(file);
		if (ix_dockerfile_lower(file, &one, graph, &stage, NULL, err) == -IX_EARG) {
			ix_df_checks_end(file);
			return -IX_EARG;
		}
	}
	return 0;
}

const char *ix_dockerfile_global(const struct ix_dockerfile *file, const char *name)
{
	for (size_t i = file->nglobals; i-- > 0;)
		if (strcmp(file->globals[i].words[0], name) == 0 && file->globals[i].nwords > 1)
			return file->globals[i].words[1];
	return NULL;
}
