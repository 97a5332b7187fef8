/* Whether words that choose files, stages or values may hang on the environment of the base image. */
#include <string.h>

#include "base/str.h"
#include "graph/graph.h"
#include "lower_int.h"

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
		if (strcmp(instr->flags[i].name, "mount") == 0 && holds_variable(instr->flags[i].value))
			return true;
	return false;
}

/* Is the name among those whose value may hang on the base image: not set in the file, or made of such a one or of itself? */
static bool is_doubtful(const struct ix_strv *known, const struct ix_strv *doubtful, const char *name)
{
	return !ix_strv_has(known, name) || ix_strv_has(doubtful, name);
}

static bool made_of_doubtful(const struct ix_dockerfile *file, const struct ix_strv *known, const struct ix_strv *doubtful,
			     const char *name, const char *value)
{
	const struct ix_expand_opts opts = { .escape = file->escape };
	ix_auto_strv names = { 0 };

	if (!holds_variable(value))
		return false;
	ix_expand_names(&opts, value, &names);
	for (size_t i = 0; i < names.count; i++)
		if (is_doubtful(known, doubtful, names.items[i]) || (name && strcmp(names.items[i], name) == 0))
			return true;
	return false;
}

/* Called with each name that the stages set and its value, NULL when there is none. */
typedef bool (*setting_fn)(void *data, enum ix_step_kind kind, const char *name, const char *value);

static bool any_setting(const struct ix_dockerfile *file, setting_fn fn, void *data)
{
	bool any = false;

	for (size_t i = 0; i < file->nstages; i++) {
		for (size_t j = 0; j < file->stages[i].ninstrs; j++) {
			const struct df_instr *instr = &file->stages[i].instrs[j];

			if (instr->kind == IX_STEP_ARG)
				any = fn(data, IX_STEP_ARG, instr->words[0], instr->nwords > 1 ? instr->words[1] : NULL) || any;
			for (size_t k = 0; instr->kind == IX_STEP_ENV && k + 1 < instr->nwords; k += 2)
				any = fn(data, IX_STEP_ENV, instr->words[k], instr->words[k + 1]) || any;
		}
	}
	return any;
}

struct doubts {
	const struct ix_dockerfile *file;
	struct ix_strv known, doubtful;
};

static bool learn_name(void *data, enum ix_step_kind kind, const char *name, const char *value)
{
	struct doubts *doubts = data;

	(void)kind;
	(void)value;
	ix_strv_add(&doubts->known, name);
	return false;
}

static bool doubt_name(void *data, enum ix_step_kind kind, const char *name, const char *value)
{
	struct doubts *doubts = data;

	(void)kind;
	if (ix_strv_has(&doubts->doubtful, name) || !made_of_doubtful(doubts->file, &doubts->known, &doubts->doubtful, name, value))
		return false;
	ix_strv_add(&doubts->doubtful, name);
	return true;
}

static bool is_doubtful_arg(void *data, enum ix_step_kind kind, const char *name, const char *value)
{
	const struct doubts *doubts = data;

	(void)name;
	return kind == IX_STEP_ARG && made_of_doubtful(doubts->file, &doubts->known, &doubts->doubtful, NULL, value);
}

/* An argument made of something that only the base image can have set, however many names lie between. */
static bool args_of_base(const struct ix_dockerfile *file)
{
	struct doubts doubts = { .file = file };
	bool found;

	(void)any_setting(file, learn_name, &doubts);
	while (any_setting(file, doubt_name, &doubts))
		;
	found = any_setting(file, is_doubtful_arg, &doubts);
	ix_strv_release(&doubts.known);
	ix_strv_release(&doubts.doubtful);
	return found;
}

bool lower_needs_env(const struct ix_dockerfile *file)
{
	for (size_t i = 0; i < file->nstages; i++)
		for (size_t j = 0; j < file->stages[i].ninstrs; j++)
			if (chooses_by_variable(&file->stages[i].instrs[j]))
				return true;
	return args_of_base(file);
}
