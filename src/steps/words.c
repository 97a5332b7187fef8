#include "base/alloc.h"
#include "base/str.h"
#include "graph/graph.h"
#include "steps_int.h"

char *expand_arg(const struct expansion *self, const struct ix_arg *arg)
{
	return arg->link ? self->opts->stage_ref(self->opts->data, arg->link) : ix_strdup(arg->value);
}

struct scope {
	const struct expansion *self;
	struct ix_strv args; /* NAME=value */
};

static const char *lookup(void *data, const char *name)
{
	const struct scope *scope = data;
	/* Those that a later ENV hides are not among them. */
	const char *value = ix_env_get(&scope->args, name);

	return value ? value : ix_env_get(&scope->self->config->env, name);
}

static int expand(const struct expansion *self, const struct ix_step *step, const char *word, bool keep_quotes, char **ret_text,
		  struct ix_err *err)
{
	struct scope scope = { .self = self };
	const struct ix_expand_opts opts = { .escape = step->escape, .lookup = lookup, .data = &scope, .keep_quotes = keep_quotes };
	int r;

	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = expand_arg(self, &step->args[i]);

		if (value)
			ix_env_set(&scope.args, step->args[i].name, value);
	}
	r = ix_expand(&opts, word, ret_text, err);
	ix_strv_release(&scope.args);
	return r;
}

int expand_word(const struct expansion *self, const struct ix_step *step, const char *word, char **ret_text, struct ix_err *err)
{
	return expand(self, step, word, false, ret_text, err);
}

int expand_text(const struct expansion *self, const struct ix_step *step, const char *text, char **ret_text, struct ix_err *err)
{
	return expand(self, step, text, true, ret_text, err);
}
