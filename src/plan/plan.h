/*
 * What has to be done, decided before anything is: graph, keys and what the store and the registry hold give one decision for each stage.
 * It looks up and decides; it changes nothing.
 */
#ifndef IX_PLAN_PLAN_H
#define IX_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "state/state.h"

enum ix_decision {
	IX_PLAN_SKIP,  /* nothing asks for it */
	IX_PLAN_DONE,  /* its image is in the store */
	IX_PLAN_FOUND, /* its image is in the registry; layers move only if a step reads them */
	IX_PLAN_BUILD,
};

/* A name the stage is published under besides its key. */
struct ix_plan_name {
	const char *name; /* full reference */
	bool current;     /* it points at the stage's image already */
};

struct ix_plan_stage {
	const struct ix_stage *stage;
	enum ix_decision decision;
	bool target;
	bool local;                      /* the store has its image */
	bool remote;                     /* the registry has it under its key */
	bool replace;                    /* what the registry has under its key is not trusted, and is replaced */
	bool unsure;                     /* the registry did not say whether it has it */
	bool beside;                     /* what the registry has beside the image is known: */
	struct ix_digest remote_record;  /* the record; zero: there is none */
	struct ix_digest channel_record; /* the record that the channel points at */
	bool known;                      /* an image of the stage was made before, here or on its channel */
	bool fresh;                      /* forced: step results are not reused */
	struct ix_digest manifest;       /* what was found, when it was */
	char *ref;                       /* its reference by key */
	char *reason;                    /* one line */
	struct ix_strv causes;           /* BUILD: all reasons; the first is reason */
	struct ix_kept_record *record;   /* BUILD: of the latest image on the channel, or NULL */
	struct ix_plan_name *names;
	size_t nnames;
};

struct ix_plan {
	struct ix_plan_stage *stages; /* by stage index */
	size_t nstages;
	size_t builds; /* how many are to be built; inner stages are part of the one they are in */
};

struct ix_plan_opts {
	const char *const *force; /* stages to build though their keys exist; NULL terminated or NULL */
	bool force_all;
	const char *registry_prefix; /* "host/" for publish names without a host; NULL: docker's rules */
	bool publish;                /* look the publish names up and mean to publish */
	bool complete;               /* look up what is beside the images in the registry too, to complete it */
	struct ix_store *store;      /* for the accounts of earlier builds, */
	const char *remembered;      /* under which they are kept: ix_plan_remember() */
	const char *const *channels; /* where a record is looked for, the first first */
	size_t nchannels;
	struct ix_sink *sink; /* for what is tolerated */
};

/* Decide about the targets and what they need: one look at the store, one batch at the registry. Its stages are the graph's; the rest is
 * borrowed for the call. Accounts that cannot be read are tolerated and said. */
int ix_plan_new(const struct ix_graph *graph, struct ix_stage *const *targets, size_t ntargets, const struct ix_state *state,
		struct ix_cache *cache, const struct ix_plan_opts *opts, struct ix_plan **ret_plan, struct ix_err *err);
void ix_plan_free(struct ix_plan *plan);
IX_DEFINE_FREEP(struct ix_plan, ix_plan_free)

/* "build", "done", ... */
const char *ix_decision_text(enum ix_decision decision);
/* Remember which key a stage was last built or found same with, for the reasons of later plans; its record is kept (ix_cache_keep_record). */
int ix_plan_remember(struct ix_store *store, const char *remembered, const struct ix_stage *stage, const struct ix_digest *key,
		     struct ix_err *err);
/* The record of the stage's last build here. -IX_ENOTFOUND. */
int ix_plan_last(struct ix_store *store, struct ix_cache *cache, const char *remembered, const struct ix_stage *stage,
		 struct ix_kept_record *ret_record, struct ix_err *err);
/* Why a stage's key is another than that of a record: the code behind all reasons. So many files are named, 0: three. */
int ix_plan_causes(struct ix_cache *cache, const struct ix_state *state, const struct ix_stage *stage, const struct ix_kept_record *then,
		   size_t names, struct ix_causes *ret_causes, struct ix_err *err);

#endif
