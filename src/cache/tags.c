/* What things are called: in the registry, and in the store when stages stay local. No other file makes such a name. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cache_int.h"
#include "io/digest.h"

bool ix_cache_is_local(const struct ix_cache *cache)
{
	return !cache->repository.host;
}

char *cache_repository_ref(const struct ix_cache *cache)
{
	return ix_cache_is_local(cache) ? NULL : ix_asprintf("%s/%s", cache->repository.host, cache->repository.repository);
}

char *ix_cache_stage_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *key)
{
	char hex[IX_DIGEST_HEX + 1];

	ix_digest_hex(key, hex);
	if (ix_cache_is_local(cache)) {
		char *name = ix_asprintf("%s:%.40s", stage, hex);

		/* A tag may have capitals, the name of a repository may not. */
		for (char *c = name; *c != ':'; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		return name;
	}
	return ix_asprintf("%s/%s:%s-%.40s", cache->repository.host, cache->repository.repository, stage, hex);
}

char *ix_cache_second_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *second)
{
	char hex[IX_DIGEST_HEX + 1];

	if (ix_cache_is_local(cache))
		ix_bug("second keys have tags only in a registry");
	return ix_asprintf("%s/%s:%s-o%.40s", cache->repository.host, cache->repository.repository, stage, ix_digest_hex(second, hex));
}

char *cache_record_ref_hex(const struct ix_cache *cache, const char *stage, const char *hex)
{
	return ix_asprintf("%s/%s:%s-%.40s.ix", cache->repository.host, cache->repository.repository, stage, hex);
}

char *cache_record_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *key)
{
	char hex[IX_DIGEST_HEX + 1];

	return cache_record_ref_hex(cache, stage, ix_digest_hex(key, hex));
}

char *cache_channel_ref(const struct ix_cache *cache, const char *stage, const char *channel, bool record)
{
	return ix_asprintf("%s/%s:%s.%s%s", cache->repository.host, cache->repository.repository, stage, channel, record ? ".ix" : "");
}
