#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cache_int.h"

struct push {
	struct ix_cache *cache;
	const struct ix_ref *to;
	const struct ix_ref *source; /* where blobs that are not here are; NULL: nowhere */
	const char *source_text;
	const char *stage;
	struct ix_published *published;
};

static int upload(struct push *self, const struct ix_descriptor *blob, const char *mount_from, struct ix_err *err)
{
	struct transfer transfer;
	enum ix_push_result result = IX_PUSH_EXISTED;
	ix_auto_close int fd = -1;
	uint64_t size;

	if (ix_blob_open(self->cache->store, &blob->digest, &fd, &size, err) < 0)
		return -(int)err->code;
	cache_transfer_init(&transfer, self->cache, "push", &blob->digest, self->stage);
	if (ix_registry_put_blob(self->cache->registry, self->to, &blob->digest, size, fd, mount_from, cache_transfer_progress, &transfer,
				 &result, err) < 0)
		return -(int)err->code;
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
	return 0;
}

/* A blob that is not in the store is used where the registry has it already, and fetched only if it has not. */
static int push_blob(struct push *self, const struct ix_descriptor *blob, struct ix_err *err)
{
	bool same_host = self->source && strcmp(self->source->host, self->to->host) == 0;
	bool same_repository = same_host && strcmp(self->source->repository, self->to->repository) == 0;
	int r;

	/* What nobody has looked at yet may have to be read in full before it is sent: not when it is there. */
	if (!ix_blob_is_checked(self->cache->store, &blob->digest)) {
		r = ix_registry_has_blob(self->cache->registry, self->to, &blob->digest, err);
		if (r == 0)
			self->published->existed++;
		if (r != -IX_ENOTFOUND)
			return r;
		if (ix_cache_need_sound(self->cache, self->source_text, blob, self->stage, err) < 0)
			return -(int)err->code;
	}
	return upload(self, blob, same_host && !same_repository ? self->source->repository : NULL, err);
}

/* sure: ask for what was there before, too. */
static int need_blob(struct push *self, const struct ix_descriptor *blob, bool sure, struct ix_err *err)
{
	if (!sure && cache_is_there(self->cache, self->to, &blob->digest)) {
		self->published->existed++;
		return 0;
	}
	if (push_blob(self, blob, err) < 0)
		return -(int)err->code;
	cache_note_there(self->cache, self->to, &blob->digest);
	return 0;
}

static int push_blobs(struct push *self, const struct ix_manifest *manifest, bool sure, struct ix_err *err)
{
	for (size_t i = 0; i < manifest->nlayers; i++)
		if (need_blob(self, &manifest->layers[i], sure, err) < 0)
			return -(int)err->code;
	return need_blob(self, &manifest->config, sure, err);
}

/* Two builders that push the same blob can confuse a registry for a moment: then its blobs are looked at again. */
static int push_image(struct push *self, const struct ix_digest *manifest_digest, struct ix_err *err)
{
	enum { TRIES = 5, FIRST_WAIT_MS = 50 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	/* An image that is in this repository under another tag has all its blobs there. */
	bool there = self->source && strcmp(self->source->host, self->to->host) == 0 &&
		     strcmp(self->source->repository, self->to->repository) == 0;
	int r;

	if (cache_fetch_manifest(self->cache, self->source, manifest_digest, &body, err) < 0 ||
	    ix_manifest_parse(body.data, body.len, &manifest, err) < 0)
		return -(int)err->code;
	for (unsigned i = 0;; i++) {
		if ((!there || i > 0) && push_blobs(self, &manifest, i > 0, err) < 0)
			return -(int)err->code;
		r = ix_registry_put_manifest(self->cache->registry, self->to, body.data, body.len, manifest.media_type, err);
		if (r == 0)
			cache_note_there(self->cache, self->to, manifest_digest);
		if (r != -IX_ENOTFOUND || i + 1 == TRIES)
			return r;
		if (ix_cancel_sleep(self->cache->cancel, (uint64_t)FIRST_WAIT_MS << (2 * i), err) < 0)
			return -(int)err->code;
	}
}

static int publish(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, const char *source, const char *stage,
		   struct ix_published *ret_published, struct ix_err *err)
{
	struct ix_published published = { 0 };
	ix_auto_ref to = { 0 }, from = { 0 };
	struct push self = { .cache = cache, .to = &to, .source_text = source, .stage = stage, .published = &published };

	if (ix_ref_parse(name, &to, err) < 0 || (source && ix_ref_parse(source, &from, err) < 0))
		return -(int)err->code;
	if (source)
		self.source = &from;
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

int ix_cache_publish_name(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, const char *source, const char *stage,
			  struct ix_published *ret_published, struct ix_err *err)
{
	return publish(cache, name, manifest, source, stage, ret_published, err);
}
