/* What there is: stages by their keys, in the store and then in one batch of HEADs. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cache_int.h"
#include "io/digest.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "store/store.h"

/* --- one stage --- */

bool ix_cache_is_whole(struct ix_cache *cache, const struct ix_digest *image)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_err ignored;
	bool whole;

	if (ix_blob_read(cache->store, image, &body, &ignored) < 0 || ix_manifest_parse(body.data, body.len, &manifest, &ignored) < 0)
		return false;
	whole = ix_blob_has(cache->store, &manifest.config.digest);
	for (size_t i = 0; i < manifest.nlayers; i++)
		whole = whole && ix_blob_has(cache->store, &manifest.layers[i].digest);
	return whole;
}

/* The registry does not help: what is in the store has to do, if it is all there. */
static void leave_remote(struct ix_cache *cache, struct ix_found *found)
{
	found->remote = false;
	found->local = found->local && ix_cache_is_whole(cache, &found->manifest);
}

static int unsure(struct ix_cache *cache, struct ix_found *found, const struct ix_err *why, struct ix_err *err)
{
	int r = cache_go_without(cache, NULL, why, err);

	if (r < 0)
		return r;
	found->unsure = true;
	leave_remote(cache, found);
	return 0;
}

int ix_cache_check_found(struct ix_cache *cache, struct ix_found *found, struct ix_err *err)
{
	struct ix_err why;

	found->checked = true;
	if (ix_cache_check_stage(cache, found->stage, found->key, &found->manifest, &found->distrust, &why) < 0)
		return unsure(cache, found, &why, err);
	if (found->distrust)
		found->remote = found->local = false;
	return 0;
}

/* What an earlier attempt of this run could not have is not tried again. there: the registry says that it has it. */
static bool was_damaged(struct ix_cache *cache, struct ix_found *found, bool there)
{
	ix_auto_free char *name = ix_cache_stage_ref(cache, found->stage, found->key);
	bool gone;
	const char *why = ix_cache_damage(cache, name, &gone);

	if (!why)
		return false;
	found->distrust = there && gone ? why : NULL;
	found->damaged = there && gone;
	found->unsure = there && !gone;
	leave_remote(cache, found);
	return true;
}

/* Another image of this run missed a blob that this one has too. *ret_gone: it is not there; otherwise it was only not given. */
static bool shares_loss(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_digest *image, bool *ret_gone)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_err ignored;
	bool lost;

	*ret_gone = false;
	if (!atomic_load(&cache->known.lost) || cache_fetch_manifest(cache, ref, image, &body, &ignored) < 0 ||
	    ix_manifest_parse(body.data, body.len, &manifest, &ignored) < 0)
		return false;
	lost = cache_is_lost(cache, ref, &manifest.config.digest);
	*ret_gone = lost && cache_is_bad(cache, ref, &manifest.config.digest);
	for (size_t i = 0; i < manifest.nlayers; i++) {
		const struct ix_digest *layer = &manifest.layers[i].digest;

		lost = lost || cache_is_lost(cache, ref, layer);
		*ret_gone = *ret_gone || (cache_is_lost(cache, ref, layer) && cache_is_bad(cache, ref, layer));
	}
	return lost;
}

static int take_stage(struct ix_cache *cache, struct ix_found *found, const struct batch *batch, size_t i, struct ix_err *err)
{
	const struct ix_ref *ref = &batch->refs[i];
	struct ix_digest digest;
	struct ix_err why;
	bool gone;
	int r = batch_answer(cache, batch, i, &digest, &why);

	if (was_damaged(cache, found, r != -IX_ENOTFOUND) || r == -IX_ENOTFOUND)
		return 0;
	if (r < 0)
		return unsure(cache, found, &why, err);
	if (shares_loss(cache, ref, &digest, &gone)) {
		found->distrust = gone ? "a layer of it is lost" : NULL;
		found->unsure = !gone;
		leave_remote(cache, found);
		return 0;
	}
	if (cache->trust.signed_only && ix_cache_check_stage(cache, found->stage, found->key, &digest, &found->distrust, &why) < 0)
		return unsure(cache, found, &why, err);
	if (found->distrust)
		leave_remote(cache, found);
	else
		cache_note_there(cache, ref, &digest);
	found->checked = cache->trust.signed_only;
	found->remote = !found->distrust;
	/* What others can pull is what counts; a local image of the same key that differs is not published over it. */
	if (found->remote && !(found->local && ix_digest_eq(&digest, &found->manifest))) {
		found->local = ix_blob_has(cache->store, &digest);
		found->ours = false;
		found->manifest = digest;
	}
	return 0;
}

/* What may be absent, and is asked for only to be put right: a failure is nothing to stop for, and nothing to go by. */
static void take_beside(struct ix_cache *cache, const struct batch *batch, size_t i, struct ix_found *found, struct ix_digest *ret_digest)
{
	struct ix_err ignored;
	int r = batch_answer(cache, batch, i, ret_digest, &ignored);

	if (r < 0)
		*ret_digest = (struct ix_digest){ 0 };
	if (r < 0 && r != -IX_ENOTFOUND)
		found->beside = false;
}

/* --- all at once --- */

/* The references asked for, in this order: of each stage its image and what its channel points at; the names. */
static int fill_batch(struct ix_cache *cache, const struct ix_lookup *lookup, size_t nstages, struct batch *batch, struct ix_err *err)
{
	int r = 0;

	for (size_t i = 0; i < nstages && r == 0; i++) {
		const struct ix_found *found = &lookup->found[i];
		ix_auto_free char *image = ix_cache_stage_ref(cache, found->stage, found->key);
		ix_auto_free char *channel = lookup->channel ? cache_channel_ref(cache, found->stage, lookup->channel, true) : NULL;

		r = batch_add(batch, image, err);
		if (r == 0 && channel)
			r = batch_add(batch, channel, err);
	}
	for (size_t i = 0; i < lookup->nnames && r == 0; i++)
		r = batch_add(batch, lookup->names[i], err);
	return r;
}

static int take_batch(struct ix_cache *cache, struct ix_lookup *lookup, size_t nstages, const struct batch *batch, struct ix_err *err)
{
	size_t at = 0;

	for (size_t i = 0; i < nstages; i++) {
		struct ix_found *found = &lookup->found[i];
		int r = take_stage(cache, found, batch, at, err);

		if (r < 0)
			return r;
		at++;
		found->beside = lookup->beside;
		if (lookup->channel) {
			take_beside(cache, batch, at, found, &found->channel_record);
			at++;
		}
	}
	for (size_t i = 0; i < lookup->nnames; i++, at++) {
		int r = batch->heads[at].result < 0 ? batch->heads[at].result : 0;

		/* A name's digest is not asked for in another way: it only saves pushing it again. */
		if (r == 0)
			lookup->name_digests[i] = batch->heads[at].digest;
		else if (r != -IX_ENOTFOUND && (r = cache_go_without(cache, batch->refs[at].host, &batch->heads[at].err, err)) < 0)
			return r;
	}
	return 0;
}

/* Records, of what is there alone: without the image nobody looks at them. */
static int lookup_records(struct ix_cache *cache, struct ix_lookup *lookup, size_t nstages, struct ix_err *err)
{
	ix_scoped(batch_release) struct batch batch;
	size_t at = 0;
	int r = 0;

	batch_init(&batch, nstages);
	for (size_t i = 0; i < nstages && r == 0; i++) {
		const struct ix_found *found = &lookup->found[i];
		ix_auto_free char *record = cache_record_ref(cache, found->stage, found->key);

		if (found->remote)
			r = batch_add(&batch, record, err);
	}
	if (r < 0)
		return r;
	batch_ask(cache, &batch);
	for (size_t i = 0; i < nstages; i++)
		if (lookup->found[i].remote)
			take_beside(cache, &batch, at++, &lookup->found[i], &lookup->found[i].record);
	return 0;
}

static int lookup_remote(struct ix_cache *cache, struct ix_lookup *lookup, struct ix_err *err)
{
	size_t nstages = ix_cache_is_local(cache) ? 0 : lookup->n;
	ix_scoped(batch_release) struct batch batch;
	int r;

	batch_init(&batch, 2 * nstages + lookup->nnames);
	r = fill_batch(cache, lookup, nstages, &batch, err);
	if (r < 0 || batch.count == 0)
		return r;
	batch_ask(cache, &batch);
	r = take_batch(cache, lookup, nstages, &batch, err);
	return r == 0 && lookup->beside ? lookup_records(cache, lookup, nstages, err) : r;
}

int ix_cache_lookup(struct ix_cache *cache, struct ix_lookup *lookup, struct ix_err *err)
{
	for (size_t i = 0; i < lookup->n; i++) {
		struct ix_found *found = &lookup->found[i];
		int r;

		*found = (struct ix_found){ .stage = found->stage, .key = found->key };
		r = ix_store_stage(cache->store, found->key, &found->manifest, err);
		if (r < 0 && r != -IX_ENOTFOUND)
			return r;
		found->local = found->ours = r == 0;
	}
	for (size_t i = 0; i < lookup->nnames; i++)
		lookup->name_digests[i] = (struct ix_digest){ 0 };
	return cache->offline ? 0 : lookup_remote(cache, lookup, err);
}

int ix_cache_find_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_digest *ret_manifest,
			struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_stage_ref(cache, stage, key);

	return cache_head(cache, name, CACHE_FRESH_MS, ret_manifest, err);
}

/* --- second keys --- */

/* 0 and a digest, or what keeps it from being used. */
static int remote_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, struct ix_digest *ret_manifest,
			 struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_second_ref(cache, stage, second);
	const char *why = NULL;
	ix_auto_ref ref = { 0 };
	bool gone;
	int r = ix_ref_parse(name, &ref, err);

	if (r == 0)
		r = cache_head(cache, name, 0, ret_manifest, err);
	if (r < 0)
		return r;
	if (ix_cache_damage(cache, name, &gone) || shares_loss(cache, &ref, ret_manifest, &gone))
		return ix_err_set(err, IX_ENOTFOUND, "%s could not be had", name);
	r = cache_check_second(cache, name, stage, second, ret_manifest, &why, err);
	if (r == 0 && why)
		return ix_err_set(err, IX_ENOTFOUND, "%s: %s", name, why);
	if (r == 0)
		cache_note_there(cache, &ref, ret_manifest);
	return r;
}

int ix_cache_find_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, bool remote,
			 struct ix_digest *ret_manifest, bool *ret_remote, struct ix_err *err)
{
	int r = ix_store_stage(cache->store, second, ret_manifest, err);
	struct ix_digest digest;
	struct ix_err why;
	int there;

	*ret_remote = false;
	if ((r < 0 && r != -IX_ENOTFOUND) || !remote || ix_cache_is_local(cache) || cache->offline || cache_is_down(cache))
		return r;
	if (r == 0 && atomic_load(&cache->known.lost) && !ix_cache_is_whole(cache, ret_manifest))
		r = -IX_ENOTFOUND;
	there = remote_second(cache, stage, second, &digest, &why);
	if (there < 0 && there != -IX_ENOTFOUND) {
		int without = cache_go_without(cache, NULL, &why, err);

		if (without < 0)
			return without;
	}
	if (there < 0)
		return r == 0 ? 0 : ix_err_set(err, IX_ENOTFOUND, "%s", why.msg);
	*ret_remote = true;
	*ret_manifest = digest;
	return 0;
}
