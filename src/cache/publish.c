#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/fault.h"
#include "cache_int.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "report/report.h"
#include "store/store.h"

enum { UNASKED_MAX = 32 << 10 /* a blob that is sent sooner than it is asked for and then sent */ };

struct push {
	struct ix_cache *cache;
	const struct ix_ref *to;
	const struct ix_ref *source; /* where blobs that are not here are; NULL: nowhere */
	const char *source_text, *to_text;
	const char *stage;
	struct ix_published *published;
};

static void count(struct push *self, enum ix_push_result result, uint64_t size)
{
	switch (result) {
	case IX_PUSH_EXISTED:
		self->published->existed++;
		break;
	case IX_PUSH_MOUNTED:
		self->published->mounted++;
		break;
	case IX_PUSH_UPLOADED:
		self->published->uploaded++;
		self->published->bytes += size;
		break;
	}
}

static int upload(struct push *self, const struct ix_descriptor *blob, const char *mount_from, bool again, struct ix_err *err)
{
	struct transfer transfer;
	enum ix_push_result result = IX_PUSH_EXISTED;
	ix_auto_close int fd = -1;
	uint64_t size;
	int r = ix_blob_open(self->cache->store, &blob->digest, &fd, &size, err);

	if (r < 0)
		return r;
	cache_transfer_init(&transfer, self->cache, "push", &blob->digest, self->stage);
	r = ix_registry_put_blob(self->cache->registry, self->to, &blob->digest, size, fd, mount_from,
				 again || (!mount_from && size <= UNASKED_MAX), cache_transfer_progress, &transfer, &result, err);
	if (r == 0)
		count(self, result, size);
	return r;
}

static bool same_repository(const struct ix_ref *a, const struct ix_ref *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->repository, b->repository) == 0;
}

/* Another repository of the host that has the blob; NULL: none is known. Caller frees. */
static char *other_home(struct push *self, const struct ix_descriptor *blob)
{
	ix_auto_strv places = { 0 };
	struct ix_err ignored;

	if (self->source && strcmp(self->source->host, self->to->host) == 0 && !same_repository(self->source, self->to))
		return ix_strdup(self->source->repository);
	if (cache_places(self->cache, NULL, &blob->digest, &places, &ignored) < 0)
		return NULL;
	for (size_t i = 0; i < places.count; i++) {
		ix_auto_ref place = { 0 };

		if (ix_ref_parse(places.items[i], &place, &ignored) == 0 && strcmp(place.host, self->to->host) == 0 &&
		    !same_repository(&place, self->to) && !cache_is_bad(self->cache, &place, &blob->digest))
			return ix_strdup(place.repository);
	}
	return NULL;
}

/* A blob that is not in the store is used where the registry has it already, and fetched only if it has not. */
static int push_blob(struct push *self, const struct ix_descriptor *blob, struct ix_err *err)
{
	ix_auto_free char *home = other_home(self, blob);
	bool again = cache_is_bad(self->cache, self->to, &blob->digest);
	enum ix_push_result result = IX_PUSH_EXISTED;
	int r;

	/* What nobody has looked at yet may have to be read in full before it is sent: not when it is there. */
	if (!ix_blob_is_checked(self->cache->store, &blob->digest)) {
		r = again ? -IX_ENOTFOUND : ix_registry_mount_blob(self->cache->registry, self->to, &blob->digest, home, &result, err);
		if (r == 0)
			count(self, result, 0);
		if (r != -IX_ENOTFOUND)
			return r;
		r = ix_cache_need_sound(self->cache, self->source_text ? self->source_text : self->to_text, blob, self->stage, err);
		if (r < 0)
			return r;
	}
	return upload(self, blob, home, again, err);
}

/* sure: ask for what was there before, too. */
static int need_blob(struct push *self, const struct ix_descriptor *blob, bool sure, struct ix_err *err)
{
	int r;

	if (!sure && cache_is_there(self->cache, self->to, &blob->digest)) {
		self->published->existed++;
		return 0;
	}
	r = push_blob(self, blob, err);
	if (r == 0)
		cache_note_there(self->cache, self->to, &blob->digest);
	return r;
}

static int push_blobs(struct push *self, const struct ix_manifest *manifest, bool sure, struct ix_err *err)
{
	for (size_t i = 0; i < manifest->nlayers; i++) {
		int r = need_blob(self, &manifest->layers[i], sure, err);

		if (r < 0)
			return r;
	}
	return need_blob(self, &manifest->config, sure, err);
}

/* An image that is in this repository under another tag has all its blobs there, unless one of them was asked for in vain. */
static bool has_blobs(struct push *self, const struct ix_manifest *manifest)
{
	if (!self->source || !same_repository(self->source, self->to) || cache_is_bad(self->cache, self->to, &manifest->config.digest))
		return false;
	for (size_t i = 0; i < manifest->nlayers; i++)
		if (cache_is_bad(self->cache, self->to, &manifest->layers[i].digest))
			return false;
	return true;
}

/* Two builders that push the same blob can confuse a registry for a moment: then its blobs are looked at again. */
static int push_image(struct push *self, const struct ix_digest *manifest_digest, struct ix_err *err)
{
	enum { TRIES = 5, FIRST_WAIT_MS = 50 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	bool there;
	int r;

	r = cache_fetch_manifest(self->cache, self->source, manifest_digest, &body, err);
	if (r == 0)
		r = ix_manifest_parse(body.data, body.len, &manifest, err);
	if (r < 0)
		return r;
	there = has_blobs(self, &manifest);
	for (unsigned i = 0;; i++) {
		r = !there || i > 0 ? push_blobs(self, &manifest, i > 0, err) : 0;
		if (r < 0)
			return r;
		if (ix_fault("publish.manifest"))
			return ix_err_sys(err, "put manifest");
		cache_forget_tag(self->cache, self->to_text);
		r = ix_registry_put_manifest(self->cache->registry, self->to, body.data, body.len, manifest.media_type, err);
		if (r == 0)
			cache_note_there(self->cache, self->to, manifest_digest);
		if (r == 0)
			cache_note_tag(self->cache, self->to_text, manifest_digest);
		if (r != -IX_ENOTFOUND || i + 1 == TRIES)
			return r;
		r = ix_cancel_sleep(self->cache->cancel, (uint64_t)FIRST_WAIT_MS << (2 * i), err);
		if (r < 0)
			return r;
	}
}

static int publish(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, const char *source, const char *stage,
		   struct ix_published *ret_published, struct ix_err *err)
{
	struct ix_published published = { 0 };
	ix_auto_ref to = { 0 }, from = { 0 };
	struct push self = { .cache = cache, .to = &to, .source_text = source, .to_text = name, .stage = stage, .published = &published };
	int r;

	if ((r = ix_ref_parse(name, &to, err)) < 0 || (source && (r = ix_ref_parse(source, &from, err)) < 0))
		return r;
	if (source)
		self.source = &from;
	if (ix_fault("publish.begin"))
		return ix_err_sys(err, "publish %s", name);
	if (push_image(&self, manifest, err) < 0)
		return ix_err_wrap(err, "publish %s", name);
	*ret_published = published;
	if (stage)
		ix_report(cache->sink,
			  &(struct ix_event){ .kind = IX_EVENT_PUBLISHED, .stage = stage, .text = name, .bytes = published.bytes });
	return 0;
}

int ix_cache_publish_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *manifest,
			   const char *image, struct ix_published *ret_published, struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_stage_ref(cache, stage, key);

	return publish(cache, name, manifest, image, stage, ret_published, err);
}

int ix_cache_publish_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, const struct ix_digest *manifest,
			    const char *source, bool force, struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_second_ref(cache, stage, second);
	struct ix_published moved;
	struct ix_digest there;
	/* Who looked before building knows. Another stage's image that came meanwhile is as good as this one. */
	int r = force ? -IX_ENOTFOUND : cache_head(cache, name, UINT64_MAX, &there, err);

	if (r != -IX_ENOTFOUND)
		return r;
	r = publish(cache, name, manifest, source, NULL, &moved, err);
	if (r < 0 && r != -IX_ECANCELED && !force) {
		struct ix_err ignored;

		return cache_head(cache, name, 0, &there, &ignored) == 0 ? 0 : r; /* tags may be immutable */
	}
	return r;
}

int ix_cache_publish_name(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, const char *source, const char *stage,
			  struct ix_published *ret_published, struct ix_err *err)
{
	return publish(cache, name, manifest, source, stage, ret_published, err);
}
