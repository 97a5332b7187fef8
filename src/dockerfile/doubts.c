/* Whether words that choose files, stages or values may hang on the environment of the base image. */
#include <string.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "base/str.h"
#include "graph/graph.h"
#include "lower_int.h"
#include "syntax/syntax.h"

static bool holds_variable(const char *word)
{
	return word && strchr(word, '$');
}

static bool chooses_by_variable(const struct ix_df_instr *instr)
{
	if (instr->kind == IX_STEP_COPY || instr->kind == IX_STEP_ADD) {
		if (holds_variable(ix_df_flag_value(instr, "from")))
			return true;
		for (size_t i = 0; i < instr->nwords; i++)
			if (holds_variable(instr->words[i]))
				return true;
	}
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, "mount") == 0 && holds_variable(instr->flags[i].value))
			return true;
	return false;
}

/* The names whose values cannot hang on the base image: set by the file, of nothing but such names. */
static bool is_certain(const struct ix_dockerfile *file, const struct ix_strv *certain, const char *value)
{
	const struct ix_expand_opts opts = { .escape = file->escape };
	ix_auto_strv names = { 0 };

	if (!holds_variable(value))
		return true;
	ix_expand_names(&opts, value, &names);
	for (size_t i = 0; i < names.count; i++)
		if (!ix_strv_has(certain, names.items[i]))
			return false;
	return true;
}

static void forget(struct ix_strv *certain, const char *name)
{
	ix_auto_strv rest = { 0 };

	for (size_t i = 0; i < certain->count; i++)
		if (strcmp(certain->items[i], name) != 0)
			ix_strv_add(&rest, certain->items[i]);
	ix_strv_release(certain);
	*certain = rest;
	rest = (struct ix_strv){ 0 };
}

/* All values see what was before the instruction. */
static void set_env(const struct ix_dockerfile *file, const struct ix_df_instr *instr, struct ix_strv *certain)
{
	ix_auto_strv before = { 0 };

	ix_strv_copy(&before, certain);
	for (size_t i = 0; i + 1 < instr->nwords; i += 2) {
		if (!is_certain(file, &before, instr->words[i + 1]))
			forget(certain, instr->words[i]);
		else if (!ix_strv_has(certain, instr->words[i]))
			ix_strv_add(certain, instr->words[i]);
	}
}

/* What the stage begins with, when it stands on one of the file. */
static void begin_stage(const struct ix_dockerfile *file, size_t index, const struct ix_strv *ends, struct ix_strv *certain)
{
	const char *base = file->stages[index].from.words[0];

	for (size_t i = index; i-- > 0;) {
		if (file->stages[i].name && ix_strcaseeq(file->stages[i].name, base)) {
			ix_strv_copy(certain, &ends[i]);
			return;
		}
	}
}

/* Whatever its default is made of. */
static bool is_given(struct lower *self, const char *name)
{
	const struct ix_build_arg *given = lower_build_arg(self, name);

	return given && given->value;
}

/* Is an argument made of something that only the base image can have set? certain: what is known at the stage's end. */
static bool arg_of_base(struct lower *self, const struct ix_df_stage *stage, struct ix_strv *certain)
{
	for (size_t i = 0; i < stage->ninstrs; i++) {
		const struct ix_df_instr *instr = &stage->instrs[i];

		if (instr->kind == IX_STEP_ENV)
			set_env(self->file, instr, certain);
		if (instr->kind != IX_STEP_ARG)
			continue;
		if (!is_given(self, instr->words[0])) {
			const struct scope_arg *global = scope_find(&self->globals, instr->words[0]);

			if (instr->nwords > 1 && !is_certain(self->file, certain, instr->words[1]))
				return true;
			if (instr->nwords < 2 && !(global && global->value))
				continue; /* it leaves what is there */
		}
		if (!ix_strv_has(certain, instr->words[0]))
			ix_strv_add(certain, instr->words[0]);
	}
	return false;
}

static bool args_of_base(struct lower *self)
{
	const struct ix_dockerfile *file = self->file;
	ix_auto_free struct ix_strv *ends = ix_calloc(file->nstages, sizeof(*ends));
	bool found = false;

	for (size_t i = 0; i < file->nstages && !found; i++) {
		begin_stage(file, i, ends, &ends[i]);
		found = arg_of_base(self, &file->stages[i], &ends[i]);
	}
	for (size_t i = 0; i < file->nstages; i++)
		ix_strv_release(&ends[i]);
	return found;
}

bool lower_needs_env(struct lower *self)
{
	const struct ix_dockerfile *file = self->file;

	for (size_t i = 0; i < file->nstages; i++)
		for (size_t j = 0; j < file->stages[i].ninstrs; j++)
			if (chooses_by_variable(&file->stages[i].instrs[j]))
				return true;
	return args_of_base(self);
}
