#include "lower_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "syntax/syntax.h"

void lower_link_source(struct making *self, const struct ix_source *source, bool is_base)
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

/* What the step can see of the outside: all of it for RUN, what it names for the rest. Of what an ENV hides RUN has the name alone, which its
 * record tells. */
static void add_args(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	const struct ix_expand_opts word = { .escape = self->lower->file->escape }, text = { .keep_quotes = true };
	ix_auto_strv names = { 0 };

	if (step->kind != IX_STEP_RUN) {
		bool literal = instr->exec && step->kind != IX_STEP_COPY && step->kind != IX_STEP_ADD && step->kind != IX_STEP_VOLUME;

		for (size_t i = 0; i < instr->nwords && !literal && step->kind != IX_STEP_CMD && step->kind != IX_STEP_ENTRYPOINT; i++)
			if (instr->words[i])
				ix_expand_names(&word, instr->words[i], &names);
		if (step->dest)
			ix_expand_names(&word, step->dest, &names);
		if (step->chown)
			ix_expand_names(&word, step->chown, &names);
		if (step->chmod)
			ix_expand_names(&word, step->chmod, &names);
		for (size_t i = 0; i < step->ndocs; i++)
			if (step->docs[i].expand)
				ix_expand_names(&text, step->docs[i].body, &names);
	}
	for (size_t i = 0; i < self->scope.nargs; i++) {
		const struct scope_arg *arg = &self->scope.args[i];

		if (step->kind == IX_STEP_RUN && arg->hidden)
			add_arg(self, step, &(struct scope_arg){ .name = arg->name });
		else if (step->kind == IX_STEP_RUN || (!arg->hidden && ix_strv_has(&names, arg->name)))
			add_arg(self, step, arg);
	}
}

static int do_arg(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	struct lower *lower = self->lower;
	const struct ix_build_arg *given = lower_build_arg(lower, instr->words[0]);
	const struct scope_arg *global = scope_find(&lower->globals, instr->words[0]);
	const char *value = NULL;
	struct scope_arg *arg;

	if (given && given->value) {
		value = given->value;
	} else if (instr->nwords > 1) {
		if (lower_expand_known(lower, &self->scope, self->stage, instr->words[1], &instr->pos, &value) < 0)
			return lower_failed(lower);
	} else if (global) {
		value = global->value;
	}
	/* Without a value of its own it leaves what is there, be it of the stage before. */
	if (!value) {
		arg = scope_declare(lower, &self->scope, instr->words[0]);
		add_arg(self, step, &(struct scope_arg){ .name = arg->name });
		return 0;
	}
	arg = scope_set(lower, &self->scope, instr->words[0], value);
	if (lower_stage_link(lower, value, &instr->pos, &arg->link) < 0)
		return lower_failed(lower);
	add_arg(self, step, arg);
	return 0;
}

static int do_env(struct making *self, const struct ix_df_instr *instr)
{
	struct ix_strv values_now = { 0 };
	int r = 0;

	/* All values see the environment as it was before the instruction. */
	for (size_t i = 0; i + 1 < instr->nwords && r == 0; i += 2) {
		struct values values = { &self->scope, self->stage, false };
		const char *key, *value;

		r = lower_expand(self->lower, &values, instr->words[i], &instr->pos, &key);
		if (r == 0)
			r = lower_expand(self->lower, &values, instr->words[i + 1], &instr->pos, &value);
		if (r < 0)
			break;
		ix_strv_add(&values_now, key);
		ix_strv_add(&values_now, values.unknown ? lower_unknown : value);
	}
	for (size_t i = 0; i + 1 < values_now.count && r == 0; i += 2) {
		struct scope_arg *arg = scope_find(&self->scope, values_now.items[i]);

		if (arg)
			arg->hidden = true;
		ix_env_set(&self->stage->env, values_now.items[i], values_now.items[i + 1]);
	}
	ix_strv_release(&values_now);
	return r;
}

static int context_source(struct making *self, const struct ix_df_instr *instr, struct ix_source *ret_source)
{
	if (!self->lower->opts->context)
		return ix_df_err(self->lower->file, self->lower->err, &instr->pos,
				 "%s needs a build context, and there is none (the Dockerfile came from standard input)", instr->word);
	*ret_source = (struct ix_source){ .kind = IX_SOURCE_DIR, .dir = self->lower->opts->context };
	return 0;
}

/* Flags of ADD and COPY whose values are words. */
static void copy_flags(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	struct ix_arena *arena = self->lower->graph->arena;

	step->dest = instr->dest;
	step->chown = ix_df_flag_value(instr, "chown");
	step->chmod = ix_df_flag_value(instr, "chmod");
	step->link = ix_df_flag_true(instr, "link");
	step->parents = ix_df_flag_true(instr, "parents");
	step->unpack = ix_df_flag_true(instr, "unpack");
	step->no_unpack = ix_df_has_flag(instr, "unpack") && !step->unpack;
	/* As written: BuildKit replaces no variables here. */
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, "exclude") == 0)
			*IX_ARENA_PUSH(arena, step->excludes, step->nexcludes) = instr->flags[i].value;
}

/* What --checksum and --keep-git-dir say of a source that is fetched. */
static int remote_flags(struct making *self, const struct ix_df_instr *instr, struct ix_remote *remote)
{
	struct lower *lower = self->lower;
	const char *checksum = ix_df_flag_value(instr, "checksum");

	if (remote->kind == IX_REMOTE_GIT)
		remote->keep_git_dir = remote->keep_git_dir || ix_df_flag_true(instr, "keep-git-dir");
	if (!checksum)
		return 0;
	if (instr->nwords != 1)
		return ix_df_err(lower->file, lower->err, &instr->pos, "--checksum can't be specified for multiple sources");
	if (lower_expand_known(lower, &self->scope, self->stage, checksum, &instr->pos, &checksum) < 0)
		return lower_failed(lower);
	if (remote->checksum && strcmp(remote->checksum, checksum) != 0)
		return ix_df_err(lower->file, lower->err, &instr->pos, "--checksum=%s and the URL's %s are not the same", checksum,
				 remote->checksum);
	if (remote->kind == IX_REMOTE_HTTP &&
	    (!ix_starts(checksum, "sha256:") || strlen(checksum) != 71 || strspn(checksum + 7, "0123456789abcdef") != 64))
		return ix_df_err(lower->file, lower->err, &instr->pos, "--checksum=%s: for a file it is sha256: and 64 hexadecimal digits",
				 checksum);
	if (remote->kind == IX_REMOTE_GIT && (strspn(checksum, "0123456789abcdef") != strlen(checksum) || strlen(checksum) < 7))
		return ix_df_err(lower->file, lower->err, &instr->pos, "--checksum=%s: for a repository it is a commit", checksum);
	remote->checksum = checksum;
	return 0;
}

/* One source: files, or something to fetch. */
static int copy_word(struct making *self, const struct ix_df_instr *instr, struct ix_step *step, size_t i, bool *ret_files)
{
	struct lower *lower = self->lower;
	struct ix_arena *arena = lower->graph->arena;
	const char *word = instr->words[i];
	struct ix_remote remote;

	if (ix_starts(word, "<<") && instr->ndocs > 0) {
		if (strchr(word, '/'))
			return ix_df_err(lower->file, lower->err, &instr->pos, "%s: a heredoc's name is a file's and holds no slash", word);
		step->words[i] = ix_arena_strdup(arena, word);
		return 0;
	}
	if (lower_expand_known(lower, &self->scope, self->stage, word, &instr->pos, &word) < 0)
		return lower_failed(lower);
	step->words[i] = ix_arena_strdup(arena, word);
	if (ix_remote_parse(arena, word, &remote, lower->err) < 0)
		return lower_at(lower, &instr->pos);
	if (remote.kind == IX_REMOTE_GIT && ix_starts(word, "github.com/"))
		remote.kind = IX_REMOTE_NONE; /* among sources it is a path like any other */
	*ret_files = *ret_files || remote.kind == IX_REMOTE_NONE;
	if (remote.kind == IX_REMOTE_NONE) {
		if (ix_df_has_flag(instr, "checksum"))
			return ix_df_err(lower->file, lower->err, &instr->pos, "--checksum requires an HTTP(S) or git source");
		return 0;
	}
	if (instr->kind == IX_STEP_COPY)
		return ix_df_err(lower->file, lower->err, &instr->pos,
				 remote.kind == IX_REMOTE_GIT ? "source can't be a git ref for COPY: use ADD"
							      : "source can't be a URL for COPY: use ADD");
	if (remote_flags(self, instr, &remote) < 0)
		return lower_failed(lower);
	if (!step->remotes)
		step->remotes = ix_arena_alloc(arena, instr->nwords * sizeof(*step->remotes));
	step->remotes[i] = remote;
	return 0;
}

static int copy_from(struct making *self, const struct ix_df_instr *instr, const char *from, struct ix_source *ret_source)
{
	struct lower *lower = self->lower;
	const char *name;
	uint64_t number;

	if (lower_expand_known(lower, &self->scope, self->stage, from, &instr->pos, &name) < 0)
		return lower_failed(lower);
	if (!*name)
		return ix_df_err(lower->file, lower->err, &instr->pos, "--from=%s is empty", from);
	if (ix_parse_u64(name, SIZE_MAX, &number) && number >= self->index)
		return ix_df_err(lower->file, lower->err, &instr->pos, "--from=%s: there is no stage of that number before this one", from);
	if (lower_resolve(lower, name, self->index, true, self->stage->platform, &instr->pos, ret_source) < 0)
		return lower_failed(lower);
	lower_link_source(self, ret_source, false);
	return 0;
}

static int do_copy(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	const char *from = ix_df_flag_value(instr, "from");
	bool files = false;

	copy_flags(self, instr, step);
	if (from && !*from)
		from = NULL; /* as if it were not there */
	step->words = ix_arena_alloc(self->lower->graph->arena, (instr->nwords + 1) * sizeof(char *));
	step->nwords = instr->nwords;
	for (size_t i = 0; i < instr->nwords; i++)
		if (copy_word(self, instr, step, i, &files) < 0)
			return lower_failed(self->lower);
	if (!files)
		return 0; /* then nothing is needed of where they would come from */
	return from ? copy_from(self, instr, from, &step->from) : context_source(self, instr, &step->from);
}

static int expand_mount(void *data, const char *word, const struct ix_pos *pos, const char **ret_text)
{
	struct making *self = data;

	return lower_expand_known(self->lower, &self->scope, self->stage, word, pos, ret_text);
}

static int do_mount(struct making *self, const struct ix_df_instr *instr, const struct ix_df_flag *flag, struct ix_step *step)
{
	const struct ix_df_expander expander = { expand_mount, self };
	struct lower *lower = self->lower;
	struct ix_df_mount parsed;
	int r = ix_df_parse_mount(lower->file, flag, &expander, &parsed, lower->err);

	if (r < 0)
		return r;
	/* It stands on the working directory. */
	if (parsed.mount.target && !*parsed.mount.target && !self->stage->env_complete)
		lower->graph->awaits_bases = true;
	if (parsed.mount.target && !*parsed.mount.target && !self->workdir)
		return ix_df_err(lower->file, lower->err, &flag->pos, "invalid mount target \"/\": the working directory is the root here");
	if (parsed.from && *parsed.from) {
		r = lower_resolve(lower, parsed.from, self->index, true, self->stage->platform, &flag->pos, &parsed.mount.from);
		if (r < 0)
			return r;
		lower_link_source(self, &parsed.mount.from, false);
	} else if (parsed.mount.kind == IX_MOUNT_BIND) {
		r = context_source(self, instr, &parsed.mount.from);
		if (r < 0)
			return r;
	}
	*IX_ARENA_PUSH(lower->graph->arena, step->mounts, step->nmounts) = parsed.mount;
	return 0;
}

static int do_security(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	struct lower *lower = self->lower;
	const char *security = ix_df_flag_value(instr, "security");

	if (ix_df_has_flag(instr, "device"))
		return ix_df_err(lower->file, lower->err, &instr->pos,
				 "RUN --device (docker/dockerfile:1-labs, CDI devices) is not supported: bind the device's files instead");
	if (!security || strcmp(security, "sandbox") == 0)
		return 0;
	if (strcmp(security, "insecure") != 0)
		return ix_df_err(lower->file, lower->err, &instr->pos, "security \"%s\" is not valid: sandbox or insecure", security);
	if (!lower->opts->allow_insecure)
		return ix_df_err(lower->file, lower->err, &instr->pos,
				 "RUN --security=insecure is not allowed: permit it with --allow security.insecure");
	step->run.insecure = true;
	return 0;
}

static int do_run(struct making *self, const struct ix_df_instr *instr, struct ix_step *step)
{
	static const char *const networks[] = { "default", "none", "host" };
	const char *network = ix_df_flag_value(instr, "network");

	step->run = self->lower->opts->run ? *self->lower->opts->run : (struct ix_run_spec)IX_RUN_SPEC_INIT;
	if (do_security(self, instr, step) < 0)
		return lower_failed(self->lower);
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, "mount") == 0 && do_mount(self, instr, &instr->flags[i], step) < 0)
			return lower_failed(self->lower);
	if (!network)
		return 0;
	for (size_t i = 0; i < IX_ARRAY_LEN(networks); i++) {
		if (strcmp(network, networks[i]) == 0) {
			if (i != IX_NETWORK_DEFAULT)
				step->run.network = (enum ix_network)i;
			return 0;
		}
	}
	return ix_df_err(self->lower->file, self->lower->err, &instr->pos, "unsupported network mode \"%s\": default, none or host",
			 network);
}

int lower_add_step(struct making *self, const struct ix_df_instr *instr, bool trigger)
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
		.escape = self->lower->file->escape,
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
	r = lower_validate(self, instr);
	if (r < 0)
		return r;
	if (instr->kind == IX_STEP_WORKDIR)
		self->workdir = strcmp(instr->words[0], "/") != 0;
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
int lower_add_trigger(struct making *self, const char *text)
{
	struct lower *lower = self->lower;
	const struct ix_pos *from = &lower->file->stages[self->index].from.pos;
	struct ix_df_instr instr;
	int r;

	r = ix_df_parse_trigger(lower->graph->arena, from->file, text, &instr, lower->err);
	if (r < 0)
		return ix_err_wrap(lower->err, "ONBUILD trigger of the base image");
	if (r == 0)
		return 0;
	instr.pos = *from;
	if (instr.kind == IX_STEP_ARG && instr.nwords > 1 && !instr.words[1])
		instr.nwords = 1;
	return lower_add_step(self, &instr, true);
}
