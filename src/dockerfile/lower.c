#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "dockerfile_int.h"

/*
 * From syntax to graph. Inner stages are lowered when something asks for them, the target first, so that what nobody needs costs nothing.
 * What words can be known now: arguments, and the environment as far as it is set in Dockerfiles. The environment of an external base image
 * is read only when a word that chooses files or stages may need it.
 */
enum { DEPTH_MAX = 200 };

struct scope_arg {
	const char *name;
	const char *value;
	struct ix_stage *link;
};

struct scope {
	struct scope_arg *args;
	size_t nargs;
};

struct lowered {
	struct ix_stage *stage; /* NULL: not yet */
	struct scope scope;     /* at its end: what a stage built FROM it inherits */
};

struct lower {
	const struct ix_dockerfile *file;
	const struct ix_lower_opts *opts;
	struct ix_graph *graph;
	struct ix_err *err;
	struct scope globals;
	struct lowered *done; /* by stage of the file */
	bool *used_args;      /* by build argument */
	size_t target;
	bool needs_env; /* some word that chooses files or stages holds a variable */
	unsigned depth;
};

static int failed(const struct lower *self)
{
	return -(int)self->err->code;
}

/* An error of somebody else's, put at a place of this file. */
static int at(struct lower *self, const struct ix_pos *pos)
{
	if (strncmp(self->err->msg, self->file->name, strlen(self->file->name)) == 0)
		return failed(self);
	ix_err_wrap(self->err, "%s:%u:%u", pos->file, pos->line, pos->column);
	return ix_err_excerpt(self->err, self->file->text, pos->line, pos->column);
}

/* --- arguments --- */

static struct scope_arg *scope_find(const struct scope *scope, const char *name)
{
	for (size_t i = 0; i < scope->nargs; i++)
		if (strcmp(scope->args[i].name, name) == 0)
			return &scope->args[i];
	return NULL;
}

static struct scope_arg *scope_set(struct lower *self, struct scope *scope, const char *name, const char *value)
{
	struct scope_arg *arg = scope_find(scope, name);

	if (!arg) {
		arg = IX_ARENA_PUSH(self->graph->arena, scope->args, scope->nargs);
		arg->name = ix_arena_strdup(self->graph->arena, name);
	}
	arg->value = ix_arena_strdup(self->graph->arena, value);
	arg->link = NULL;
	return arg;
}

static void scope_copy(struct lower *self, const struct scope *from, struct scope *to)
{
	for (size_t i = 0; i < from->nargs; i++)
		*IX_ARENA_PUSH(self->graph->arena, to->args, to->nargs) = from->args[i];
}

static const struct ix_build_arg *build_arg(struct lower *self, const char *name)
{
	for (size_t i = 0; i < self->opts->nargs; i++) {
		if (strcmp(self->opts->args[i].name, name) == 0) {
			self->used_args[i] = true;
			return &self->opts->args[i];
		}
	}
	return NULL;
}

/* --- words --- */

struct values {
	const struct scope *scope;
	const struct ix_stage *stage; /* its environment goes before arguments; NULL: arguments alone */
	bool unknown;                 /* a value that is not known was asked for */
};

/* A variable whose value hangs on the base image's environment, which was not read. */
static const char unknown_mark[] = "\x01unknown";

static const char *lookup(void *data, const char *name)
{
	struct values *values = data;
	const struct scope_arg *arg;
	const char *value = values->stage ? ix_env_get(&values->stage->env, name) : NULL;

	if (value && strcmp(value, unknown_mark) == 0) {
		values->unknown = true;
		return NULL;
	}
	if (value)
		return value;
	arg = scope_find(values->scope, name);
	if (arg)
		return arg->value;
	if (values->stage && !values->stage->env_complete)
		values->unknown = true;
	return NULL;
}

static int expand(struct lower *self, struct values *values, const char *word, const struct ix_pos *pos, const char **ret_text)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = lookup, .data = values };
	ix_auto_free char *text = NULL;

	if (ix_expand(&opts, word, &text, self->err) < 0)
		return at(self, pos);
	*ret_text = ix_arena_strdup(self->graph->arena, text);
	return 0;
}

/* A word that chooses files or stages: it has to be known now. */
static int expand_known(struct lower *self, const struct scope *scope, const struct ix_stage *stage, const char *word,
			const struct ix_pos *pos, const char **ret_text)
{
	struct values values = { scope, stage, false };

	if (expand(self, &values, word, pos, ret_text) < 0)
		return failed(self);
	if (values.unknown)
		return df_err(self->file, self->err, pos,
			      "'%s' hangs on the environment of the base image, which is changed before it is known here: "
			      "use an ARG",
			      word);
	return 0;
}

/* --- names --- */

static int lower_stage(struct lower *self, size_t index, struct ix_stage **ret_stage);

static const struct ix_named_context *named_context(const struct lower *self, const char *name)
{
	for (size_t i = 0; i < self->opts->ncontexts; i++)
		if (ix_strcaseeq(self->opts->contexts[i].name, name))
			return &self->opts->contexts[i];
	return NULL;
}

/* An inner stage before limit by name (the last one of that name) or, where numbers count, by number. */
static bool inner_stage(const struct lower *self, const char *name, size_t limit, bool numbers, size_t *ret_index)
{
	uint64_t n;

	for (size_t i = limit; i-- > 0;) {
		if (self->file->stages[i].name && ix_strcaseeq(self->file->stages[i].name, name)) {
			*ret_index = i;
			return true;
		}
	}
	if (numbers && ix_parse_u64(name, SIZE_MAX, &n) && n < limit) {
		*ret_index = (size_t)n;
		return true;
	}
	return false;
}

static struct ix_stage *project_stage(struct lower *self, const char *name)
{
	bool bad = false;
	struct ix_stage *stage;

	self->err->code = IX_OK;
	if (!self->opts->find_stage)
		return NULL;
	stage = self->opts->find_stage(self->opts->data, name, &bad, self->err);
	return bad ? NULL : stage;
}

/* "stage:NAME" as a whole. 1: it is one, and *ret_stage is set; 0: it is not. */
static int stage_link(struct lower *self, const char *text, const struct ix_pos *pos, struct ix_stage **ret_stage)
{
	const char *near = NULL;
	size_t n = 0;

	if (!ix_starts(text, "stage:"))
		return 0;
	*ret_stage = project_stage(self, text + 6);
	if (*ret_stage)
		return 1;
	if (self->err->code != IX_OK)
		return failed(self);
	if (!self->opts->find_stage)
		return 0; /* a lone Dockerfile: it is an image named "stage" */
	while (self->opts->stage_names && self->opts->stage_names[n])
		n++;
	near = ix_nearest(text + 6, self->opts->stage_names, n);
	return df_err(self->file, self->err, pos,
		      near ? "no stage '%s' in the project (did you mean %s?); a stage link has to stand alone"
			   : "no stage '%s' in the project; a stage link has to stand alone",
		      text + 6, near);
}

/* What a name in FROM, --from or from= stands for. */
static int resolve(struct lower *self, const char *name, size_t limit, bool numbers, const char *platform, const struct ix_pos *pos,
		   struct ix_source *ret_source)
{
	const struct ix_named_context *context = named_context(self, name);
	struct ix_stage *stage = NULL;
	size_t index;
	int r;

	*ret_source = (struct ix_source){ 0 };
	if (context) {
		*ret_source = context->source;
		if (ret_source->kind == IX_SOURCE_IMAGE || ret_source->kind == IX_SOURCE_LAYOUT)
			ret_source->platform = platform;
		return 0;
	}
	if (inner_stage(self, name, limit, numbers, &index)) {
		ret_source->kind = IX_SOURCE_STAGE;
		return lower_stage(self, index, &ret_source->stage);
	}
	r = stage_link(self, name, pos, &stage);
	if (r < 0)
		return r;
	if (!stage && strcmp(name, self->opts->name) != 0) {
		/* A stage that needs its own name means the image of that name. */
		stage = project_stage(self, name);
		if (!stage && self->err->code != IX_OK)
			return failed(self);
	}
	if (stage) {
		ret_source->kind = IX_SOURCE_STAGE;
		ret_source->stage = stage;
		return 0;
	}
	ret_source->kind = IX_SOURCE_IMAGE;
	ret_source->text = ix_arena_strdup(self->graph->arena, name);
	ret_source->platform = platform;
	return 0;
}

/* --- one stage --- */

struct making {
	struct lower *lower;
	size_t index; /* in the file */
	struct ix_stage *stage;
	struct scope scope;
};

static void link_source(struct making *self, const struct ix_source *source, bool is_base)
{
	if (source->kind == IX_SOURCE_STAGE)
		ix_stage_link(self->lower->graph, self->stage, source->stage, is_base);
}

static void add_arg(struct making *self, struct ix_step *step, const struct scope_arg *arg)
{
	*IX_ARENA_PUSH(self->lower->graph->arena, step->args, step->nargs) = (struct ix_arg){ arg->name, arg->value, arg->link };
	if (arg->link)
		ix_stage_link(self->lower->graph, self->stage, arg->link, false);
}

/* What the step can see of the outside: all of it for RUN, what it names for the rest. The environment hides arguments. */
static void add_args(struct making *self, const struct df_instr *instr, struct ix_step *step)
{
	char escape = self->lower->file->escape;
	ix_auto_strv names = { 0 };

	if (step->kind != IX_STEP_RUN) {
		bool literal = instr->exec && step->kind != IX_STEP_COPY && step->kind != IX_STEP_ADD;

		for (size_t i = 0; i < instr->nwords && !literal && step->kind != IX_STEP_CMD && step->kind != IX_STEP_ENTRYPOINT; i++)
			if (instr->words[i])
				ix_expand_names(instr->words[i], escape, &names);
		if (step->dest)
			ix_expand_names(step->dest, escape, &names);
		if (step->chown)
			ix_expand_names(step->chown, escape, &names);
		if (step->chmod)
			ix_expand_names(step->chmod, escape, &names);
		for (size_t i = 0; i < step->ndocs; i++)
			if (step->docs[i].expand)
				ix_expand_names(step->docs[i].body, escape, &names);
	}
	for (size_t i = 0; i < self->scope.nargs; i++) {
		const struct scope_arg *arg = &self->scope.args[i];

		if ((step->kind == IX_STEP_RUN || ix_strv_has(&names, arg->name)) && !ix_env_get(&self->stage->env, arg->name))
			add_arg(self, step, arg);
	}
}

static int do_arg(struct making *self, const struct df_instr *instr, struct ix_step *step)
{
	struct lower *lower = self->lower;
	const struct ix_build_arg *given = build_arg(lower, instr->words[0]);
	const struct scope_arg *global = scope_find(&lower->globals, instr->words[0]);
	const char *value = NULL;
	struct scope_arg *arg;

	if (given && given->value) {
		value = given->value;
	} else if (instr->nwords > 1) {
		struct values values = { &self->scope, self->stage, false };

		if (expand(lower, &values, instr->words[1], &instr->pos, &value) < 0)
			return failed(lower);
	} else if (global) {
		value = global->value;
	}
	arg = scope_set(lower, &self->scope, instr->words[0], value);
	if (value && stage_link(lower, value, &instr->pos, &arg->link) < 0)
		return failed(lower);
	add_arg(self, step, arg);
	return 0;
}

static int do_env(struct making *self, const struct df_instr *instr)
{
	struct ix_strv values_now = { 0 };
	int r = 0;

	/* All values see the environment as it was before the instruction. */
	for (size_t i = 0; i + 1 < instr->nwords && r == 0; i += 2) {
		struct values values = { &self->scope, self->stage, false };
		const char *key, *value;

		r = expand(self->lower, &values, instr->words[i], &instr->pos, &key);
		if (r == 0)
			r = expand(self->lower, &values, instr->words[i + 1], &instr->pos, &value);
		if (r < 0)
			break;
		ix_strv_add(&values_now, key);
		ix_strv_add(&values_now, values.unknown ? unknown_mark : value);
	}
	for (size_t i = 0; i + 1 < values_now.count && r == 0; i += 2)
		ix_env_set(&self->stage->env, values_now.items[i], values_now.items[i + 1]);
	ix_strv_release(&values_now);
	return r;
}

static int context_source(struct making *self, const struct df_instr *instr, struct ix_source *ret_source)
{
	if (!self->lower->opts->context)
		return df_err(self->lower->file, self->lower->err, &instr->pos,
			      "%s needs a build context, and there is none (the Dockerfile came from standard input)", instr->word);
	*ret_source = (struct ix_source){ .kind = IX_SOURCE_DIR, .dir = self->lower->opts->context };
	return 0;
}

static bool only_heredocs(const struct df_instr *instr)
{
	size_t n = 0;

	for (size_t i = 0; i < instr->nwords; i++)
		n += ix_starts(instr->words[i], "<<");
	return n == instr->nwords && instr->ndocs > 0;
}

static int do_copy(struct making *self, const struct df_instr *instr, struct ix_step *step)
{
	struct lower *lower = self->lower;
	const char *from = df_flag_value(instr, "from"), *name, *link = df_flag_value(instr, "link");

	step->dest = instr->dest;
	step->chown = df_flag_value(instr, "chown");
	step->chmod = df_flag_value(instr, "chmod");
	step->link = df_has_flag(instr, "link") && !(link && strcmp(link, "false") == 0);
	if (link && strcmp(link, "true") != 0 && strcmp(link, "false") != 0)
		return df_err(lower->file, lower->err, &instr->pos, "invalid boolean value for flag link: \"%s\"", link);
	if (from) {
		if (expand_known(lower, &self->scope, self->stage, from, &instr->pos, &name) < 0)
			return failed(lower);
		if (!*name)
			return df_err(lower->file, lower->err, &instr->pos, "--from=%s is empty", from);
		if (resolve(lower, name, self->index, true, self->stage->platform, &instr->pos, &step->from) < 0)
			return failed(lower);
		link_source(self, &step->from, false);
	} else if (!only_heredocs(instr) && context_source(self, instr, &step->from) < 0) {
		return failed(lower);
	}
	step->words = NULL;
	step->nwords = 0;
	for (size_t i = 0; i < instr->nwords; i++) {
		const char *word = instr->words[i];

		if (!(ix_starts(word, "<<") && instr->ndocs > 0) &&
		    expand_known(lower, &self->scope, self->stage, word, &instr->pos, &word) < 0)
			return failed(lower);
		*IX_ARENA_PUSH(lower->graph->arena, step->words, step->nwords) = ix_arena_strdup(lower->graph->arena, word);
	}
	return 0;
}

static int do_mount(struct making *self, const struct df_instr *instr, const struct df_flag *flag, struct ix_step *step)
{
	struct lower *lower = self->lower;
	struct df_mount parsed;
	const char *name;

	if (df_parse_mount(lower->file, flag, &parsed, lower->err) < 0)
		return failed(lower);
	if (parsed.mount.source &&
	    expand_known(lower, &self->scope, self->stage, parsed.mount.source, &flag->pos, &parsed.mount.source) < 0)
		return failed(lower);
	if (parsed.from) {
		if (expand_known(lower, &self->scope, self->stage, parsed.from, &flag->pos, &name) < 0 ||
		    resolve(lower, name, self->index, true, self->stage->platform, &flag->pos, &parsed.mount.from) < 0)
			return failed(lower);
		link_source(self, &parsed.mount.from, false);
	} else if (parsed.mount.kind == IX_MOUNT_BIND && context_source(self, instr, &parsed.mount.from) < 0) {
		return failed(lower);
	}
	*IX_ARENA_PUSH(lower->graph->arena, step->mounts, step->nmounts) = parsed.mount;
	return 0;
}

static int do_run(struct making *self, const struct df_instr *instr, struct ix_step *step)
{
	static const char *const networks[] = { "default", "none", "host" };
	const char *network = df_flag_value(instr, "network");

	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, "mount") == 0 && do_mount(self, instr, &instr->flags[i], step) < 0)
			return failed(self->lower);
	if (!network)
		return 0;
	for (size_t i = 0; i < IX_ARRAY_LEN(networks); i++) {
		if (strcmp(network, networks[i]) == 0) {
			step->network = (enum ix_network)i;
			return 0;
		}
	}
	return df_err(self->lower->file, self->lower->err, &instr->pos, "unsupported network mode \"%s\": default, none or host", network);
}

static int add_step(struct making *self, const struct df_instr *instr, bool trigger)
{
	struct ix_arena *arena = self->lower->graph->arena;
	struct ix_step *step = IX_ARENA_PUSH(arena, self->stage->steps, self->stage->nsteps);
	int r = 0;

	*step = (struct ix_step){
		.kind = (enum ix_step_kind)instr->kind,
		.pos = instr->pos,
		.last_line = instr->last_line,
		.text = instr->text,
		.words = instr->words,
		.nwords = instr->nwords,
		.exec = instr->exec,
		.docs = instr->docs,
		.ndocs = instr->ndocs,
		.interval = instr->interval,
		.timeout = instr->timeout,
		.start_period = instr->start_period,
		.start_interval = instr->start_interval,
		.retries = instr->retries,
		.trigger = trigger,
	};
	if (instr->kind == IX_STEP_ARG)
		return do_arg(self, instr, step);
	if (instr->kind == IX_STEP_COPY || instr->kind == IX_STEP_ADD)
		r = do_copy(self, instr, step);
	else if (instr->kind == IX_STEP_RUN)
		r = do_run(self, instr, step);
	if (r < 0)
		return r;
	add_args(self, instr, step);
	if (instr->kind == IX_STEP_ENV)
		return do_env(self, instr);
	if (instr->kind == IX_STEP_ONBUILD)
		*IX_ARENA_PUSH(arena, self->stage->onbuild, self->stage->nonbuild) = instr->words[0];
	return 0;
}

/* A trigger's text is parsed like a file of its own, placed at the FROM that sets it off. */
static int add_trigger(struct making *self, const char *text)
{
	struct lower *lower = self->lower;
	const struct df_stage *source = &lower->file->stages[self->index];
	struct ix_dockerfile piece = { .arena = lower->graph->arena, .name = source->from.pos.file, .text = text, .escape = '\\' };
	struct df_lexer lexer = { .file = &piece, .next = text };
	struct df_line line;
	struct df_instr instr;
	int r = df_next_line(&lexer, &line, lower->err);

	if (r <= 0)
		return r;
	r = df_parse_instr(&lexer, &line, true, &instr, lower->err);
	ix_strv_release(&piece.warnings);
	if (r < 0)
		return ix_err_wrap(lower->err, "ONBUILD trigger of the base image");
	instr.pos = source->from.pos;
	if (instr.kind == IX_STEP_ARG && instr.nwords > 1 && !instr.words[1])
		instr.nwords = 1;
	return add_step(self, &instr, true);
}

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
		facts = lower->opts->facts(lower->opts->data, root, lower->needs_env, lower->err);
		if (!facts && lower->needs_env)
			return at(lower, &stage->pos);
	}
	for (size_t i = 0; facts && i < facts->env.count; i++) {
		const char *equals = strchr(facts->env.items[i], '=');
		ix_auto_free char *name = equals ? ix_strndup(facts->env.items[i], (size_t)(equals - facts->env.items[i])) : NULL;

		if (name && !ix_env_get(&stage->env, name))
			ix_env_set(&stage->env, name, equals + 1);
	}
	stage->env_complete = stage->env_complete || facts;
	for (size_t i = 0; parent && i < parent->nonbuild; i++)
		if (add_trigger(self, parent->onbuild[i]) < 0)
			return failed(lower);
	for (size_t i = 0; !parent && facts && i < facts->onbuild.count; i++)
		if (add_trigger(self, facts->onbuild.items[i]) < 0)
			return failed(lower);
	return 0;
}

static int do_from(struct making *self)
{
	struct lower *lower = self->lower;
	const struct df_stage *source = &lower->file->stages[self->index];
	const struct df_instr *from = &source->from;
	const char *platform = df_flag_value(from, "platform"), *name;
	size_t inner;

	self->stage->pos = from->pos;
	self->stage->platform = ix_arena_strdup(lower->graph->arena, lower->opts->platform);
	if (platform) {
		struct values values = { &lower->globals, NULL, false };

		if (expand(lower, &values, platform, &from->pos, &self->stage->platform) < 0)
			return failed(lower);
		if (!*self->stage->platform)
			return df_err(lower->file, lower->err, &from->pos, "FROM --platform=%s is empty", platform);
	}
	{
		struct values values = { &lower->globals, NULL, false };

		if (expand(lower, &values, from->words[0], &from->pos, &name) < 0)
			return failed(lower);
	}
	if (!*name)
		return df_err(lower->file, lower->err, &from->pos, "base name (%s) should not be blank", from->words[0]);
	if (strcmp(name, "scratch") == 0 && !named_context(lower, "scratch")) {
		self->stage->base.kind = IX_SOURCE_SCRATCH;
	} else if (resolve(lower, name, self->index, false, self->stage->platform, &from->pos, &self->stage->base) < 0) {
		return failed(lower);
	}
	if (self->stage->base.kind == IX_SOURCE_DIR)
		return df_err(lower->file, lower->err, &from->pos, "'%s' is a directory of files and cannot be a base image", name);
	link_source(self, &self->stage->base, true);
	/* Arguments come along from an inner stage, not from another file. */
	if (inner_stage(lower, name, self->index, false, &inner) && lower->done[inner].stage == self->stage->base.stage)
		scope_copy(lower, &lower->done[inner].scope, &self->scope);
	return inherit(self);
}

static int lower_stage(struct lower *self, size_t index, struct ix_stage **ret_stage)
{
	const struct df_stage *source = &self->file->stages[index];
	ix_auto_free char *name = NULL;
	struct making making = { .lower = self, .index = index };

	if (self->done[index].stage) {
		*ret_stage = self->done[index].stage;
		return 0;
	}
	if (++self->depth > DEPTH_MAX)
		return df_err(self->file, self->err, &source->from.pos, "stages are nested deeper than %d", DEPTH_MAX);
	name = index == self->target ? ix_strdup(self->opts->name)
	       : source->name        ? ix_asprintf("%s.%s", self->opts->name, source->name)
				     : ix_asprintf("%s.%zu", self->opts->name, index);
	/* The stage joins the graph when what it needs is there, so that errors leave no half of it behind. */
	making.stage = ix_arena_alloc(self->graph->arena, sizeof(*making.stage));
	making.stage->name = ix_arena_strdup(self->graph->arena, name);
	making.stage->inner = index != self->target;
	if (do_from(&making) < 0)
		goto fail;
	for (size_t i = 0; i < source->ninstrs; i++)
		if (add_step(&making, &source->instrs[i], false) < 0)
			goto fail;
	if (making.stage->inner && making.stage->nsteps == 0 && making.stage->base.kind == IX_SOURCE_STAGE) {
		/* "FROM $IMAGE AS name" and nothing more is another name for that stage. */
		ix_strv_release(&making.stage->env);
		making.stage = making.stage->base.stage;
		self->done[index] = (struct lowered){ making.stage, making.scope };
		self->depth--;
		*ret_stage = making.stage;
		return 0;
	}
	making.stage->index = self->graph->nstages;
	*IX_ARENA_PUSH(self->graph->arena, self->graph->stages, self->graph->nstages) = making.stage;
	self->done[index] = (struct lowered){ making.stage, making.scope };
	self->depth--;
	*ret_stage = making.stage;
	return 0;
fail:
	ix_strv_release(&making.stage->env);
	return failed(self);
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
	const struct df_stage *target = &self->file->stages[self->target];

	platform_args(self, "TARGET", self->opts->platform);
	platform_args(self, "BUILD", self->opts->build_platform ? self->opts->build_platform : self->opts->platform);
	scope_set(self, &self->globals, "TARGETSTAGE", self->opts->target ? self->opts->target : target->name ? target->name : "default");
	for (size_t i = 0; i < self->file->nglobals; i++) {
		const struct df_instr *instr = &self->file->globals[i];
		const struct ix_build_arg *given = build_arg(self, instr->words[0]);
		struct values values = { &self->globals, NULL, false };
		const char *value = NULL;

		if (given && given->value)
			value = given->value;
		else if (instr->nwords > 1 && expand(self, &values, instr->words[1], &instr->pos, &value) < 0)
			return failed(self);
		if (!value && scope_find(&self->globals, instr->words[0]))
			continue; /* ARG TARGETPLATFORM keeps what it is */
		scope_set(self, &self->globals, instr->words[0], value);
	}
	return 0;
}

static bool holds_variable(const char *word)
{
	return word && strchr(word, '$');
}

static bool chooses_by_variable(const struct df_instr *instr)
{
	if (instr->kind == IX_STEP_COPY || instr->kind == IX_STEP_ADD) {
		if (holds_variable(df_flag_value(instr, "from")))
			return true;
		for (size_t i = 0; i < instr->nwords; i++)
			if (holds_variable(instr->words[i]))
				return true;
	}
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, "mount") == 0 &&
		    (strstr(instr->flags[i].value, "from=") || strstr(instr->flags[i].value, "source=") ||
		     strstr(instr->flags[i].value, "src=")) &&
		    holds_variable(instr->flags[i].value))
			return true;
	return false;
}

static bool needs_env(const struct ix_dockerfile *file)
{
	for (size_t i = 0; i < file->nstages; i++)
		for (size_t j = 0; j < file->stages[i].ninstrs; j++)
			if (chooses_by_variable(&file->stages[i].instrs[j]))
				return true;
	return false;
}

static int find_target(struct lower *self)
{
	const char *names[64];
	size_t n = 0;
	const char *near;

	self->target = self->file->nstages - 1;
	if (!self->opts->target || inner_stage(self, self->opts->target, self->file->nstages, true, &self->target))
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
	struct lower self = { .file = file, .opts = opts, .graph = graph, .err = err };
	ix_auto_free struct lowered *done = ix_calloc(file->nstages, sizeof(*done));
	ix_auto_free bool *used = ix_calloc(opts->nargs, sizeof(*used));

	self.done = done;
	self.used_args = used;
	self.needs_env = needs_env(file);
	if (find_target(&self) < 0 || lower_globals(&self) < 0 || lower_stage(&self, self.target, ret_stage) < 0)
		return -(int)err->code;
	/* An argument of a stage that is not needed is not unused. */
	for (size_t i = 0; i < file->nstages; i++)
		for (size_t j = 0; j < file->stages[i].ninstrs; j++)
			if (file->stages[i].instrs[j].kind == IX_STEP_ARG)
				(void)build_arg(&self, file->stages[i].instrs[j].words[0]);
	for (size_t i = 0; unused && i < opts->nargs; i++)
		if (!used[i] && !predefined(opts->args[i].name))
			ix_strv_add(unused, opts->args[i].name);
	return 0;
}
