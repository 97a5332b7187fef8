/* What the checks of instructions and stages share. */
#ifndef IX_DOCKERFILE_LINT_INT_H
#define IX_DOCKERFILE_LINT_INT_H

#include "base/str.h"
#include "dockerfile/dockerfile.h"

struct lint {
	const struct ix_dockerfile *file;
	const struct ix_lower_opts *opts;
	struct stage_names *stages; /* by stage of the file */
	const bool *reached;        /* what is asked for needs it */
};

/* What can be named in a stage. */
struct stage_names {
	struct ix_strv names;  /* arguments and environment */
	struct ix_strv values; /* NAME=VALUE, of those that are known */
	bool open;             /* the base image's environment is not known: anything may be defined */
	bool workdir;          /* WORKDIR was set */
	bool shell;            /* SHELL was set */
};

/* --- lint_words.c --- */

/* As ix_df_check(). fmt holds at most two %s. */
struct ix_check *lint_warn(const struct lint *self, enum ix_df_rule rule, const struct ix_df_instr *instr, const char *fmt, const char *a,
			   const char *b);
/* The variables that an instruction uses are defined. */
void lint_words(const struct lint *self, const struct ix_df_instr *instr, const struct stage_names *names);
const char *lint_nearest(const struct stage_names *names, const char *name);

/* --- lint_casing.c --- */

bool lint_all_lower(const char *word);
bool lint_all_upper(const char *word);
/* Instructions are written like most of them are. */
void lint_casing(const struct lint *self);

#endif
