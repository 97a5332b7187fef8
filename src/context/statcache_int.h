/* Looking up and adding entries of the stat cache. */
#ifndef IX_CONTEXT_STATCACHE_INT_H
#define IX_CONTEXT_STATCACHE_INT_H

#include <sys/stat.h>

#include "context/context.h"

bool statcache_get(struct ix_stat_cache *cache, const struct stat *st, struct ix_digest *ret_digest);
/* now_s: the time when reading of the file began. */
void statcache_put(struct ix_stat_cache *cache, const struct stat *st, int64_t now_s, const struct ix_digest *digest);

#endif
