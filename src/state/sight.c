#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "state_int.h"

enum { MARK = 1 };

/* What a mark is made of: never renumbered either. */
enum { M_NAME = 1, M_TEXT = 3, M_VALUE, M_ENV, M_PLACE, M_PATH, M_LINK, M_KEEP, M_BASE };

/* --- marks --- */

static char *mark(struct ix_hash *hash)
{
	char hex[IX_DIGEST_HEX + 1];
	struct ix_digest digest;

	ix_hash_final(hash, &digest);
	return ix_asprintf("%c%s", MARK, ix_digest_hex(&digest, hex));
}

bool cooked_is_known(const char *cooked)
{
	return strchr(cooked, MARK) == NULL;
}

char *cook_value(const char *value)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = NULL;

	if (cooked_is_known(value))
		return ix_strdup(value);
	hash = ix_hash_new();
	ix_hash_text(hash, M_VALUE, value);
	return mark(hash);
}

char *cook_link(const struct ix_digest *stage)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	ix_hash_digest(hash, M_LINK, stage);
	return mark(hash);
}

/* What the image from outside says of the thing. */
static char *of_base(const char *what)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	ix_hash_text(hash, M_BASE, what);
	return mark(hash);
}

/* --- sight --- */

void sight_init(struct sight *sight, bool scratch)
{
	*sight = (struct sight){ .complete = scratch, .workdir = scratch ? ix_strdup("/") : of_base("working directory") };
	if (scratch)
		ix_env_set(&sight->env, "PATH", IX_DEFAULT_PATH);
}

void sight_copy(struct sight *sight, const struct sight *from)
{
	*sight = (struct sight){
		.complete = from->complete, .dynamic = from->dynamic, .user = ix_strdup(from->user), .workdir = ix_strdup(from->workdir)
	};
	ix_strv_copy(&sight->env, &from->env);
	ix_strv_copy(&sight->shell, &from->shell);
}

void sight_release(struct sight *sight)
{
	ix_strv_release(&sight->env);
	ix_strv_release(&sight->shell);
	free(sight->user);
	free(sight->workdir);
	*sight = (struct sight){ 0 };
}

char *sight_path(const struct sight *sight, const char *path)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = NULL;

	if (*path == '/')
		return ix_strdup(path);
	if (cooked_is_known(path) && cooked_is_known(sight->workdir))
		return ix_path_resolve(*sight->workdir ? sight->workdir : "/", path);
	/* Whether it is absolute hangs on what is not known. */
	hash = ix_hash_new();
	ix_hash_text(hash, M_PLACE, sight->workdir);
	ix_hash_text(hash, M_PATH, path);
	return mark(hash);
}

static void set_env(struct sight *sight, char *const *words, size_t nwords)
{
	for (size_t i = 0; i + 1 < nwords; i += 2) {
		sight->dynamic = sight->dynamic || !cooked_is_known(words[i]);
		ix_env_set(&sight->env, words[i], words[i + 1]);
	}
}

void sight_apply(struct sight *sight, const struct ix_step *step, char *const *words, size_t nwords)
{
	char *path;

	switch (step->kind) {
	case IX_STEP_ENV:
		set_env(sight, words, nwords);
		break;
	case IX_STEP_USER:
		free(sight->user);
		sight->user = ix_strdup(words[0]);
		break;
	case IX_STEP_WORKDIR:
		path = sight_path(sight, words[0]);
		free(sight->workdir);
		sight->workdir = path;
		break;
	case IX_STEP_SHELL:
		ix_strv_release(&sight->shell);
		for (size_t i = 0; i < nwords; i++)
			ix_strv_add(&sight->shell, words[i]);
		break;
	case IX_STEP_ADD:
	case IX_STEP_ARG:
	case IX_STEP_CMD:
	case IX_STEP_COPY:
	case IX_STEP_ENTRYPOINT:
	case IX_STEP_EXPOSE:
	case IX_STEP_HEALTHCHECK:
	case IX_STEP_LABEL:
	case IX_STEP_MAINTAINER:
	case IX_STEP_ONBUILD:
	case IX_STEP_RUN:
	case IX_STEP_STOPSIGNAL:
	case IX_STEP_VOLUME:
		break;
	}
}

void args_release(struct args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->values[i]);
	free(args->values);
	*args = (struct args){ 0 };
}

/* --- words --- */

struct cooking {
	const struct sight *sight;
	const struct ix_step *step;
	const struct args *args;
	struct ix_strv marks; /* made on the way */
};

/* A variable that Dockerfiles did not set: what the image says. */
static char *mark_variable(const struct cooking *self, const char *name)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	ix_hash_text(hash, M_NAME, name);
	for (size_t i = 0; self->sight->dynamic && i < self->sight->env.count; i++)
		ix_hash_text(hash, M_ENV, self->sight->env.items[i]);
	return mark(hash);
}

static const char *lookup(void *data, const char *name)
{
	struct cooking *self = data;
	const char *value = NULL;

	/* An argument that an ENV line behind it hides is none. */
	for (size_t i = 0; i < self->args->count; i++)
		if (strcmp(self->step->args[i].name, name) == 0 && self->args->values[i])
			value = self->args->values[i];
	if (!value && !self->sight->dynamic)
		value = ix_env_get(&self->sight->env, name);
	if (value || (self->sight->complete && !self->sight->dynamic))
		return value;
	ix_strv_take(&self->marks, mark_variable(self, name));
	return self->marks.items[self->marks.count - 1];
}

static bool opaque(void *data, const char *name)
{
	const char *value = lookup(data, name);

	return value && !cooked_is_known(value);
}

/* A text that cannot be expanded yet: as it is written, with the values of what it names. */
static char *mark_text(struct cooking *self, const char *text, bool keep_quotes)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	const struct ix_expand_opts opts = { .escape = self->step->escape, .keep_quotes = keep_quotes };
	ix_auto_strv names = { 0 };

	ix_expand_names(&opts, text, &names);
	ix_hash_text(hash, M_TEXT, text);
	ix_hash_u64(hash, M_KEEP);
	ix_hash_u64(hash, (uint64_t)keep_quotes | (uint64_t)(self->step->escape == '`') << 1);
	for (size_t i = 0; i < names.count; i++) {
		ix_hash_text(hash, M_NAME, names.items[i]);
		ix_hash_text(hash, M_VALUE, lookup(self, names.items[i]));
	}
	return mark(hash);
}

static char *expand(struct cooking *self, const char *text, bool keep_quotes)
{
	const struct ix_expand_opts opts = {
		.escape = self->step->escape, .lookup = lookup, .opaque = opaque, .data = self, .keep_quotes = keep_quotes
	};
	char *cooked = NULL;
	struct ix_err ignored;

	/* What is malformed is found when the step is executed; until then it is what it is. */
	if (!cooked_is_known(text) || ix_expand(&opts, text, &cooked, &ignored) < 0)
		cooked = mark_text(self, text, keep_quotes);
	ix_strv_release(&self->marks);
	return cooked;
}

char *cook(const struct sight *sight, const struct ix_step *step, const struct args *args, const char *word)
{
	struct cooking self = { .sight = sight, .step = step, .args = args };

	return expand(&self, word, false);
}

char *cook_text(const struct sight *sight, const struct ix_step *step, const struct args *args, const char *text)
{
	struct cooking self = { .sight = sight, .step = step, .args = args };

	return expand(&self, text, true);
}
