/* Blobs: from the store, or from any repository that is known to have them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "cache_int.h"
#include "io/digest.h"
#include "io/stream.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "report/report.h"
#include "store/store.h"

/* --- where they are --- */

bool cache_has_place(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	ix_auto_free char *name = ix_asprintf("%s/%s", repository->host, repository->repository);
	ix_auto_strv places = { 0 };
	struct ix_err ignored;

	return cache_is_there(cache, repository, blob) ||
	       (ix_blob_places(cache->store, blob, &places, &ignored) == 0 && ix_strv_has(&places, name));
}

void ix_cache_note_place(struct ix_cache *cache, const char *image, const struct ix_digest *blob)
{
	ix_auto_ref ref = { 0 };
	struct ix_err ignored;

	if (image && !ix_cache_is_local(cache) && ix_ref_parse(image, &ref, &ignored) == 0)
		cache_note_there(cache, &ref, blob);
}

int cache_places(struct ix_cache *cache, const char *image, const struct ix_digest *blob, struct ix_strv *places, struct ix_err *err)
{
	ix_auto_strv known = { 0 };
	ix_auto_ref ref = { 0 };
	int r;

	if (image && (r = ix_ref_parse(image, &ref, err)) < 0)
		return r;
	r = ix_blob_places(cache->store, blob, &known, err);
	if (r < 0)
		return r;
	if (image)
		ix_strv_addf(places, "%s/%s", ref.host, ref.repository);
	for (size_t i = 0; i < known.count; i++)
		if (!ix_strv_has(places, known.items[i]))
			ix_strv_add(places, known.items[i]);
	return 0;
}

/* --- fetching --- */

/* Passes bytes on as long as somebody wants what they are for. */
struct wanted {
	struct ix_writer base;
	struct ix_writer *next;
	const struct ix_cancel *work;
};

static int wanted_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	const struct wanted *self = (const struct wanted *)writer;
	int r = ix_cancel_check(self->work, err);

	return r < 0 ? r : ix_write(self->next, bytes, len, err);
}

static int wanted_finish(struct ix_writer *writer, struct ix_err *err)
{
	return ix_write_finish(((const struct wanted *)writer)->next, err);
}

static void wanted_free(struct ix_writer *writer)
{
	(void)writer;
}

static const struct ix_writer_ops wanted_ops = { wanted_write, wanted_finish, wanted_free };

static int fetch_from(struct ix_cache *cache, const struct ix_ref *place, const struct ix_descriptor *blob, const char *stage,
		      struct ix_err *err)
{
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *writer = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *verify = NULL;
	struct wanted wanted = { .base.ops = &wanted_ops, .work = atomic_load(&cache->work) };
	struct transfer transfer;
	int r = ix_blob_begin(cache->store, &writer, err);

	if (r < 0)
		return r;
	cache_transfer_init(&transfer, cache, "pull", &blob->digest, stage);
	verify = ix_verify_writer_new(ix_blob_stream(writer), &blob->digest, blob->size);
	wanted.next = verify;
	r = ix_registry_get_blob(cache->registry, place, &blob->digest, blob->size, &wanted.base, cache_transfer_progress, &transfer, err);
	if (r < 0)
		cache_note_missed(cache, place, &blob->digest, err);
	return r < 0 ? r : ix_blob_commit(ix_steal(&writer), &blob->digest, err);
}

/* Those where it was asked for in vain already come last. */
static void in_order(struct ix_cache *cache, const struct ix_strv *places, const struct ix_digest *blob, struct ix_strv *ret_order)
{
	ix_auto_strv lost = { 0 };

	for (size_t i = 0; i < places->count; i++) {
		ix_auto_ref ref = { 0 };
		struct ix_err ignored;

		if (ix_ref_parse(places->items[i], &ref, &ignored) == 0)
			ix_strv_add(cache_is_lost(cache, &ref, blob) ? &lost : ret_order, places->items[i]);
	}
	for (size_t i = 0; i < lost.count; i++)
		ix_strv_add(ret_order, lost.items[i]);
}

/* The answer of where the blob should be is told, which is the first of places. */
static int fetch(struct ix_cache *cache, const struct ix_strv *places, const struct ix_descriptor *blob, const char *stage,
		 struct ix_err *err)
{
	ix_auto_strv order = { 0 };
	ix_auto_buf text = { 0 };
	char digest[IX_DIGEST_TEXT];

	ix_err_set(err, IX_EGONE, "none of them is a repository");
	in_order(cache, places, &blob->digest, &order);
	for (size_t i = 0; i < order.count; i++) {
		ix_auto_ref place = { 0 };
		struct ix_err said;
		int r = ix_ref_parse(order.items[i], &place, &said);

		if (r == 0)
			r = fetch_from(cache, &place, blob, stage, &said);
		if (r == 0)
			return 0;
		ix_buf_printf(&text, "%s%s", i ? ", " : "", order.items[i]);
		if (strcmp(order.items[i], places->items[0]) == 0 || r == -IX_ECANCELED)
			*err = said;
		if (r == -IX_ECANCELED)
			return r;
	}
	if (err->code == IX_ENOTFOUND)
		err->code = IX_EGONE;
	return ix_err_wrap(err, "blob %s is not in the store, nor to be had from %s", ix_digest_text(&blob->digest, digest),
			   ix_buf_str(&text));
}

/* 1: it is here; 0: it is not, or what was here was damaged. */
static int look(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	uint64_t size;
	int fd, r;

	r = ix_blob_open(cache->store, &blob->digest, &fd, &size, err);
	if (r < 0)
		return r == -IX_ENOTFOUND ? 0 : r;
	close(fd);
	if (size == blob->size)
		return 1;
	r = ix_blob_check(cache->store, &blob->digest, err);
	if (r == -IX_ECORRUPT)
		cache_warn_damaged(cache, &blob->digest);
	if (r < 0)
		return r == -IX_ECORRUPT || r == -IX_ENOTFOUND ? 0 : r;
	return ix_err_set(err, IX_ECORRUPT, "%s%sblob %s has %llu bytes, and not %llu as the manifest says", image ? image : "",
			  image ? ": " : "", ix_digest_text(&blob->digest, text), (unsigned long long)size, (unsigned long long)blob->size);
}

/* What was made here can be made again: who builds asks how many such blobs there are. */
static int gone(struct ix_cache *cache, const struct ix_digest *blob, bool only_here, const struct ix_err *err)
{
	struct ix_err ignored;

	if (err->code != IX_ECANCELED && (only_here || ix_blob_is_made(cache->store, blob, &ignored) > 0) &&
	    ix_blob_note_lost(cache->store, blob))
		atomic_fetch_add(&cache->known.lost_here, 1);
	return ix_err_code(err);
}

unsigned ix_cache_lost(struct ix_cache *cache)
{
	return atomic_load(&cache->known.lost_here);
}

int ix_cache_need_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err)
{
	ix_auto_close int lock = -1;
	ix_auto_strv places = { 0 };
	char text[IX_DIGEST_TEXT];
	int r = look(cache, image, blob, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = cache_places(cache, image, &blob->digest, &places, err);
	if (r < 0)
		return r;
	if (places.count == 0) {
		ix_err_set(err, IX_EGONE, "blob %s is not in the store, and no repository is known to have it",
			   ix_digest_text(&blob->digest, text));
		return gone(cache, &blob->digest, true, err);
	}
	if (cache->offline)
		return ix_err_set(err, IX_EFAIL, "blob %s of %s is not in the store, and --offline asks nobody for it",
				  ix_digest_text(&blob->digest, text), image ? image : places.items[0]);
	r = ix_store_lock(cache->store, "blob", &blob->digest, cache->cancel, &lock, err);
	if (r < 0)
		return r;
	r = look(cache, image, blob, err);
	if (r != 0)
		return r < 0 ? r : 0; /* another process was first */
	r = fetch(cache, &places, blob, stage, err);
	if (r == 0)
		return 0;
	(void)gone(cache, &blob->digest, false, err);
	return cache_note_damage(cache, image, err);
}

/* --- what is wrong --- */

void cache_warn_damaged(struct ix_cache *cache, const struct ix_digest *blob)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_free char *note = ix_asprintf("blob %s in %s was damaged; it is set aside in corrupt/ and fetched or made again",
					      ix_digest_text(blob, text), ix_store_path(cache->store));

	ix_report(cache->sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .text = note });
}

int ix_cache_mend_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err)
{
	int r = ix_blob_check(cache->store, &blob->digest, err);

	if (r == 0)
		return 0;
	if (r != -IX_ECORRUPT && r != -IX_ENOTFOUND)
		return r;
	if (r == -IX_ECORRUPT)
		cache_warn_damaged(cache, &blob->digest);
	r = ix_cache_need_blob(cache, image, blob, stage, err);
	return r < 0 ? r : 1;
}

int ix_cache_need_sound(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err)
{
	int r = ix_cache_need_blob(cache, image, blob, stage, err);

	if (r < 0)
		return r;
	r = ix_cache_mend_blob(cache, image, blob, stage, err);
	return r < 0 ? r : 0;
}

int cache_read_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, struct ix_buf *buf, struct ix_err *err)
{
	int r;

	r = ix_cache_need_blob(cache, image, blob, NULL, err);
	if (r < 0)
		return r;
	r = ix_blob_read(cache->store, &blob->digest, buf, err);
	if (r != -IX_ECORRUPT)
		return r;
	cache_warn_damaged(cache, &blob->digest);
	ix_buf_reset(buf);
	r = ix_cache_need_blob(cache, image, blob, NULL, err);
	if (r < 0)
		return r;
	return ix_blob_read(cache->store, &blob->digest, buf, err);
}
