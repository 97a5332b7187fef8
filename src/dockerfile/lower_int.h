/* Lowering: what its files share. */
#ifndef IX_DOCKERFILE_LOWER_INT_H
#define IX_DOCKERFILE_LOWER_INT_H

#include "dockerfile/dockerfile.h"

/* Of an argument and a variable of one name the later instruction counts. */
struct scope_arg {
	const char *name;
	const char *value; /* NULL: it has none */
	struct ix_stage *link;
	bool hidden; /* by a later ENV */
};

struct scope {
	struct scope_arg *args;
	size_t nargs;
};

struct lowered {
	struct ix_stage *stage; /* NULL: not yet */
	struct scope scope;     /* at its end: what a stage built FROM it inherits */
	bool workdir;           /* of the same */
};

struct lower {
	const struct ix_dockerfile *file;
	const struct ix_lower_opts *opts;
	struct ix_graph *graph;
	struct ix_err *err;
	struct scope globals;
	struct lowered *done; /* by stage of the file */
	bool *used_args;      /* by build argument */
	size_t target;
	bool needs_env; /* some word that chooses files or stages holds a variable */
	unsigned depth;
	/* An inner stage, lowered when something needs it. */
	int (*lower_stage)(struct lower *self, size_t index, struct ix_stage **ret_stage);
};

struct values {
	const struct scope *scope;
	struct ix_stage *stage; /* whose environment counts too; NULL: arguments alone */
	bool unknown;           /* a value that is not known was asked for */
};

/* One stage in the making. */
struct making {
	struct lower *lower;
	size_t index; /* in the file */
	struct ix_stage *stage;
	struct scope scope;
	bool workdir; /* it may have a working directory other than the root */
};

/* --- scope.c: errors, arguments, words --- */

/* The value of a variable that hangs on the base image's environment, which was not read. */
extern const char lower_unknown[];

int lower_failed(const struct lower *self);
int lower_at(struct lower *self, const struct ix_pos *pos);
struct scope_arg *scope_find(const struct scope *scope, const char *name);
/* The argument of that name, made when there is none; its value stays. */
struct scope_arg *scope_declare(struct lower *self, struct scope *scope, const char *name);
struct scope_arg *scope_set(struct lower *self, struct scope *scope, const char *name, const char *value);
void scope_copy(struct lower *self, const struct scope *from, struct scope *to);
/* A build argument given from outside, marked as used; NULL when there is none. */
const struct ix_build_arg *lower_build_arg(struct lower *self, const char *name);
int lower_expand(struct lower *self, struct values *values, const char *word, const struct ix_pos *pos, const char **ret_text);
/* A word that chooses files or stages: it has to be known now. */
int lower_expand_known(struct lower *self, const struct scope *scope, struct ix_stage *stage, const char *word, const struct ix_pos *pos,
		       const char **ret_text);

/* --- doubts.c --- */

/* Can the graph not be made without the environment of external base images? */
bool lower_needs_env(struct lower *self);

/* --- names.c: what names stand for --- */

/* Can the base of a stage be something, needed or not? What it is is not looked at. */
int lower_check_base(struct lower *self, const char *name, size_t limit, const char *platform, const struct ix_pos *pos);
bool lower_inner_stage(const struct lower *self, const char *name, size_t limit, bool numbers, size_t *ret_index);
/* "stage:NAME" as a whole. 1: it is one, and *ret_stage is set; 0: it is not. */
int lower_stage_link(struct lower *self, const char *text, const struct ix_pos *pos, struct ix_stage **ret_stage);
/* What a name in FROM, --from or from= stands for. */
int lower_resolve(struct lower *self, const char *name, size_t limit, bool numbers, const char *platform, const struct ix_pos *pos,
		  struct ix_source *ret_source);

/* --- step.c: instructions become steps --- */

void lower_link_source(struct making *self, const struct ix_source *source, bool is_base);
int lower_add_step(struct making *self, const struct ix_df_instr *instr, bool trigger);
int lower_add_trigger(struct making *self, const char *text);

/* --- validate.c --- */

/* Errors in words that building would find. */
int lower_validate(struct making *self, const struct ix_df_instr *instr);

#endif
