#include "lower_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "syntax/syntax.h"

int lower_failed(const struct lower *self)
{
	return ix_err_code(self->err);
}

/* An error of somebody else's, put at a place of this file. */
int lower_at(struct lower *self, const struct ix_pos *pos)
{
	if (strncmp(self->err->msg, self->file->name, strlen(self->file->name)) == 0)
		return lower_failed(self);
	ix_err_wrap(self->err, "%s:%u:%u", pos->file, pos->line, pos->column);
	return ix_err_excerpt(self->err, self->file->text, pos->line, pos->column);
}

/* --- arguments --- */

struct scope_arg *scope_find(const struct scope *scope, const char *name)
{
	for (size_t i = 0; i < scope->nargs; i++)
		if (strcmp(scope->args[i].name, name) == 0)
			return &scope->args[i];
	return NULL;
}

struct scope_arg *scope_declare(struct lower *self, struct scope *scope, const char *name)
{
	struct scope_arg *arg = scope_find(scope, name);

	if (arg)
		return arg;
	arg = IX_ARENA_PUSH(self->graph->arena, scope->args, scope->nargs);
	arg->name = ix_arena_strdup(self->graph->arena, name);
	return arg;
}

struct scope_arg *scope_set(struct lower *self, struct scope *scope, const char *name, const char *value)
{
	struct scope_arg *arg = scope_declare(self, scope, name);

	arg->value = ix_arena_strdup(self->graph->arena, value);
	arg->link = NULL;
	arg->hidden = false;
	return arg;
}

void scope_copy(struct lower *self, const struct scope *from, struct scope *to)
{
	for (size_t i = 0; i < from->nargs; i++)
		*IX_ARENA_PUSH(self->graph->arena, to->args, to->nargs) = from->args[i];
}

const struct ix_build_arg *lower_build_arg(struct lower *self, const char *name)
{
	const struct ix_build_arg *found = NULL;

	/* Of several the last one counts. */
	for (size_t i = 0; i < self->opts->nargs; i++) {
		if (strcmp(self->opts->args[i].name, name) == 0) {
			self->used_args[i] = true;
			found = &self->opts->args[i];
		}
	}
	return found;
}

/* --- words --- */

/* A variable whose value hangs on the base image's environment, which was not read. */
const char lower_unknown[] = "\x01unknown";

static const char *lookup(void *data, const char *name)
{
	struct values *values = data;
	const struct scope_arg *arg = scope_find(values->scope, name);
	const char *value = arg && arg->value && !arg->hidden ? arg->value : values->stage ? ix_env_get(&values->stage->env, name) : NULL;

	if (value && strcmp(value, lower_unknown) == 0) {
		values->unknown = true;
		return NULL;
	}
	if (value)
		return value;
	if (values->stage && !values->stage->env_complete)
		values->unknown = true;
	/* It is always set. */
	return values->stage && values->stage->env_complete && strcmp(name, "PATH") == 0 ? IX_DEFAULT_PATH : NULL;
}

int lower_expand(struct lower *self, struct values *values, const char *word, const struct ix_pos *pos, const char **ret_text)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = lookup, .data = values };
	ix_auto_free char *text = NULL;

	if (ix_expand(&opts, word, &text, self->err) < 0) {
		if (!values->unknown)
			return lower_at(self, pos);
		/* "${A:?}" of what the base image may have. */
		self->graph->awaits_bases = true;
	}
	*ret_text = ix_arena_strdup(self->graph->arena, text ? text : "");
	return 0;
}

/* A word that chooses files or stages: it has to be known now. */
int lower_expand_known(struct lower *self, const struct scope *scope, struct ix_stage *stage, const char *word, const struct ix_pos *pos,
		       const char **ret_text)
{
	struct values values = { scope, stage, false };

	if (lower_expand(self, &values, word, pos, ret_text) < 0)
		return lower_failed(self);
	if (values.unknown)
		return ix_df_err(self->file, self->err, pos,
				 "'%s' hangs on the environment of the base image, which is changed before it is known here: "
				 "use an ARG",
				 word);
	return 0;
}
