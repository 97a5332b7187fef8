/* What the files of the context room share. */
#ifndef IX_CONTEXT_CONTEXT_INT_H
#define IX_CONTEXT_CONTEXT_INT_H

#include "context/context.h"

struct ix_context {
	char *label;
	int root_fd;
	bool owns_fd;
	struct ix_ignore *ignore; /* NULL: nothing is ignored */
	struct ix_stat_cache *cache;
};

/* Is the clean relative path there as far as the ignore rules go? */
static inline bool context_visible(const struct ix_context *context, const char *path)
{
	return !context->ignore || path[0] == '\0' || !ix_ignore_match(context->ignore, path);
}

/* Everything below (and including) the path of the match, appended to the selection's entries, sorted. */
int context_walk(const struct ix_context *context, const char *path, struct ix_selection *selection, size_t *cap,
		 const struct ix_cancel *cancel, struct ix_err *err);
/* Digest every regular file of the selection, on several threads. */
int context_hash(const struct ix_context *context, struct ix_selection *selection, const struct ix_cancel *cancel, struct ix_err *err);

#endif
