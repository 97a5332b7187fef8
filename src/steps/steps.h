/*
 * What a stage comes to, once the config of its base is known: the operations that make layers, with every word expanded, and the config as it is at the
 * end, with its history. Pure: nothing is read, executed or asked. Builders execute operations; whatever is wrong with a word is found here,
 * before anything runs.
 */
#ifndef IX_STEPS_STEPS_H
#define IX_STEPS_STEPS_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "oci/image.h"

/* A step that makes a layer: RUN, COPY, ADD, or a WORKDIR that is not the root. Strings are its own. */
struct ix_operation {
	const struct ix_step *step;
	size_t index;     /* of the step in its stage */
	char *created_by; /* what docker history shows */

	/* the config in scope */
	char *user;    /* NULL or "": root */
	char *workdir; /* absolute; of a WORKDIR the one that it makes */

	/* RUN */
	struct ix_strv argv;
	struct ix_strv env;            /* the config's and the arguments in scope; secrets and what the machine adds are not in it */
	const struct ix_heredoc *file; /* argv[0] is this text as a program, at IX_STEP_FILES and its name; NULL: argv is all */

	/* COPY, ADD */
	char *dest;                  /* as written, "" the working directory */
	char *chown;                 /* NULL: not given */
	struct ix_mode_change chmod; /* given false: not given */
	struct ix_strv docs;         /* the text of each heredoc */
};

/* Where a RUN's heredoc that names its own interpreter is seen. */
#define IX_STEP_FILES "/dev/pipes"

struct ix_operations {
	struct ix_operation *items;
	size_t count;
	struct ix_image_config config; /* at the end, history included; its diff ids are the base's */
};

struct ix_steps_opts {
	const char *now; /* RFC 3339: the time of what is added to the history */
	/* The reference of another stage's image, which an argument that is a link has as its value. Caller frees. */
	char *(*stage_ref)(void *data, const struct ix_stage *stage);
	void *data;
};

/* base: the config of what the stage is built from; NULL: scratch. Errors carry the position of the instruction. */
int ix_steps_expand(const struct ix_stage *stage, const struct ix_image_config *base, const struct ix_steps_opts *opts,
		    struct ix_operations *ret_operations, struct ix_err *err);
void ix_operations_release(struct ix_operations *operations);
#define ix_auto_operations ix_scoped(ix_operations_release) struct ix_operations

/* Put the position of the step in front of err unless it is there, and its line below. Returns the code. */
int ix_err_at_step(struct ix_err *err, const struct ix_step *step);

#endif
