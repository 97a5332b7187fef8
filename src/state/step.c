#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "state_int.h"

/*
 * What an instruction says, in words that mean the same exactly when they are the same: parsed, expanded, with defaults filled in.
 */

bool step_has_files(const struct ix_step *step)
{
	return step->kind == IX_STEP_RUN || step->kind == IX_STEP_COPY || step->kind == IX_STEP_ADD || step->kind == IX_STEP_WORKDIR;
}

/* Room for what the sources or mounts of the step select. */
static void need_selections(struct step_state *result, size_t count)
{
	if (result->selections)
		return;
	result->nselections = count;
	result->selections = ix_calloc(count, sizeof(*result->selections));
}

static void put_flag(struct compute *self, uint32_t tag, uint64_t value)
{
	ix_hash_u64(self->own, tag);
	ix_hash_u64(self->own, value);
}

/* An error that names no place yet gets the step's. */
static int at(struct ix_err *err, const struct ix_step *step, const char *what)
{
	if (step->pos.file)
		return ix_err_wrap(err, "%s:%u:%u: %s", step->pos.file, step->pos.line, step->pos.column, what);
	return ix_err_wrap(err, "%s", what);
}

static char *clean_path(const struct sight *sight, const char *cooked)
{
	ix_auto_free char *path = sight_path(sight, cooked);

	return cooked_is_known(path) ? ix_path_clean(path) : ix_steal(&path);
}

/* --- COPY and ADD --- */

static void put_doc(struct compute *self, const struct ix_step *step, const struct args *args, const char *name)
{
	for (size_t i = 0; i < step->ndocs; i++) {
		const struct ix_heredoc *doc = &step->docs[i];
		ix_auto_free char *body = NULL;

		if (strcmp(doc->name, name) != 0)
			continue;
		body = doc->expand ? cook_text(&self->sight, step, args, doc->body) : cook_value(doc->body);
		ix_hash_text(self->own, T_DOC_NAME, doc->name);
		ix_hash_text(self->own, T_DOC_BODY, body);
		return;
	}
	ix_bug("heredoc %s is not there", name);
}

/* Files of contexts belong to root unless somebody says otherwise; those of images and archives to whom they belong. */
static void put_owner(struct compute *self, const struct ix_step *step, const struct args *args)
{
	ix_auto_free char *cooked = step->chown ? cook(&self->sight, step, args, step->chown) : NULL;
	bool by_default = step->kind == IX_STEP_COPY && (step->from.kind == IX_SOURCE_DIR || step->from.kind == IX_SOURCE_SCRATCH);
	bool root = cooked && (strcmp(cooked, "0") == 0 || strcmp(cooked, "0:0") == 0);

	ix_hash_text(self->own, T_CHOWN, root && by_default ? NULL : cooked);
}

static bool is_octal(const char *text)
{
	return text && *text && text[strspn(text, "01234567")] == '\0';
}

static void put_mode(struct compute *self, const char *cooked)
{
	const char *text = cooked;

	while (is_octal(text) && *text == '0' && text[1])
		text++;
	ix_hash_text(self->own, T_CHMOD, text);
}

static void put_dest(struct compute *self, const struct ix_step *step, const struct args *args)
{
	ix_auto_free char *cooked = cook(&self->sight, step, args, step->dest);
	ix_auto_free char *path = clean_path(&self->sight, cooked);
	bool is_dir = ix_ends(cooked, "/") || strcmp(cooked, ".") == 0 || ix_ends(cooked, "/.");

	ix_hash_text(self->own, T_DEST, path);
	put_flag(self, T_DEST_IS_DIR, !*cooked ? 2 : is_dir);
}

static int put_source(struct compute *self, const struct ix_step *step, const struct args *args, bool types, struct step_state *result,
		      size_t i, struct ix_err *err)
{
	const struct ix_select_opts opts = { .digest = true,
					     .excludes = step->excludes,
					     .nexcludes = step->nexcludes,
					     .parents = step->parents,
					     .contents = !step->parents,
					     .types = types,
					     .cancel = self->state->cancel };

	if (ix_starts(step->words[i], "<<") && step->ndocs > 0) {
		put_doc(self, step, args, step->words[i] + 2);
		return 0;
	}
	if (step->remotes && step->remotes[i].kind != IX_REMOTE_NONE)
		return source_remote(self, &step->remotes[i], &result->selections[i], err);
	return source_hash(self, &step->from, step->words[i], &opts, &result->selections[i], err);
}

static int copy(struct compute *self, const struct ix_step *step, const struct args *args, struct step_state *result, struct ix_err *err)
{
	ix_auto_free char *mode = step->chmod ? cook(&self->sight, step, args, step->chmod) : NULL;
	/* Everything gets this mode, but for what comes out of archives. */
	bool types = step->kind == IX_STEP_COPY && is_octal(mode);

	need_selections(result, step->nwords);
	for (size_t i = 0; i < step->nwords; i++)
		if (put_source(self, step, args, types, result, i, err) < 0)
			return at(err, step, ix_step_word(step->kind));
	put_dest(self, step, args);
	put_owner(self, step, args);
	put_mode(self, mode);
	for (size_t i = 0; i < step->nexcludes; i++)
		ix_hash_text(self->own, T_EXCLUDE, step->excludes[i]);
	put_flag(self, T_LINK, step->link);
	put_flag(self, T_COPY_OPTION, (uint64_t)step->parents | (uint64_t)step->unpack << 1 | (uint64_t)step->no_unpack << 2);
	return 0;
}

/* --- RUN --- */

/* What permissions a mount's file or directory has unless somebody says otherwise. */
static uint32_t default_mode(enum ix_mount_kind kind)
{
	switch (kind) {
	case IX_MOUNT_SECRET:
		return 0400;
	case IX_MOUNT_SSH:
		return 0600;
	case IX_MOUNT_CACHE:
		return 0755;
	case IX_MOUNT_BIND:
	case IX_MOUNT_TMPFS:
		break;
	}
	return 0;
}

/* As builders find it: by its id, else by the last element of its target. */
static const char *secret_id(const struct ix_mount *mount)
{
	if (mount->kind == IX_MOUNT_SSH && !mount->id)
		return "default";
	return mount->id ? mount->id : mount->target ? ix_path_base(mount->target) : mount->env ? mount->env : "";
}

static void put_target(struct compute *self, const struct ix_mount *mount, const char *id)
{
	ix_auto_free char *value = mount->target ? cook_value(mount->target) : NULL;
	ix_auto_free char *path = NULL;

	if (value)
		path = clean_path(&self->sight, value);
	else if (mount->kind == IX_MOUNT_SECRET && !mount->env)
		path = ix_asprintf("/run/secrets/%s", ix_path_base(id));
	ix_hash_text(self->own, T_MOUNT_TARGET, path);
}

static int put_mount(struct compute *self, const struct ix_step *step, size_t i, struct step_state *result, struct ix_err *err)
{
	const struct ix_select_opts opts = { .digest = true, .cancel = self->state->cancel };
	const struct ix_mount *mount = &step->mounts[i];
	const uint64_t options[] = { mount->kind,
				     mount->size,
				     mount->read_only,
				     mount->required,
				     mount->has_mode ? mount->mode : default_mode(mount->kind),
				     mount->has_uid ? mount->uid : 0,
				     mount->has_gid ? mount->gid : 0 };
	/* Of a secret only the id counts, unless somebody asked; what a cache holds is nobody's result, so its id does not matter. */
	bool has_id = mount->kind == IX_MOUNT_SECRET || mount->kind == IX_MOUNT_SSH;
	const char *id = has_id ? secret_id(mount) : NULL;
	int r = 0;

	ix_hash_u64(self->own, T_MOUNT);
	for (size_t j = 0; j < IX_ARRAY_LEN(options); j++)
		ix_hash_u64(self->own, options[j]);
	put_target(self, mount, id);
	ix_hash_text(self->own, T_MOUNT_ENV, mount->env);
	if (has_id)
		ix_hash_text(self->own, T_MOUNT_ID, id);
	if (mount->kind == IX_MOUNT_SECRET)
		r = source_secret(self, id, &result->selections[i], err);
	else if (mount->kind == IX_MOUNT_BIND || mount->kind == IX_MOUNT_CACHE)
		r = source_hash(self, &mount->from, mount->source ? mount->source : "", &opts, &result->selections[i], err);
	return r < 0 ? at(err, step, "RUN --mount") : 0;
}

static void put_command(struct compute *self, const struct ix_step *step)
{
	bool script = ix_step_is_script(step), named = !script || ix_step_has_interpreter(step);

	put_flag(self, T_EXEC, step->exec);
	for (size_t i = 0; !script && i < step->nwords; i++)
		ix_hash_text(self->own, T_WORD, step->words[i]);
	for (size_t i = 0; i < step->ndocs; i++) {
		const struct ix_heredoc *doc = &step->docs[i];

		ix_hash_text(self->own, T_DOC_NAME, named ? doc->name : NULL);
		ix_hash_text(self->own, T_DOC_BODY, script ? doc->body : doc->raw);
		put_flag(self, T_DOC_FLAGS, (unsigned)doc->fd);
	}
}

static int run(struct compute *self, const struct ix_step *step, struct step_state *result, struct ix_err *err)
{
	int r = 0;

	put_command(self, step);
	need_selections(result, step->nmounts);
	for (size_t i = 0; i < step->nmounts && r == 0; i++)
		r = put_mount(self, step, i, result, err);
	return r;
}

int step_files(struct compute *self, const struct ix_step *step, const struct args *args, struct step_state *result, struct ix_err *err)
{
	ix_auto_free char *cooked = NULL;
	ix_auto_free char *path = NULL;

	ix_hash_text(self->own, T_STEP, ix_step_word(step->kind));
	if (step->kind == IX_STEP_RUN)
		return run(self, step, result, err);
	if (step->kind != IX_STEP_WORKDIR)
		return copy(self, step, args, result, err);
	cooked = cook(&self->sight, step, args, step->words[0]);
	path = clean_path(&self->sight, cooked);
	ix_hash_text(self->own, T_WORD, path);
	return 0;
}

/* --- the config --- */

/* "8080", "8080/TCP" and "0.0.0.0:8080:8080" are one port. */
static char *port(const char *word)
{
	const char *colon = strrchr(word, ':'), *start = colon ? colon + 1 : word, *slash = strchr(start, '/');
	char *text = slash ? ix_strdup(start) : ix_asprintf("%s/tcp", start);

	for (char *c = text; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	return text;
}

static void put_ports(const char *cooked, struct ix_strv *words)
{
	ix_auto_free char *copy = ix_strdup(cooked);
	char *rest, *word;

	if (!cooked_is_known(cooked)) {
		ix_strv_add(words, cooked);
		return;
	}
	for (word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
		ix_strv_take(words, port(word));
}

/* Words that hold variables, and those that are taken as they are. */
static bool is_literal(enum ix_step_kind kind)
{
	return kind == IX_STEP_CMD || kind == IX_STEP_ENTRYPOINT || kind == IX_STEP_SHELL || kind == IX_STEP_ONBUILD ||
	       kind == IX_STEP_MAINTAINER || kind == IX_STEP_HEALTHCHECK;
}

static void cooked_words(struct compute *self, const struct ix_step *step, const struct args *args, struct ix_strv *words)
{
	for (size_t i = 0; i < step->nwords; i++) {
		ix_auto_free char *cooked =
			is_literal(step->kind) ? ix_strdup(step->words[i]) : cook(&self->sight, step, args, step->words[i]);

		if (step->kind == IX_STEP_EXPOSE)
			put_ports(cooked, words);
		else
			ix_strv_take(words, ix_steal(&cooked));
	}
	if (step->kind == IX_STEP_EXPOSE || step->kind == IX_STEP_VOLUME)
		ix_strv_sort(words);
}

void step_config(struct compute *self, const struct ix_step *step, const struct args *args)
{
	const int64_t health[] = { step->interval, step->timeout, step->start_period, step->start_interval, step->retries };
	bool has_form = step->kind == IX_STEP_CMD || step->kind == IX_STEP_ENTRYPOINT || step->kind == IX_STEP_HEALTHCHECK;
	ix_auto_strv words = { 0 };

	ix_hash_text(self->own, T_STEP, ix_step_word(step->kind));
	if (has_form)
		put_flag(self, T_EXEC, step->exec);
	cooked_words(self, step, args, &words);
	if (step->kind == IX_STEP_WORKDIR) {
		ix_auto_free char *path = sight_path(&self->sight, words.items[0]);

		ix_hash_text(self->own, T_WORD, path);
	}
	for (size_t i = 0; i < words.count && step->kind != IX_STEP_WORKDIR; i++)
		ix_hash_text(self->own, T_WORD, words.items[i]);
	for (size_t i = 0; i < IX_ARRAY_LEN(health) && step->kind == IX_STEP_HEALTHCHECK; i++)
		put_flag(self, T_HEALTH, (uint64_t)health[i]);
}

void step_sight(struct compute *self, const struct ix_step *step, const struct args *args)
{
	ix_auto_strv words = { 0 };

	if (step->kind != IX_STEP_ENV && step->kind != IX_STEP_USER && step->kind != IX_STEP_WORKDIR && step->kind != IX_STEP_SHELL)
		return;
	cooked_words(self, step, args, &words);
	sight_apply(&self->sight, step, words.items, words.count);
}
