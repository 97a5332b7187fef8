/* What the files of the state room share. */
#ifndef IX_STATE_STATE_INT_H
#define IX_STATE_STATE_INT_H

#include "base/map.h"
#include "state/state.h"

/* Bumped whenever what a key means changes. */
enum { KEY_FORMAT = 2 };

struct selected {
	bool used;
	struct ix_selection files;
	char *identity; /* of a source that is fetched: digest or commit; or NULL */
};

struct step_state {
	struct ix_digest key;        /* after it */
	struct selected *selections; /* one for each source word or mount */
	size_t nselections;
};

struct stage_state {
	struct ix_digest key;
	struct step_state *steps;
	size_t nsteps;
};

struct ix_state {
	const struct ix_graph *graph;
	const struct ix_cancel *cancel;
	struct stage_state **stages; /* by stage index; NULL when not needed */
	struct ix_map images;        /* state_image_name() -> struct ix_digest */
};

/* A name for an external image that is the same exactly for the same image asked for. Caller frees. */
char *state_image_name(const struct ix_source *source);

#endif
