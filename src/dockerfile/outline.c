#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "lower_int.h"
#include "outline_int.h"
#include "syntax/syntax.h"

/* What a Dockerfile offers: its targets, and the arguments, secrets and agents that one of them uses. */

struct listing {
	const struct ix_dockerfile *file;
	const struct ix_lower_opts *opts;
	struct ix_outline *out;
	bool *seen; /* by stage */
	struct scope globals;
	struct scope *scopes;  /* what is set at the end of a stage, by stage */
	struct ix_strv wanted; /* global arguments that an ARG of a stage takes over */
};

/* "# NAME text" above it: the text, of the first line that begins so. */
static const char *description(const struct ix_dockerfile *file, const struct ix_df_instr *instr, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	for (const char *line = name ? instr->comment : NULL; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return ix_arena_strndup(file->arena, line + len + 1, strcspn(line + len + 1, "\n"));
	return NULL;
}

static struct ix_outline_item *item(struct listing *self, struct ix_outline_item **list, size_t *count, const char *name,
				    const struct ix_df_instr *instr)
{
	struct ix_outline_item *new;

	for (size_t i = 0; i < *count; i++)
		if (strcmp((*list)[i].name, name) == 0)
			return &(*list)[i];
	new = IX_ARENA_PUSH(self->file->arena, *list, *count);
	*new = (struct ix_outline_item){ .name = name, .line = instr->pos.line };
	return new;
}

static const char *lookup(void *data, const char *name)
{
	const struct scope_arg *arg = scope_find(data, name);

	return arg ? arg->value : NULL;
}

static void set(struct listing *self, struct scope *scope, const char *name, const char *value)
{
	struct scope_arg *arg = scope_find(scope, name);

	if (!arg)
		arg = IX_ARENA_PUSH(self->file->arena, scope->args, scope->nargs);
	*arg = (struct scope_arg){ .name = name, .value = value };
}

/* The word with what the scope knows; as it is written when it cannot be read. */
static const char *expanded(struct listing *self, struct scope *scope, const char *word)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = lookup, .data = scope };
	ix_auto_free char *text = NULL;
	struct ix_err ignored;

	return ix_expand(&opts, word, &text, &ignored) == 0 ? ix_arena_strdup(self->file->arena, text) : word;
}

/* What is given, else the default. */
static const char *value_of(struct listing *self, struct scope *scope, const struct ix_df_instr *instr)
{

	for (size_t i = 0; i < self->opts->nargs; i++)
		if (strcmp(self->opts->args[i].name, instr->words[0]) == 0)
			return self->opts->args[i].value;
	if (instr->nwords < 2 || !instr->words[1])
		return NULL;
	return expanded(self, scope, instr->words[1]);
}

/* An argument of that name that is there already is this one now. */
static void put_arg(struct listing *self, const struct ix_df_instr *instr, const char *value)
{
	const char *text = description(self->file, instr, instr->words[0]);
	struct ix_outline_item *arg = item(self, &self->out->args, &self->out->nargs, instr->words[0], instr);

	arg->line = instr->pos.line;
	arg->value = value && *value ? value : NULL;
	arg->description = text;
}

static bool is_platform(const char *name)
{
	static const char *const words[] = { "PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION", "STAGE" };
	const char *rest = ix_starts(name, "TARGET") ? name + 6 : ix_starts(name, "BUILD") ? name + 5 : "";

	for (size_t i = 0; i < IX_ARRAY_LEN(words); i++)
		if (strcmp(rest, words[i]) == 0)
			return true;
	return false;
}

/* Without a value of its own it is the global one, which may be one that is always there and belongs to nobody. */
static void add_arg(struct listing *self, const struct ix_df_instr *instr, struct scope *scope)
{
	const char *name = instr->words[0], *value = value_of(self, scope, instr);

	const struct scope_arg *global = scope_find(&self->globals, name);

	if (!value && ((global && global->value) || is_platform(name))) {
		ix_strv_add(&self->wanted, name);
		value = lookup(&self->globals, name);
	} else {
		put_arg(self, instr, value);
	}
	if (value)
		set(self, scope, name, value);
}

static void add_mount(struct listing *self, const struct ix_df_instr *instr, const struct ix_df_flag *flag)
{
	struct ix_df_mount parsed;
	struct ix_err ignored;
	const char *name;

	if (ix_df_parse_mount(self->file, flag, NULL, &parsed, &ignored) < 0)
		return; /* building says so */
	name = parsed.mount.id;
	if (parsed.mount.kind == IX_MOUNT_SSH)
		item(self, &self->out->ssh, &self->out->nssh, name ? name : "default", instr)->required = parsed.mount.required;
	if (parsed.mount.kind != IX_MOUNT_SECRET)
		return;
	if (!name && parsed.mount.target)
		name = strrchr(parsed.mount.target, '/') ? strrchr(parsed.mount.target, '/') + 1 : parsed.mount.target;
	if (name)
		item(self, &self->out->secrets, &self->out->nsecrets, name, instr)->required = parsed.mount.required;
}

static bool find_inner(const struct ix_dockerfile *file, const char *name, size_t limit, size_t *ret_index)
{
	uint64_t number;

	for (size_t i = limit; name && i-- > 0;) {
		if (file->stages[i].name && ix_strcaseeq(file->stages[i].name, name)) {
			*ret_index = i;
			return true;
		}
	}
	*ret_index = name && ix_parse_u64(name, SIZE_MAX, &number) && number < limit ? (size_t)number : limit;
	return *ret_index < limit;
}

/* The environment of an image, as far as it is known. */
static void know_image(struct listing *self, struct scope *scope, const char *base)
{
	const struct ix_source image = { .kind = IX_SOURCE_IMAGE, .text = base, .platform = self->opts->platform };
	const struct ix_image_facts *facts = NULL;
	struct ix_err ignored;

	set(self, scope, "PATH", IX_DEFAULT_PATH);
	if (self->opts->facts && strcmp(base, "scratch") != 0 && ix_df_reference_valid(base))
		facts = self->opts->facts(self->opts->data, &image, false, &ignored);
	for (size_t i = 0; facts && i < facts->env.count; i++) {
		const char *equals = strchr(facts->env.items[i], '=');

		if (equals)
			set(self, scope, ix_arena_strndup(self->file->arena, facts->env.items[i], (size_t)(equals - facts->env.items[i])),
			    ix_arena_strdup(self->file->arena, equals + 1));
	}
}

static void add_stage(struct listing *self, size_t index);

/* A stage leads to earlier ones only, each is followed once, and there are no more than STAGES_MAX. NOLINTBEGIN(misc-no-recursion) */
static void follow(struct listing *self, const char *name, size_t limit)
{
	size_t index;

	if (find_inner(self->file, name, limit, &index) && !self->seen[index])
		add_stage(self, index);
}

static void add_instr(struct listing *self, const struct ix_df_instr *instr, size_t index)
{
	struct scope *scope = &self->scopes[index];

	if (instr->kind == IX_STEP_ARG)
		add_arg(self, instr, scope);
	for (size_t i = 0; instr->kind == IX_STEP_ENV && i + 1 < instr->nwords; i += 2)
		set(self, scope, instr->words[i], expanded(self, scope, instr->words[i + 1]));
	follow(self, ix_df_flag_value(instr, "from"), index);
	for (size_t i = 0; i < instr->nflags; i++) {
		struct ix_df_mount parsed;
		struct ix_err ignored;

		if (strcmp(instr->flags[i].name, "mount") != 0)
			continue;
		add_mount(self, instr, &instr->flags[i]);
		if (ix_df_parse_mount(self->file, &instr->flags[i], NULL, &parsed, &ignored) == 0)
			follow(self, parsed.from, index);
	}
}

static void add_stage(struct listing *self, size_t index)
{
	const struct ix_df_stage *stage = &self->file->stages[index];
	const char *base = expanded(self, &self->globals, stage->from.words[0]);
	size_t inner;

	self->seen[index] = true;
	follow(self, base, index);
	if (!find_inner(self->file, base, index, &inner))
		know_image(self, &self->scopes[index], base);
	else
		for (size_t i = 0; i < self->scopes[inner].nargs; i++)
			set(self, &self->scopes[index], self->scopes[inner].args[i].name, self->scopes[inner].args[i].value);
	for (size_t i = 0; i < stage->ninstrs; i++)
		add_instr(self, &stage->instrs[i], index);
}
/* NOLINTEND(misc-no-recursion) */

/* Global arguments count where a FROM of a used stage names them, or an ARG of the stage takes them over. */
static void add_globals(struct listing *self)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape };
	ix_auto_strv names = { 0 };

	ix_strv_copy(&names, &self->wanted);
	for (size_t i = 0; i < self->file->nstages; i++)
		if (self->seen[i])
			ix_expand_names(&opts, self->file->stages[i].from.words[0], &names);
	/* The last ones first: those may be used by others. */
	for (size_t i = self->file->nglobals; i-- > 0;) {
		const struct ix_df_instr *instr = &self->file->globals[i];
		bool used = ix_strv_has(&names, instr->words[0]), there = false;

		for (size_t j = 0; j < self->out->nargs; j++)
			there = there || strcmp(self->out->args[j].name, instr->words[0]) == 0;
		if (used && !there)
			put_arg(self, instr, lookup(&self->globals, instr->words[0]));
		if (used && instr->nwords > 1 && instr->words[1])
			ix_expand_names(&opts, instr->words[1], &names);
	}
}

static void know_globals(struct listing *self)
{
	for (size_t i = 0; i < self->file->nglobals; i++) {
		const struct ix_df_instr *instr = &self->file->globals[i];

		set(self, &self->globals, instr->words[0], value_of(self, &self->globals, instr));
	}
}

static int by_line(const void *a, const void *b)
{
	const struct ix_outline_item *x = a, *y = b;

	return x->line < y->line ? -1 : x->line > y->line;
}

void dockerfile_reach(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, bool *ret_reached)
{
	ix_auto_free struct scope *scopes = ix_calloc(file->nstages, sizeof(*scopes));
	struct ix_outline ignored = { 0 };
	struct listing self = { .file = file, .opts = opts, .out = &ignored, .seen = ret_reached, .scopes = scopes };
	size_t target;

	if (opts->target && find_inner(file, opts->target, file->nstages, &target)) {
		know_globals(&self);
		add_stage(&self, target);
		ix_strv_release(&self.wanted);
		return;
	}
	for (size_t i = 0; i < file->nstages; i++)
		ret_reached[i] = true;
}

int ix_dockerfile_outline(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_outline *ret_outline,
			  struct ix_err *err)
{
	ix_auto_free bool *seen = ix_calloc(file->nstages, sizeof(*seen));
	ix_auto_free struct scope *scopes = ix_calloc(file->nstages, sizeof(*scopes));
	struct listing self = { .file = file, .opts = opts, .out = ret_outline, .seen = seen, .scopes = scopes };
	size_t target = file->nstages - 1;

	*ret_outline = (struct ix_outline){ 0 };
	if (opts->target && !find_inner(file, opts->target, file->nstages, &target))
		return ix_err_set(err, IX_EARG, "%s: target stage \"%s\" could not be found", file->name, opts->target);
	know_globals(&self);
	add_stage(&self, target);
	add_globals(&self);
	ix_strv_release(&self.wanted);
	if (ret_outline->nargs > 0)
		qsort(ret_outline->args, ret_outline->nargs, sizeof(*ret_outline->args), by_line);
	ret_outline->name = file->stages[target].name;
	ret_outline->description = description(file, &file->stages[target].from, ret_outline->name);
	for (size_t i = 0; i < file->nstages; i++) {
		const struct ix_df_stage *stage = &file->stages[i];
		struct ix_outline_item *one = IX_ARENA_PUSH(file->arena, ret_outline->targets, ret_outline->ntargets);

		*one = (struct ix_outline_item){ .name = stage->name,
						 .value = stage->from.words[0],
						 .platform = ix_df_flag_value(&stage->from, "platform"),
						 .description = description(file, &stage->from, stage->name),
						 .line = stage->from.pos.line };
	}
	return 0;
}
