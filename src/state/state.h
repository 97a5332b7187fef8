/*
 * Identity: the key of every step and stage, computed before anything runs, and the account of how each key came about, from which the reason
 * for a difference is told. docs/identity.md specifies the format.
 *
 * A key is SHA-256 over tagged, length-prefixed fields beginning with a format version. Nothing of this machine counts: no paths outside
 * contexts, no user, time zone, umask, locale, order of directory entries.
 */
#ifndef IX_STATE_STATE_H
#define IX_STATE_STATE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "context/context.h"
#include "graph/graph.h"
#include "io/digest.h"

/* Where keys get what is not in the graph. */
struct ix_state_inputs {
	/* The manifest digest of an external image (IMAGE, LAYOUT) for its platform. */
	int (*image)(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err);
	/* The opened context of a directory; borrowed, lives at least as long as the state. */
	int (*context)(void *data, const struct ix_dir *dir, struct ix_context **ret_context, struct ix_err *err);
	/* What a source that is fetched is: "sha256:..." of a file, the commit of a repository. Caller frees. */
	int (*remote)(void *data, const struct ix_remote *remote, char **ret_identity, struct ix_err *err);
	void *data;
	const struct ix_cancel *cancel;
};

/* Keys of one graph. The graph must outlive it. */
struct ix_state;

/* Compute the keys of all stages for which needed[stage->index] is true (and which needed is closed under links). Errors name the
 * instruction's position. */
int ix_state_new(const struct ix_graph *graph, const bool *needed, const struct ix_state_inputs *inputs, struct ix_state **ret_state,
		 struct ix_err *err);
void ix_state_free(struct ix_state *state);
IX_DEFINE_FREEP(struct ix_state, ix_state_free)

const struct ix_digest *ix_state_stage_key(const struct ix_state *state, const struct ix_stage *stage);
/* The key after step i of the stage; step == stage->nsteps is not allowed. */
const struct ix_digest *ix_state_step_key(const struct ix_state *state, const struct ix_stage *stage, size_t step);
/* What source word i of a COPY or ADD from a directory selected when its key was computed, or what a bind mount i did; NULL otherwise. The files'
 * size and times are those of that moment: whoever reads them later can see that they changed. */
const struct ix_selection *ix_state_selection(const struct ix_state *state, const struct ix_stage *stage, size_t step, size_t i);
/* The resolved digest of an external image the stage uses; NULL when it was not resolved. */
const struct ix_digest *ix_state_image(const struct ix_state *state, const struct ix_source *source);

/*
 * The second identity (docs/identity.md, "Second keys"): the same as the key, but links to stages count by what came out of those stages instead
 * of by how they were made. It is known once they are there.
 */
struct ix_state_outputs {
	/* What came out of a stage. */
	int (*stage)(void *data, const struct ix_stage *stage, struct ix_digest *ret_output, struct ix_err *err);
	/* What a path selects in a stage's image. opts: as for ix_context_select. */
	int (*files)(void *data, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
		     struct ix_digest *ret_digest, struct ix_err *err);
	void *data;
};
struct ix_second {
	struct ix_digest key;    /* of the stage */
	struct ix_digest *steps; /* after each step */
	size_t nsteps;
};
int ix_state_second(const struct ix_state *state, const struct ix_stage *stage, const struct ix_state_outputs *outputs,
		    struct ix_second *ret_second, struct ix_err *err);
void ix_second_release(struct ix_second *second);
#define ix_auto_second ix_scoped(ix_second_release) struct ix_second

/* The account of a stage's key as canonical JSON, appended. */
void ix_state_account(const struct ix_state *state, const struct ix_stage *stage, struct ix_buf *json);
/* The causes that make the account now differ from the account then, in words, most direct first: "COPY src/: 2 changed (app.js, api.js)",
 * "base debian:bookworm-slim moved from sha256:12ab… to sha256:34cd…". Empty when nothing differs. */
int ix_account_diff(const char *then, size_t then_len, const char *now, size_t now_len, struct ix_strv *causes, struct ix_err *err);

#endif
