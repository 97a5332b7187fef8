#include "cache_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

int ix_cache_new(const struct ix_cache_opts *opts, struct ix_cache **ret_cache, struct ix_err *err)
{
	struct ix_cache *cache = ix_calloc(1, sizeof(*cache));

	cache->store = opts->store;
	cache->registry = opts->registry;
	cache->sink = opts->sink;
	cache->cancel = opts->cancel;
	cache->pull = opts->pull;
	cache->offline = opts->offline;
	cache->trust = opts->trust;
	pthread_mutex_init(&cache->lock, NULL);
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
	ix_map_release(&cache->there);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static char *there_name(const struct ix_ref *repository, const struct ix_digest *blob)
{
	char text[IX_DIGEST_TEXT];

	return ix_asprintf("%s/%s@%s", repository->host, repository->repository, ix_digest_text(blob, text));
}

void cache_note_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	ix_auto_free char *name = there_name(repository, blob);
	bool known;

	pthread_mutex_lock(&cache->lock);
	known = ix_map_get(&cache->there, name) != NULL;
	ix_map_set(&cache->there, name, cache);
	pthread_mutex_unlock(&cache->lock);
	if (!known)
		cache_note_place(cache, repository, blob);
}

bool cache_is_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	ix_auto_free char *name = there_name(repository, blob);
	bool there;

	pthread_mutex_lock(&cache->lock);
	there = ix_map_get(&cache->there, name) != NULL;
	pthread_mutex_unlock(&cache->lock);
	return there;
}

bool ix_cache_is_local(const struct ix_cache *cache)
{
	return !cache->repository.host;
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

/* --- lookup --- */

struct batch {
	struct ix_ref *refs;
	const struct ix_ref **pointers;
	struct ix_manifest_head *heads;
	size_t count;
};

static void batch_release(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		ix_ref_release(&batch->refs[i]);
	free(batch->refs);
	free(batch->pointers);
	free(batch->heads);
}

static int batch_add(struct batch *batch, const char *text, struct ix_err *err)
{
	if (ix_ref_parse(text, &batch->refs[batch->count], err) < 0)
		return -(int)err->code;
	batch->pointers[batch->count] = &batch->refs[batch->count];
	batch->count++;
	return 0;
}

static int head_result(const struct ix_manifest_head *head, struct ix_digest *ret_digest, bool *ret_found, struct ix_err *err)
{
	*ret_found = head->result == 0;
	if (head->result == 0)
		*ret_digest = head->digest;
	if (head->result == 0 || head->result == -IX_ENOTFOUND)
		return 0;
	*err = head->err;
	return -(int)err->code;
}

/* Registries that send no Docker-Content-Digest: the digest is that of the manifest. */
int cache_need_digest(struct ix_cache *cache, const struct ix_ref *ref, struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	char media_type[128];

	if (!ix_digest_is_zero(digest))
		return 0;
	return ix_registry_get_manifest(cache->registry, ref, &body, media_type, digest, err);
}

static int lookup_remote(struct ix_cache *cache, struct ix_found *found, size_t n, const char *const *names, struct ix_digest *name_digests,
			 size_t nnames, struct ix_err *err)
{
	size_t stages = ix_cache_is_local(cache) || cache->offline ? 0 : n;
	ix_scoped(batch_release) struct batch batch = {
		.refs = ix_calloc(stages + nnames, sizeof(struct ix_ref)),
		.pointers = ix_calloc(stages + nnames, sizeof(struct ix_ref *)),
		.heads = ix_calloc(stages + nnames, sizeof(struct ix_manifest_head)),
	};
	bool hit;

	for (size_t i = 0; i < stages; i++) {
		ix_auto_free char *ref = ix_cache_stage_ref(cache, found[i].stage, found[i].key);

		if (batch_add(&batch, ref, err) < 0)
			return -(int)err->code;
	}
	if (cache->offline)
		nnames = 0;
	for (size_t i = 0; i < nnames; i++)
		if (batch_add(&batch, names[i], err) < 0)
			return -(int)err->code;
	if (batch.count == 0)
		return 0;
	ix_registry_head_many(cache->registry, batch.pointers, batch.count, batch.heads);
	for (size_t i = 0; i < stages; i++) {
		struct ix_digest digest;

		if (head_result(&batch.heads[i], &digest, &found[i].remote, err) < 0 ||
		    (found[i].remote && cache_need_digest(cache, &batch.refs[i], &digest, err) < 0))
			return -(int)err->code;
		if (found[i].remote && cache->trust.signed_only &&
		    ix_cache_check_stage(cache, found[i].stage, found[i].key, &digest, &found[i].distrust, err) < 0)
			return -(int)err->code;
		if (found[i].remote)
			cache_note_there(cache, &batch.refs[i], &digest);
		found[i].remote = found[i].remote && !found[i].distrust;
		/* What others can pull is what counts; a local image of the same key that differs is not published over it. */
		if (found[i].remote && !(found[i].local && ix_digest_eq(&digest, &found[i].manifest))) {
			found[i].local = ix_blob_has(cache->store, &digest);
			found[i].ours = false;
			found[i].manifest = digest;
		}
	}
	for (size_t i = 0; i < nnames; i++)
		if (head_result(&batch.heads[stages + i], &name_digests[i], &hit, err) < 0)
			return -(int)err->code;
	return 0;
}

int ix_cache_find_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, bool remote,
			 struct ix_digest *ret_manifest, bool *ret_remote, struct ix_err *err)
{
	int r = ix_store_stage(cache->store, second, ret_manifest, err);
	struct ix_manifest_head head = { 0 };
	ix_auto_free char *name = NULL;
	ix_auto_ref ref = { 0 };
	const struct ix_ref *one = &ref;
	struct ix_digest digest;
	const char *why;
	bool found;

	*ret_remote = false;
	if ((r < 0 && r != -IX_ENOTFOUND) || !remote || ix_cache_is_local(cache) || cache->offline)
		return r;
	name = ix_cache_second_ref(cache, stage, second);
	if (ix_ref_parse(name, &ref, err) < 0)
		return -(int)err->code;
	ix_registry_head_many(cache->registry, &one, 1, &head);
	if (head_result(&head, &digest, &found, err) < 0 || (found && cache_need_digest(cache, &ref, &digest, err) < 0))
		return -(int)err->code;
	if (!found)
		return r == 0 ? 0 : ix_err_set(err, IX_ENOTFOUND, "%s is not there", name);
	if (cache_check_second(cache, name, stage, second, &digest, &why, err) < 0)
		return -(int)err->code;
	if (why)
		return r == 0 ? 0 : ix_err_set(err, IX_ENOTFOUND, "%s: %s", name, why);
	cache_note_there(cache, &ref, &digest);
	*ret_remote = true;
	*ret_manifest = digest;
	return 0;
}

int ix_cache_lookup(struct ix_cache *cache, struct ix_found *found, size_t n, const char *const *names, struct ix_digest *name_digests,
		    size_t nnames, struct ix_err *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = ix_store_stage(cache->store, found[i].key, &found[i].manifest, err);

		if (r < 0 && r != -IX_ENOTFOUND)
			return r;
		found[i].local = found[i].ours = r == 0;
		found[i].remote = false;
		found[i].distrust = NULL;
	}
	for (size_t i = 0; i < nnames; i++)
		name_digests[i] = (struct ix_digest){ 0 };
	return lookup_remote(cache, found, n, names, name_digests, nnames, err);
}
