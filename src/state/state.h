/*
 * Identity: the key of every step and stage, computed before anything runs, and the account of how each key came about, from which the reason
 * for a difference is told. docs/identity.md specifies the format.
 *
 * A key is SHA-256 over tagged, length-prefixed fields beginning with a format version. Nothing of this machine counts: no paths outside
 * contexts, no user, time zone, umask, locale, order of directory entries; nor how a thing is spelled, only what it means.
 */
#ifndef IX_STATE_STATE_H
#define IX_STATE_STATE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
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
	/* A salted digest of a secret whose contents count; -IX_ENOTFOUND: only its id does. NULL: of all secrets only the ids count. */
	int (*secret)(void *data, const char *id, struct ix_digest *ret_digest, struct ix_err *err);
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

/* Of a stage that was needed; any other is a bug. The state's. */
const struct ix_digest *ix_state_stage_key(const struct ix_state *state, const struct ix_stage *stage);
/* The key after step i of the stage: of the file system for a step that changes it, otherwise of the config. step == stage->nsteps is not allowed. */
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
struct ix_output {
	struct ix_digest id;     /* all of it */
	struct ix_digest files;  /* what its layers hold, but for times */
	struct ix_digest config; /* its config */
	struct ix_digest sight;  /* what steps on it see of the config; zero when files says that, too */
};
struct ix_state_outputs {
	/* What came out of a stage. */
	int (*stage)(void *data, const struct ix_stage *stage, struct ix_output *ret_output, struct ix_err *err);
	/* What a path selects in a stage's image. opts: as for ix_context_select. */
	int (*files)(void *data, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
		     struct ix_digest *ret_digest, struct ix_err *err);
	void *data;
};
struct ix_second {
	struct ix_digest key;           /* of the stage */
	struct ix_digest files, config; /* of its two threads */
	struct ix_digest *steps;        /* after each step */
	size_t nsteps;
};
/* Asks outputs for every stage that it links to. Of a stage that was needed. */
int ix_state_second(const struct ix_state *state, const struct ix_stage *stage, const struct ix_state_outputs *outputs,
		    struct ix_second *ret_second, struct ix_err *err);
void ix_second_release(struct ix_second *second);
#define ix_auto_second ix_scoped(ix_second_release) struct ix_second

/* --- accounts and records: how a key came about, and what came of it (docs/identity.md, "Records") --- */

/* What came of a step; no layer: it only changed the config. */
struct ix_step_made {
	bool has_layer;
	struct ix_digest blob, diff_id, content;
	uint64_t size;
	const char *media_type;
	const struct ix_digest *second; /* the step's second key, NULL: none */
};
struct ix_account_opts {
	const struct ix_step_made *steps; /* of a stage that was built, one for each step; NULL: only how its key came about */
	const struct ix_digest *output;   /* output id and second key; NULL: unknown */
	const struct ix_digest *second;
	const struct ix_digest *same_as; /* key of the build whose image it is; NULL: its own */
	const struct ix_buf *log;        /* what the steps printed, when it is little and text; NULL: it is not in it */
	/* Keep a long list of files apart and say where; NULL: it becomes part of the account. */
	int (*put_list)(void *data, const struct ix_buf *list, struct ix_digest *ret_digest, struct ix_err *err);
	void *data;
};
/* The account of a stage's key as canonical JSON, appended. Fails only as put_list does. */
int ix_state_account(const struct ix_state *state, const struct ix_stage *stage, const struct ix_account_opts *opts, struct ix_buf *json,
		     struct ix_err *err);

/* Where lists that were kept apart are found, and how much is told of them. May be NULL: then such a list has only changed. */
struct ix_account_lists {
	int (*get)(void *data, const struct ix_digest *digest, struct ix_buf *ret_list, struct ix_err *err); /* NULL: nowhere */
	void *data;
	size_t names; /* so many files are named, 0: three */
};
/* Why the account now differs from the account then. */
struct ix_cause {
	char *text;                /* "COPY src/: 2 changed (src/app.js, src/api.js)", "parent base changed" */
	char *parent;              /* the stage whose key changed, or NULL */
	struct ix_digest then_key; /* of parent */
};
struct ix_causes {
	struct ix_cause *items;
	size_t count;
};
void ix_causes_release(struct ix_causes *causes);
#define ix_auto_causes ix_scoped(ix_causes_release) struct ix_causes
/* The causes in the order of the Dockerfile, each once. Empty when the keys are the same. IX_ECORRUPT: one of them is not an account. */
int ix_account_diff(const struct ix_buf *then, const struct ix_buf *now, const struct ix_account_lists *lists, struct ix_causes *ret_causes,
		    struct ix_err *err);

/* What a record says that a later build can use. */
struct ix_record_step {
	struct ix_digest key, second;
	bool has_second, has_layer;
	struct ix_digest blob, diff_id, content;
	uint64_t size;
	char media_type[96];
};
struct ix_record {
	char *stage;
	struct ix_digest key, same_as;
	bool has_same_as;
	struct ix_record_step *steps;
	size_t nsteps;
	char *log; /* what the steps printed, when it is in the record itself; else NULL */
};
/* Everything in it is checked. IX_ECORRUPT. */
int ix_record_parse(const struct ix_buf *json, struct ix_record **ret_record, struct ix_err *err);
void ix_record_free(struct ix_record *record);
IX_DEFINE_FREEP(struct ix_record, ix_record_free)
/* The step with that key or that second key (may be NULL), if it has a layer; else NULL. */
const struct ix_record_step *ix_record_find(const struct ix_record *record, const struct ix_digest *key, const struct ix_digest *second);

#endif
