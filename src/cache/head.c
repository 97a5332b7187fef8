/* What references stand for, by HEADs: many in one batch. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cache_int.h"
#include "io/digest.h"
#include "oci/reference.h"
#include "registry/registry.h"

void batch_init(struct batch *batch, size_t most)
{
	*batch = (struct batch){
		.names = ix_calloc(most, sizeof(char *)),
		.refs = ix_calloc(most, sizeof(struct ix_ref)),
		.pointers = ix_calloc(most, sizeof(struct ix_ref *)),
		.heads = ix_calloc(most, sizeof(struct ix_manifest_head)),
	};
}

void batch_release(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		ix_ref_release(&batch->refs[i]);
		free(batch->names[i]);
	}
	free(batch->names);
	free(batch->refs);
	free(batch->pointers);
	free(batch->heads);
}

int batch_add(struct batch *batch, const char *text, struct ix_err *err)
{
	int r = ix_ref_parse(text, &batch->refs[batch->count], err);

	if (r < 0)
		return r;
	batch->names[batch->count] = ix_strdup(text);
	batch->pointers[batch->count] = &batch->refs[batch->count];
	batch->count++;
	return 0;
}

void batch_ask(struct ix_cache *cache, struct batch *batch)
{
	if (batch->count > 0)
		ix_registry_head_many(cache->registry, batch->pointers, batch->count, batch->heads);
}

/* Registries that send no Docker-Content-Digest: the digest is that of the manifest. */
static int need_digest(struct ix_cache *cache, const struct ix_ref *ref, struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	char media_type[128];

	if (!ix_digest_is_zero(digest))
		return 0;
	return ix_registry_get_manifest(cache->registry, ref, &body, media_type, digest, err);
}

int batch_answer(struct ix_cache *cache, const struct batch *batch, size_t i, struct ix_digest *ret_digest, struct ix_err *err)
{
	const struct ix_manifest_head *head = &batch->heads[i];

	if (head->result == -IX_ENOTFOUND)
		cache_note_tag(cache, batch->names[i], NULL);
	if (head->result < 0) {
		*err = head->err;
		return head->result;
	}
	*ret_digest = head->digest;
	int r = need_digest(cache, &batch->refs[i], ret_digest, err);
	if (r == 0)
		cache_note_tag(cache, batch->names[i], ret_digest);
	return r;
}

int cache_head(struct ix_cache *cache, const char *name, uint64_t max_age_ms, struct ix_digest *ret_digest, struct ix_err *err)
{
	ix_scoped(batch_release) struct batch batch = { 0 };
	int r = cache_recall_tag(cache, name, max_age_ms, ret_digest);

	if (r <= 0)
		return r == 0 ? 0 : ix_err_set(err, IX_ENOTFOUND, "%s is not there", name);
	batch_init(&batch, 1);
	r = batch_add(&batch, name, err);
	if (r < 0)
		return r;
	batch_ask(cache, &batch);
	return batch_answer(cache, &batch, 0, ret_digest, err);
}
