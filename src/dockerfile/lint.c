#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/str.h"
#include "graph/graph.h"
#include "lint_int.h"
#include "outline_int.h"
#include "syntax/syntax.h"

/* The checks that look at whole instructions and stages, used or not. */

/* --- instructions --- */

static void check_expose(const struct lint *self, const struct ix_df_instr *instr)
{
	for (size_t i = 0; i < instr->nwords; i++) {
		const char *slash = strchr(instr->words[i], '/');

		if (strchr(instr->words[i], '$'))
			continue;
		if (slash && !lint_all_lower(slash))
			lint_warn(self, IX_DF_EXPOSE_PROTO, instr, "Defined protocol '%s' in EXPOSE instruction should be lowercase",
				  instr->words[i], NULL);
		if (strchr(instr->words[i], ':'))
			lint_warn(self, IX_DF_EXPOSE_FORMAT, instr,
				  "EXPOSE instruction should not define an IP address or host-port mapping, found '%s'", instr->words[i],
				  NULL);
	}
}

static void check_secrets(const struct lint *self, const struct ix_df_instr *instr)
{
	for (size_t i = 0; i < instr->nwords; i += instr->kind == IX_STEP_ARG ? instr->nwords : 2)
		if (ix_names_secret(instr->words[i]))
			lint_warn(self, IX_DF_SECRETS_IN_ENV, instr, "Do not use ARG or ENV instructions for sensitive data (%s \"%s\")",
				  instr->word, instr->words[i]);
}

static void check_ignored(const struct lint *self, const struct ix_df_instr *instr)
{
	if (ix_df_has_flag(instr, "from") || !self->opts->ignored)
		return;
	for (size_t i = 0; i < instr->nwords; i++)
		if (!strpbrk(instr->words[i], "$*?[") && !ix_starts(instr->words[i], "<<") && !strstr(instr->words[i], "://") &&
		    self->opts->ignored(self->opts->data, instr->words[i]))
			lint_warn(self, IX_DF_COPY_IGNORED, instr, "Attempting to Copy file \"%s\" that is excluded by .dockerignore",
				  instr->words[i], NULL);
}

/* "# NAME what it is" above an ARG or a FROM. */
static void check_description(const struct lint *self, const struct ix_df_instr *instr, const char *const *names, size_t nnames)
{
	const char *comment = instr->comment, *last;
	size_t len;

	if (!comment || !names[0])
		return;
	last = strrchr(comment, '\n');
	last = last ? last + 1 : comment;
	len = strcspn(last, " ");
	if (ix_starts(last, "check="))
		return;
	for (size_t i = 0; i < nnames; i += 2)
		if (strlen(names[i]) == len && strncmp(last, names[i], len) == 0)
			return;
	ix_df_check(self->file, IX_DF_DEFINITION_DESCRIPTION, &instr->pos, instr->last_line, comment,
		    "Comment for %s should follow the format: `# %s <description>`", instr->word, nnames > 2 ? "<arg_key>" : names[0]);
}

/* Once for all arguments of an instruction. */
static void check_arg_description(const struct lint *self, const struct ix_df_instr *instr)
{
	if (instr->words == instr->group)
		check_description(self, instr, (const char *const *)instr->group, instr->ngroup);
}

static const char *value_of(void *data, const char *name)
{
	const struct stage_names *names = data;

	return ix_env_get(&names->values, name);
}

/* The word with what is known of variables. */
static char *expanded(const struct lint *self, const struct stage_names *names, const char *word)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = value_of, .data = (void *)(uintptr_t)names };
	struct ix_err ignored;
	char *text;

	return ix_expand(&opts, word, &text, &ignored) == 0 ? text : ix_strdup("");
}

/* Of a stage the first one tells. */
static void check_workdir(const struct lint *self, const struct ix_df_instr *instr, struct stage_names *names)
{
	ix_auto_free char *path = expanded(self, names, instr->words[0]);
	bool hidden = names->open && strchr(instr->words[0], '$');

	if (!names->workdir && *path != '/' && !(hidden && !*path))
		lint_warn(self, IX_DF_WORKDIR_RELATIVE, instr,
			  "Relative workdir \"%s\" can have unexpected results if the base image changes", path, NULL);
	names->workdir = true;
}

static const char *build_arg(const struct lint *self, const char *name)
{
	for (size_t i = self->opts->nargs; i-- > 0;)
		if (strcmp(self->opts->args[i].name, name) == 0 && self->opts->args[i].value)
			return self->opts->args[i].value;
	return NULL;
}

static void check_instr(const struct lint *self, const struct ix_df_instr *instr, struct stage_names *names)
{
	switch (instr->kind) {
	case IX_STEP_ARG:
		check_secrets(self, instr);
		check_arg_description(self, instr);
		break;
	case IX_STEP_ENV:
		check_secrets(self, instr);
		break;
	case IX_STEP_COPY:
	case IX_STEP_ADD:
		check_ignored(self, instr);
		break;
	case IX_STEP_EXPOSE:
		check_expose(self, instr);
		break;
	case IX_STEP_SHELL:
		names->shell = true;
		break;
	case IX_STEP_CMD:
	case IX_STEP_ENTRYPOINT:
		if (!instr->exec && !names->shell)
			lint_warn(self, IX_DF_JSON_ARGS, instr,
				  "JSON arguments recommended for %s to prevent unintended behavior related to OS signals", instr->word,
				  NULL);
		break;
	case IX_STEP_WORKDIR:
		check_workdir(self, instr, names);
		break;
	default:
		break;
	}
	/* A default that is not used is not read. */
	if (instr->kind != IX_STEP_ARG || !build_arg(self, instr->words[0]))
		lint_words(self, instr, names);
}

/* As it is built now: what is given, else the default. */
static const char *given_of(void *data, const char *name)
{
	const struct lint *self = data;

	const char *given = build_arg(self, name);

	return given ? given : ix_dockerfile_global(self->file, name);
}

static void add_names(const struct lint *self, const struct ix_df_instr *instr, struct stage_names *names)
{
	const char *given = instr->kind == IX_STEP_ARG ? given_of((void *)(uintptr_t)self, instr->words[0]) : NULL;

	if (instr->kind == IX_STEP_ARG)
		ix_strv_add(&names->names, instr->words[0]);
	if (given || (instr->kind == IX_STEP_ARG && instr->nwords > 1 && instr->words[1])) {
		ix_auto_free char *value = given ? ix_strdup(given) : expanded(self, names, instr->words[1]);

		ix_env_set(&names->values, instr->words[0], value);
	}
	for (size_t i = 0; instr->kind == IX_STEP_ENV && i + 1 < instr->nwords; i += 2) {
		ix_auto_free char *value = expanded(self, names, instr->words[i + 1]);

		ix_strv_add(&names->names, instr->words[i]);
		ix_env_set(&names->values, instr->words[i], value);
	}
}

/* Of CMD, ENTRYPOINT and HEALTHCHECK only the last one of a stage counts. */
static void check_repeated(const struct lint *self, const struct ix_df_stage *stage, int kind)
{
	const struct ix_df_instr *before = NULL;

	for (size_t i = 0; i < stage->ninstrs; i++) {
		if (stage->instrs[i].kind != kind)
			continue;
		if (before) {
			struct ix_check *check = lint_warn(
				self, IX_DF_MULTIPLE_INSTRUCTIONS, before,
				"Multiple %s instructions should not be used in the same stage because only the last one will be used",
				before->word, NULL);
			if (check)
				check->found_line = stage->instrs[i].pos.line;
		}
		before = &stage->instrs[i];
	}
}

/* --- FROM --- */

/* What is seen while it is read. */
static void check_from_text(const struct lint *self, const struct ix_df_instr *from)
{
	const char *as = from->nwords == 3 ? from->words[1] : "", *name = from->nwords == 3 ? from->words[2] : "";

	if (ix_strcaseeq(as, "as") &&
	    ((lint_all_upper(from->written) && !lint_all_upper(as)) || (lint_all_lower(from->written) && !lint_all_lower(as))))
		lint_warn(self, IX_DF_FROM_AS_CASING, from, "'%s' and '%s' keywords' casing do not match", as, from->written);
	if (!lint_all_lower(name))
		lint_warn(self, IX_DF_STAGE_NAME_CASING, from, "Stage name '%s' should be lowercase", name, NULL);
	if (ix_strcaseeq(name, "scratch") || ix_strcaseeq(name, "context"))
		lint_warn(self, IX_DF_RESERVED_STAGE_NAME, from, "Stage name should not use the same name as reserved stage \"%s\"",
			  ix_strcaseeq(name, "scratch") ? "scratch" : "context", NULL);
}

static void check_from_words(const struct lint *self, const struct ix_df_instr *from, const struct ix_df_stage *stage)
{
	const char *platform = ix_df_flag_value(from, "platform");

	check_from_text(self, from);
	if (platform && (strcmp(platform, "$TARGETPLATFORM") == 0 || strcmp(platform, "${TARGETPLATFORM}") == 0))
		lint_warn(self, IX_DF_REDUNDANT_PLATFORM, from,
			  "Setting platform to predefined %s in FROM is redundant as this is the default behavior", platform, NULL);
	if (platform && *platform && !strchr(platform, '$'))
		lint_warn(self, IX_DF_PLATFORM_CONST, from, "FROM --platform flag should not use constant value \"%s\"", platform, NULL);
	check_description(self, from, &stage->name, 1);
}

static void check_from_args(const struct lint *self, const struct ix_df_instr *from, const struct stage_names *globals)
{
	const char *const words[] = { from->words[0], ix_df_flag_value(from, "platform") };
	const struct ix_expand_opts opts = { .escape = self->file->escape };
	ix_auto_strv used = { 0 };

	for (size_t i = 0; i < IX_ARRAY_LEN(words); i++)
		if (words[i])
			ix_expand_names(&opts, words[i], &used);
	for (size_t i = 0; i < used.count; i++) {
		const char *near;

		if (ix_strv_has(&globals->names, used.items[i]))
			continue;
		near = lint_nearest(globals, used.items[i]);
		lint_warn(self, IX_DF_UNDEFINED_ARG_IN_FROM, from,
			  near ? "FROM argument '%s' is not declared (did you mean %s?)" : "FROM argument '%s' is not declared",
			  used.items[i], near);
	}
}

static const char *default_of(void *data, const char *name)
{
	const struct lint *self = data;

	return ix_dockerfile_global(self->file, name);
}

/* With the defaults alone there should be an image, or an earlier stage. */
static void check_default(const struct lint *self, size_t index)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = default_of, .data = (void *)(uintptr_t)self };
	const struct ix_df_instr *from = &self->file->stages[index].from;
	ix_auto_free char *name = NULL;
	struct ix_err ignored;

	if (ix_expand(&opts, from->words[0], &name, &ignored) < 0)
		return; /* an error of its own */
	for (size_t i = 0; i < index; i++)
		if (self->file->stages[i].name && strcmp(self->file->stages[i].name, name) == 0)
			return;
	if (!ix_df_reference_valid(name) && !ix_starts(name, "stage:"))
		lint_warn(self, IX_DF_INVALID_DEFAULT_ARG, from, "Default value for ARG %s results in empty or invalid base image name",
			  from->words[0], NULL);
}

/* They may define anything. */
static bool has_triggers(const struct ix_df_stage *stage)
{
	for (size_t i = 0; i < stage->ninstrs; i++)
		if (stage->instrs[i].kind == IX_STEP_ONBUILD)
			return true;
	return false;
}

/* What the base brings along. */
static void inherit(const struct lint *self, size_t index, struct stage_names *names)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape, .lookup = given_of, .data = (void *)(uintptr_t)self };
	ix_auto_free char *base = NULL;
	const struct ix_image_facts *facts = NULL;
	struct ix_source image;
	struct ix_err ignored;

	if (ix_expand(&opts, self->file->stages[index].from.words[0], &base, &ignored) < 0)
		base = ix_strdup("");
	for (size_t i = index; i-- > 0;) {
		if (self->file->stages[i].name && strcmp(self->file->stages[i].name, base) == 0) {
			ix_strv_copy(&names->names, &self->stages[i].names);
			ix_strv_copy(&names->values, &self->stages[i].values);
			names->open = self->stages[i].open || has_triggers(&self->file->stages[i]);
			names->workdir = self->stages[i].workdir;
			names->shell = self->stages[i].shell;
			return;
		}
	}
	ix_strv_add(&names->names, "PATH");
	ix_env_set(&names->values, "PATH", IX_DEFAULT_PATH);
	if (strcmp(base, "scratch") == 0)
		return;
	if (ix_df_reference_valid(base) && self->opts->facts) {
		image = (struct ix_source){ .kind = IX_SOURCE_IMAGE,
					    .text = ix_arena_strdup(self->file->arena, base),
					    .platform = self->opts->platform };
		facts = self->opts->facts(self->opts->data, &image, self->opts->lint_needs_facts, &ignored);
	}
	names->open = !facts;
	for (size_t i = 0; facts && i < facts->env.count; i++)
		ix_strv_take(&names->names, ix_strndup(facts->env.items[i], strcspn(facts->env.items[i], "=")));
}

static void check_deprecated(const struct lint *self, const struct ix_df_instr *instr)
{
	if (instr->kind == IX_STEP_MAINTAINER)
		lint_warn(self, IX_DF_MAINTAINER, instr, "Maintainer instruction is deprecated in favor of using label", NULL, NULL);
}

static void check_stage(const struct lint *self, size_t index, const struct stage_names *globals)
{
	const struct ix_df_stage *stage = &self->file->stages[index];
	struct stage_names *names = &self->stages[index];

	check_from_words(self, &stage->from, stage);
	check_from_args(self, &stage->from, globals);
	check_default(self, index);
	inherit(self, index, names);
	for (size_t i = 0; i < stage->ninstrs; i++) {
		check_deprecated(self, &stage->instrs[i]);
		if (self->reached[index])
			check_instr(self, &stage->instrs[i], names);
		add_names(self, &stage->instrs[i], names);
	}
	if (!self->reached[index])
		return;
	check_repeated(self, stage, IX_STEP_CMD);
	check_repeated(self, stage, IX_STEP_ENTRYPOINT);
	check_repeated(self, stage, IX_STEP_HEALTHCHECK);
}

static void add_globals(const struct lint *self, struct stage_names *globals)
{
	static const char *const predefined[] = { "PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION" };

	for (size_t i = 0; i < IX_ARRAY_LEN(predefined); i++) {
		ix_strv_addf(&globals->names, "TARGET%s", predefined[i]);
		ix_strv_addf(&globals->names, "BUILD%s", predefined[i]);
	}
	ix_strv_add(&globals->names, "TARGETSTAGE");
	for (size_t i = 0; i < self->file->nglobals; i++) {
		const struct ix_df_instr *instr = &self->file->globals[i];

		check_arg_description(self, instr);
		ix_strv_add(&globals->names, instr->words[0]);
	}
}

/* Of a file that could not be read to its end. */
static void check_text_alone(const struct lint *self)
{
	if (self->file->of_lines)
		return;
	for (size_t i = 0; i < self->file->nstages; i++) {
		const struct ix_df_stage *stage = &self->file->stages[i];

		check_from_text(self, &stage->from);
		for (size_t j = 0; j < stage->ninstrs; j++)
			check_deprecated(self, &stage->instrs[j]);
	}
	if (self->file->refused_from)
		check_from_text(self, self->file->refused_from);
}

void ix_dockerfile_lint(const struct ix_dockerfile *file, const struct ix_lower_opts *opts)
{
	ix_auto_free struct stage_names *stages = ix_calloc(file->nstages, sizeof(*stages));
	ix_auto_free bool *reached = ix_calloc(file->nstages, sizeof(*reached));
	const struct lint self = { file, opts, stages, reached };
	struct stage_names globals = { 0 };

	if (file->refused) {
		check_text_alone(&self);
		return;
	}
	dockerfile_reach(file, opts, reached);
	lint_casing(&self);
	add_globals(&self, &globals);
	for (size_t i = 0; i < file->nstages; i++)
		check_stage(&self, i, &globals);
	for (size_t i = 0; i < file->nstages; i++) {
		ix_strv_release(&stages[i].names);
		ix_strv_release(&stages[i].values);
	}
	ix_strv_release(&globals.names);
}
