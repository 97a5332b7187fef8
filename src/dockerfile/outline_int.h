#ifndef IX_DOCKERFILE_OUTLINE_INT_H
#define IX_DOCKERFILE_OUTLINE_INT_H

#include "dockerfile/dockerfile.h"

/* The stages that opts->target needs; all when there is none. */
void dockerfile_reach(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, bool *ret_reached);

#endif
