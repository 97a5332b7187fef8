/* What the files of the state room share. */
#ifndef IX_STATE_STATE_INT_H
#define IX_STATE_STATE_INT_H

#include "base/map.h"
#include "state/state.h"

/* Bumped whenever what a key means changes. */
enum { KEY_FORMAT = 3 };

/* Field tags: never reused, never renumbered; those that are left out belonged to earlier formats. docs/identity.md lists them. */
enum {
	T_FORMAT = 1,
	T_PLATFORM = 2,
	T_BASE_SCRATCH = 3,
	T_BASE_IMAGE = 4,
	T_BASE_STAGE = 5,
	T_PARENT = 6,
	T_STEP = 7,
	T_WORD = 8,
	T_EXEC = 9,
	T_DOC_NAME = 10,
	T_DOC_BODY = 11,
	T_DOC_FLAGS = 12,
	T_ARG_NAME = 13,
	T_ARG_VALUE = 14,
	T_FROM_STAGE = 16,
	T_FROM_IMAGE = 17,
	T_FROM_FILES = 18,
	T_DEST = 19,
	T_CHOWN = 20,
	T_CHMOD = 21,
	T_LINK = 22,
	T_MOUNT = 23,
	T_MOUNT_TARGET = 25,
	T_MOUNT_ID = 26,
	T_MOUNT_ENV = 27,
	T_HEALTH = 30,
	T_STAGE = 31,
	T_LABEL = 32,
	T_EXCLUDE = 33,
	T_COPY_OPTION = 34,
	T_FROM_REMOTE = 35,
	T_SECOND = 38,
	T_FROM_OUTPUT = 39,
	T_SECRET = 40,
	T_CONFIG = 41,
	T_OWN = 42,
	T_ENV = 43,
	T_USER = 44,
	T_CWD = 45,
	T_SHELL = 46,
	T_SPEC = 47,
	T_EPOCH = 48,
	T_SIGHT = 49,
	T_DEST_IS_DIR = 50,
};

/* --- sight.c: what an execution sees of the config --- */

/*
 * The part of the config that instructions can see, as far as Dockerfiles say it. Below it is an image from outside whose config is not read for
 * keys: the image's digest, which is in every key above it, says it all. A word that hangs on it becomes a mark: a byte 1 and 64 digits that
 * stand for exactly what it hangs on. Words that are equal after that are equal in what they mean, however they were spelled.
 */
struct sight {
	bool complete;      /* the root is scratch: what is not here is not set */
	bool dynamic;       /* the name of a variable hangs on the image: any name may have been set */
	struct ix_strv env; /* NAME=value, in the order in which they were set */
	char *user;         /* NULL: as the image has it */
	char *workdir;
	struct ix_strv shell; /* none: as the image has it */
};
#define auto_sight ix_scoped(sight_release) struct sight
void sight_init(struct sight *sight, bool scratch);
void sight_copy(struct sight *sight, const struct sight *from);
void sight_release(struct sight *sight);
/* What the instruction does to it; words: as cooked. */
void sight_apply(struct sight *sight, const struct ix_step *step, char *const *words, size_t nwords);
/* A path of the step, cooked, as it is from the working directory. Caller frees. */
char *sight_path(const struct sight *sight, const char *path);

/* What a step sees of the outside: for each of step->args its value as words hold it, NULL when it is not set. */
struct args {
	char **values;
	size_t count;
};
void args_release(struct args *args);
#define auto_args ix_scoped(args_release) struct args

/* A value from outside as words hold it: a mark where it cannot stand for itself. Caller frees. */
char *cook_value(const char *value);
/* A link to a stage as words hold it. Caller frees. */
char *cook_link(const struct ix_digest *stage);
/* A word of the step with what is known of it put in place, quotes and escapes gone. Caller frees. */
char *cook(const struct sight *sight, const struct ix_step *step, const struct args *args, const char *word);
/* The same of a text that keeps its quotes: a heredoc. */
char *cook_text(const struct sight *sight, const struct ix_step *step, const struct args *args, const char *text);
bool cooked_is_known(const char *cooked); /* there is no mark in it */

/* --- what keys were made of --- */

struct selected {
	bool used;
	struct ix_selection files;
	char *identity; /* of a source that is fetched: digest or commit; of a secret: its salted digest; or NULL */
};

struct step_state {
	struct ix_digest key;        /* after it: of the file system for steps that change it, otherwise of the config */
	struct ix_digest own;        /* of what it says itself, without what is below it and what it sees */
	struct selected *selections; /* one for each source word or mount */
	size_t nselections;
};

struct stage_state {
	struct ix_digest key;
	struct ix_digest files, config; /* of its two threads at their ends */
	struct sight sight;             /* at its end */
	struct step_state *steps;
	size_t nsteps;
};

struct ix_state {
	const struct ix_graph *graph;
	const struct ix_cancel *cancel;
	struct stage_state **stages; /* by stage index; NULL when not needed */
	struct ix_map images;        /* external images by what was asked for -> struct ix_digest */
};

struct stage_state *state_of(const struct ix_state *state, const struct ix_stage *stage);

/* One stage's keys in the making. */
struct compute {
	struct ix_state *state;
	const struct ix_state_inputs *inputs;   /* the first identity is computed ... */
	const struct ix_state_outputs *outputs; /* ... or the second, from what the first one found */
	struct ix_hash *hash;                   /* of the key being made */
	struct ix_hash *own;                    /* of what a step says itself */
	struct sight sight;
};

/* --- source.c: what a step takes from elsewhere --- */

int source_image(struct compute *self, const struct ix_source *source, const struct ix_digest **ret_digest, struct ix_err *err);
/* A stage: by what its keys are, or by what came out of it. */
int source_stage(struct compute *self, const struct ix_stage *stage, struct ix_output *ret_output, struct ix_err *err);
/* Into self->own. selected: where to keep what was selected in a directory. */
int source_hash(struct compute *self, const struct ix_source *from, const char *path, const struct ix_select_opts *opts,
		struct selected *selected, struct ix_err *err);
int source_remote(struct compute *self, const struct ix_remote *remote, struct selected *selected, struct ix_err *err);
int source_secret(struct compute *self, const char *id, struct selected *selected, struct ix_err *err);

/* --- step.c: what an instruction says itself --- */

/* Does it change the file system? Otherwise it changes the config alone; WORKDIR does both. */
bool step_has_files(const struct ix_step *step);
/* Into self->own, and what is seen after the step. A file system's WORKDIR is the path it makes, a config's the one it says. */
int step_files(struct compute *self, const struct ix_step *step, const struct args *args, struct step_state *result, struct ix_err *err);
void step_config(struct compute *self, const struct ix_step *step, const struct args *args);
void step_sight(struct compute *self, const struct ix_step *step, const struct args *args);

#endif
