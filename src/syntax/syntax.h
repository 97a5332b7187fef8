/*
 * The syntax of Dockerfiles: text to syntax tree. Words are as they are written: nothing here knows what a variable or a name stands for. Every
 * mistake is an error with file:line:column and an excerpt with a caret. Reference: docker/dockerfile 1.26.
 */
#ifndef IX_SYNTAX_SYNTAX_H
#define IX_SYNTAX_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/str.h"
#include "graph/graph.h"

/* --- the tree; all of it lives as long as its file --- */

struct ix_df_flag {
	const char *name;  /* without dashes */
	const char *value; /* NULL when there is none */
	struct ix_pos pos;
};

/* One instruction. words as ix_step documents them; COPY and ADD keep their destination apart in dest. */
struct ix_df_instr {
	const char *word;    /* upper case */
	const char *written; /* the same as it is in the file */
	const char *comment; /* the comment lines above, without "#", or NULL */
	int kind;            /* enum ix_step_kind; IX_DF_FROM */
	struct ix_pos pos;
	unsigned last_line;
	const char *text;
	struct ix_df_flag *flags;
	size_t nflags;
	char **words;
	size_t nwords;
	char *const *group; /* ARG, of the whole instruction: name, value, name, value */
	size_t ngroup;
	bool exec;
	const char *dest;
	struct ix_heredoc *docs;
	size_t ndocs;
	int64_t interval, timeout, start_period, start_interval;
	int retries;
};
enum { IX_DF_FROM = 1000 };

struct ix_df_stage {
	struct ix_df_instr from;
	const char *name; /* AS name, lower case, or NULL */
	struct ix_df_instr *instrs;
	size_t ninstrs;
};

struct ix_df_checks;

struct ix_dockerfile {
	struct ix_arena *arena;
	const char *name;
	const char *text; /* the whole file, for excerpts */
	char escape;
	bool refused;                           /* reading it failed: what is there was read until then */
	bool of_lines;                          /* reading failed before any instruction was looked at */
	const struct ix_df_instr *refused_from; /* the FROM that it failed at, or NULL */
	struct ix_df_instr *globals;            /* ARGs before the first FROM */
	size_t nglobals;
	struct ix_df_stage *stages;
	size_t nstages;
	struct ix_strv warnings;
	struct ix_df_checks *checks; /* what they found so far; the room's own */
};

/* --- parsing --- */

/* Parse text (borrowed; it may hold NULs, which are an error). name is what positions are reported with. Errors carry an excerpt. Where it
 * fails *ret_file is all the same the file until there, for its checks alone. */
int ix_dockerfile_parse(const char *name, const char *text, size_t len, struct ix_dockerfile **ret_file, struct ix_err *err);
void ix_dockerfile_free(struct ix_dockerfile *file);
IX_DEFINE_FREEP(struct ix_dockerfile, ix_dockerfile_free)

/* Things worth a warning that are not errors: "Dockerfile:3:5: ARG $BASE_IMAGE: read as ARG BASE_IMAGE; ...". Lives as long as file. */
const struct ix_strv *ix_dockerfile_warnings(const struct ix_dockerfile *file);

const char *ix_dockerfile_text(const struct ix_dockerfile *file);

/* The one instruction of text, a trigger of a base image: it lives in arena. where: what it is said to stand at in errors. 1: *ret_instr is set; 0:
 * there is none in it. */
int ix_df_parse_trigger(struct ix_arena *arena, const char *where, const char *text, struct ix_df_instr *ret_instr, struct ix_err *err);

/* An error at a place of the file, with the excerpt: IX_EARG. */
int ix_df_err(const struct ix_dockerfile *file, struct ix_err *err, const struct ix_pos *pos, const char *fmt, ...) ix_printf(4, 5);

/* The value of a flag; NULL when it has none or is not there. */
const char *ix_df_flag_value(const struct ix_df_instr *instr, const char *name);
bool ix_df_has_flag(const struct ix_df_instr *instr, const char *name);
/* A boolean flag that is there and not =false. */
bool ix_df_flag_true(const struct ix_df_instr *instr, const char *name);

/* Could it name an image of a registry? */
bool ix_df_reference_valid(const char *text);

/* A --mount flag. from: the name, or NULL. */
struct ix_df_mount {
	struct ix_mount mount;
	const char *from;
};
/* How the variables of its values are replaced. The text lives as long as the file. */
struct ix_df_expander {
	int (*expand)(void *data, const char *word, const struct ix_pos *pos, const char **ret_text);
	void *data;
};
/* expander NULL: values stay as they are written, and those that hold a variable where none can be judged are not. */
int ix_df_parse_mount(const struct ix_dockerfile *file, const struct ix_df_flag *flag, const struct ix_df_expander *expander,
		      struct ix_df_mount *ret_mount, struct ix_err *err);

/* --- build checks --- */

/* Build checks, in the order of BuildKit's list. */
enum ix_df_rule {
	IX_DF_STAGE_NAME_CASING,
	IX_DF_FROM_AS_CASING,
	IX_DF_NO_EMPTY_CONTINUATION,
	IX_DF_CONSISTENT_CASING,
	IX_DF_DUPLICATE_STAGE_NAME,
	IX_DF_RESERVED_STAGE_NAME,
	IX_DF_JSON_ARGS,
	IX_DF_MAINTAINER,
	IX_DF_UNDEFINED_ARG_IN_FROM,
	IX_DF_UNDEFINED_VAR,
	IX_DF_WORKDIR_RELATIVE,
	IX_DF_MULTIPLE_INSTRUCTIONS,
	IX_DF_LEGACY_KEY_VALUE,
	IX_DF_REDUNDANT_PLATFORM,
	IX_DF_SECRETS_IN_ENV,
	IX_DF_INVALID_DEFAULT_ARG,
	IX_DF_PLATFORM_CONST,
	IX_DF_COPY_IGNORED,
	IX_DF_DEFINITION_DESCRIPTION,
	IX_DF_EXPOSE_PROTO,
	IX_DF_EXPOSE_FORMAT,
};

/* How far docker's frontend gets: the whole file is parsed, then every FROM is read, then the instructions one stage after the other. */
enum ix_df_phase { IX_DF_PHASE_PARSE, IX_DF_PHASE_FROM, IX_DF_PHASE_STEPS };

/* A build check that found something. */
struct ix_check {
	const char *rule; /* "StageNameCasing" */
	const char *description;
	const char *url;
	struct ix_pos pos;
	unsigned last_line;
	unsigned found_line; /* reading gets this far before it is found */
	const char *message;
};

/* Something a rule has found; NULL when the rule is not wanted. comment: what stands right above, which may say so; or NULL. What is returned is good
 * until the next call. */
struct ix_check *ix_df_check(const struct ix_dockerfile *file, enum ix_df_rule rule, const struct ix_pos *pos, unsigned last_line,
			     const char *comment, const char *fmt, ...) ix_printf(6, 7);
/* The file is refused there, the first time that is said: what is only found behind it is not told. */
void ix_df_checks_refused(const struct ix_dockerfile *file, enum ix_df_phase phase, unsigned line);
/* Forget that it was. */
void ix_df_checks_accepted(const struct ix_dockerfile *file);
/* Drop what is not told. */
void ix_df_checks_end(const struct ix_dockerfile *file);
/* What the checks found, by line; lives as long as file. */
const struct ix_check *ix_dockerfile_checks(const struct ix_dockerfile *file, size_t *ret_count);
/* Something was found, and the file says "# check=error=true". */
bool ix_dockerfile_checks_fail(const struct ix_dockerfile *file);
/* "skip=...;error=...": in place of what the file says (BUILDKIT_DOCKERFILE_CHECK). Before
 * ix_dockerfile_lint(). */
int ix_dockerfile_set_checks(struct ix_dockerfile *file, const char *text, struct ix_err *err);

#endif
