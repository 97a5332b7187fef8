#include "cache_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/digest.h"
#include "oci/reference.h"
#include "report/report.h"

int ix_cache_new(const struct ix_cache_opts *opts, struct ix_cache **ret_cache, struct ix_err *err)
{
	struct ix_cache *cache = ix_calloc(1, sizeof(*cache));

	cache->store = opts->store;
	cache->registry = opts->registry;
	cache->sink = opts->sink;
	cache->cancel = opts->cancel;
	cache->pull = opts->pull;
	cache->offline = opts->offline;
	cache->required = opts->required;
	cache->trust = opts->trust;
	pthread_mutex_init(&cache->known.lock, NULL);
	if (opts->repository && ix_ref_parse(opts->repository, &cache->repository, err) < 0) {
		ix_cache_free(cache);
		return ix_err_wrap(err, "registry '%s'", opts->repository);
	}
	*ret_cache = cache;
	return 0;
}

void ix_cache_free(struct ix_cache *cache)
{
	if (!cache)
		return;
	ix_ref_release(&cache->repository);
	known_release(&cache->known);
	free(cache);
}

void ix_cache_set_work(struct ix_cache *cache, const struct ix_cancel *cancel)
{
	atomic_store(&cache->work, cancel);
}

bool ix_cache_signs(const struct ix_cache *cache)
{
	return cache->trust.signing_key != NULL;
}

void cache_transfer_init(struct transfer *transfer, struct ix_cache *cache, const char *verb, const struct ix_digest *digest,
			 const char *stage)
{
	char hex[IX_DIGEST_HEX + 1];

	transfer->sink = cache->sink;
	transfer->stage = stage;
	snprintf(transfer->what, sizeof(transfer->what), "%s sha256:%.12s", verb, ix_digest_hex(digest, hex));
}

void cache_transfer_progress(void *data, uint64_t done, uint64_t total)
{
	const struct transfer *transfer = data;

	ix_report(transfer->sink,
		  &(struct ix_event){
			  .kind = IX_EVENT_TRANSFER, .stage = transfer->stage, .text = transfer->what, .done = done, .total = total });
}

int cache_offline(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_EFAIL, "%s is not in the store, and --offline asks nobody for it", what);
}
