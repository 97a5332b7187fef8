#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lower_int.h"

/* What a Dockerfile offers: its targets, and the arguments, secrets and agents that one of them uses. */

struct listing {
	const struct ix_dockerfile *file;
	const struct ix_lower_opts *opts;
	struct ix_outline *out;
	bool *seen; /* by stage */
	struct scope globals;
};

/* "# NAME text" right above: the text. */
static const char *description(const struct ix_dockerfile *file, const struct df_instr *instr, const char *name)
{
	const char *last = instr->comment ? strrchr(instr->comment, '\n') : NULL;
	size_t len = name ? strlen(name) : 0;

	last = last ? last + 1 : instr->comment;
	if (!last || !name || strncmp(last, name, len) != 0 || last[len] != ' ')
		return NULL;
	return ix_arena_strdup(file->arena, last + len + 1 + strspn(last + len + 1, " \t"));
}

static struct ix_outline_item *item(struct listing *self, struct ix_outline_item **list, size_t *count, const char *name,
				    const struct df_instr *instr)
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

static const char *value_of(struct listing *self, const struct df_instr *instr)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = lookup, .data = &self->globals };
	ix_auto_free char *text = NULL;
	struct ix_err ignored;

	for (size_t i = 0; i < self->opts->nargs; i++)
		if (strcmp(self->opts->args[i].name, instr->words[0]) == 0)
			return self->opts->args[i].value;
	if (instr->nwords < 2 || !instr->words[1])
		return lookup(&self->globals, instr->words[0]);
	return ix_expand(&opts, instr->words[1], &text, &ignored) == 0 ? ix_arena_strdup(self->file->arena, text) : instr->words[1];
}

static void add_arg(struct listing *self, const struct df_instr *instr)
{
	const char *value = value_of(self, instr), *text = description(self->file, instr, instr->words[0]);
	struct ix_outline_item *arg = item(self, &self->out->args, &self->out->nargs, instr->words[0], instr);

	if (value)
		arg->value = value;
	if (text)
		arg->description = text;
}

static void add_mount(struct listing *self, const struct df_instr *instr, const struct df_flag *flag)
{
	struct df_mount parsed;
	struct ix_err ignored;
	const char *name;

	if (df_parse_mount(self->file, flag, NULL, &parsed, &ignored) < 0)
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

static void add_stage(struct listing *self, size_t index);

static void follow(struct listing *self, const char *name, size_t limit)
{
	size_t index;

	if (find_inner(self->file, name, limit, &index) && !self->seen[index])
		add_stage(self, index);
}

static void add_instr(struct listing *self, const struct df_instr *instr, size_t index)
{
	if (instr->kind == IX_STEP_ARG)
		add_arg(self, instr);
	follow(self, df_flag_value(instr, "from"), index);
	for (size_t i = 0; i < instr->nflags; i++) {
		struct df_mount parsed;
		struct ix_err ignored;

		if (strcmp(instr->flags[i].name, "mount") != 0)
			continue;
		add_mount(self, instr, &instr->flags[i]);
		if (df_parse_mount(self->file, &instr->flags[i], NULL, &parsed, &ignored) == 0)
			follow(self, parsed.from, index);
	}
}

/* A stage leads to earlier ones only, so the recursion ends. */
static void add_stage(struct listing *self, size_t index)
{
	const struct df_stage *stage = &self->file->stages[index];

	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = lookup, .data = &self->globals };
	ix_auto_free char *base = NULL;
	struct ix_err ignored;

	self->seen[index] = true;
	if (ix_expand(&opts, stage->from.words[0], &base, &ignored) == 0)
		follow(self, base, index);
	for (size_t i = 0; i < stage->ninstrs; i++)
		add_instr(self, &stage->instrs[i], index);
}

/* Global arguments count where a FROM of a used stage names them, or an ARG of the stage takes them over. */
static void add_globals(struct listing *self)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape };
	ix_auto_strv names = { 0 };

	for (size_t i = 0; i < self->file->nstages; i++)
		if (self->seen[i])
			ix_expand_names(&opts, self->file->stages[i].from.words[0], &names);
	/* The last ones first: those may be used by others. */
	for (size_t i = self->file->nglobals; i-- > 0;) {
		const struct df_instr *instr = &self->file->globals[i];
		bool used = ix_strv_has(&names, instr->words[0]);

		for (size_t j = 0; j < self->out->nargs; j++) {
			struct ix_outline_item *arg = &self->out->args[j];

			if (strcmp(arg->name, instr->words[0]) != 0)
				continue;
			used = true;
			arg->line = instr->pos.line;
		}
		if (used)
			add_arg(self, instr);
		if (used && instr->nwords > 1 && instr->words[1])
			ix_expand_names(&opts, instr->words[1], &names);
	}
}

static void know_globals(struct listing *self)
{
	for (size_t i = 0; i < self->file->nglobals; i++) {
		const char *value = value_of(self, &self->file->globals[i]);
		struct scope_arg *arg = IX_ARENA_PUSH(self->file->arena, self->globals.args, self->globals.nargs);

		*arg = (struct scope_arg){ .name = self->file->globals[i].words[0], .value = value };
	}
}

static int by_line(const void *a, const void *b)
{
	const struct ix_outline_item *x = a, *y = b;

	return x->line < y->line ? -1 : x->line > y->line;
}

int ix_dockerfile_outline(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_outline *ret_outline,
			  struct ix_err *err)
{
	ix_auto_free bool *seen = ix_calloc(file->nstages, sizeof(*seen));
	struct listing self = { .file = file, .opts = opts, .out = ret_outline, .seen = seen };
	size_t target = file->nstages - 1;

	*ret_outline = (struct ix_outline){ 0 };
	if (opts->target && !find_inner(file, opts->target, file->nstages, &target))
		return ix_err_set(err, IX_EARG, "%s: target stage \"%s\" could not be found", file->name, opts->target);
	know_globals(&self);
	add_stage(&self, target);
	add_globals(&self);
	if (ret_outline->nargs > 0)
		qsort(ret_outline->args, ret_outline->nargs, sizeof(*ret_outline->args), by_line);
	ret_outline->name = file->stages[target].name;
	ret_outline->description = description(file, &file->stages[target].from, ret_outline->name);
	for (size_t i = 0; i < file->nstages; i++) {
		const struct df_stage *stage = &file->stages[i];
		struct ix_outline_item *one = IX_ARENA_PUSH(file->arena, ret_outline->targets, ret_outline->ntargets);

		*one = (struct ix_outline_item){ .name = stage->name,
						 .value = stage->from.words[0],
						 .description = description(file, &stage->from, stage->name),
						 .line = stage->from.pos.line };
	}
	return 0;
}
