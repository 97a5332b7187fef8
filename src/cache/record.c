/*
 * Records: the account of a stage's key and what came of it, kept in the store and published beside the image as an OCI image manifest with an
 * artifact type and the image as its subject. docs/identity.md, "Names in the registry".
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cache_int.h"
#include "io/compress.h"
#include "io/digest.h"
#include "io/stream.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "store/store.h"

enum { ZSTD_LEVEL = 9 };

int ix_cache_put_document(struct ix_cache *cache, const char *media_type, const struct ix_buf *bytes, struct ix_descriptor *ret_descriptor,
			  struct ix_err *err)
{
	ix_auto_buf packed = { 0 };
	ix_scoped(ix_writer_freep) struct ix_writer *to = ix_buf_writer_new(&packed);
	ix_scoped(ix_writer_freep) struct ix_writer *compress = ix_compress_writer_new(to, IX_COMPRESSION_ZSTD, ZSTD_LEVEL, 1);
	struct ix_digest digest;
	int r;

	if ((r = ix_write(compress, bytes->data, bytes->len, err)) < 0 || (r = ix_write_finish(compress, err)) < 0 ||
	    (r = ix_blob_put(cache->store, packed.data, packed.len, &digest, err)) < 0)
		return r;
	*ret_descriptor = (struct ix_descriptor){ .media_type = ix_strdup(media_type), .digest = digest, .size = packed.len };
	return 0;
}

static int get_document(struct ix_cache *cache, const struct ix_descriptor *blob, struct ix_buf *ret_bytes, struct ix_err *err)
{
	ix_auto_free char *repository = cache_repository_ref(cache);
	ix_scoped(ix_reader_freep) struct ix_reader *file = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *plain = NULL;
	int fd;
	int r;

	if ((r = ix_cache_need_sound(cache, repository, blob, NULL, err)) < 0 ||
	    (r = ix_blob_open(cache->store, &blob->digest, &fd, NULL, err)) < 0)
		return r;
	file = ix_fd_reader_new_take(fd);
	plain = ix_decompress_reader_new(file);
	return ix_read_all(plain, ret_bytes, err);
}

void ix_kept_record_release(struct ix_kept_record *record)
{
	ix_manifest_release(&record->manifest);
	ix_buf_release(&record->json);
	*record = (struct ix_kept_record){ 0 };
}

static const struct ix_descriptor *part(const struct ix_manifest *manifest, const char *media_type, const struct ix_digest *digest)
{
	for (size_t i = 0; i < manifest->nlayers; i++)
		if (strcmp(manifest->layers[i].media_type, media_type) == 0 &&
		    (!digest || ix_digest_eq(&manifest->layers[i].digest, digest)))
			return &manifest->layers[i];
	return NULL;
}

static int need_part(const struct ix_manifest *manifest, const char *media_type, const struct ix_digest *digest,
		     const struct ix_descriptor **ret_part, struct ix_err *err)
{
	*ret_part = part(manifest, media_type, digest);
	return *ret_part ? 0 : ix_err_set(err, IX_ENOTFOUND, "the record has no such part");
}

int ix_kept_record_list(struct ix_cache *cache, const struct ix_kept_record *record, const struct ix_digest *digest,
			struct ix_buf *ret_list, struct ix_err *err)
{
	const struct ix_descriptor *list;
	int r = need_part(&record->manifest, IX_MEDIA_RECORD_FILES, digest, &list, err);

	if (r < 0)
		return r;
	return get_document(cache, list, ret_list, err);
}

int ix_kept_record_log(struct ix_cache *cache, const struct ix_kept_record *record, struct ix_buf *ret_log, struct ix_err *err)
{
	const struct ix_descriptor *log;
	int r = need_part(&record->manifest, IX_MEDIA_RECORD_LOG, NULL, &log, err);

	return r < 0 ? r : get_document(cache, log, ret_log, err);
}

/* A manifest by digest, from the store or the repository, as a record. ours: it was made in this store. */
static int load(struct ix_cache *cache, const struct ix_digest *digest, bool ours, struct ix_kept_record *ret_record, struct ix_err *err)
{
	ix_auto_free char *repository = cache_repository_ref(cache);
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_kept_record record = { .json = IX_BUF_INIT(IX_RECORD_MAX) };
	const struct ix_descriptor *json;
	ix_auto_ref ref = { 0 };
	const char *key, *second, *distrust;
	int r;

	if (repository && (r = ix_ref_parse(repository, &ref, err)) < 0)
		return r;
	if ((r = cache_fetch_manifest(cache, repository ? &ref : NULL, digest, &body, err)) < 0 ||
	    (r = ix_manifest_parse(body.data, body.len, &record.manifest, err)) < 0)
		return r;
	key = ix_annotation(&record.manifest.annotations, CACHE_KEY);
	if (!ix_streq(record.manifest.artifact_type, IX_MEDIA_RECORD) || !record.manifest.subject.media_type || !key ||
	    !ix_unhex(key, record.key.bytes, sizeof(record.key.bytes)))
		return ix_err_set(err, IX_ECORRUPT, "it is not the record of a stage");
	distrust = ours ? NULL : cache_distrust(cache, &record.manifest);
	if (distrust)
		return ix_err_set(err, IX_EAUTH, "%s", distrust);
	second = ix_annotation(&record.manifest.annotations, CACHE_SECOND);
	if (second && !ix_unhex(second, record.second.bytes, sizeof(record.second.bytes)))
		return ix_err_set(err, IX_ECORRUPT, "its second key is no key");
	if ((r = need_part(&record.manifest, IX_MEDIA_RECORD_JSON, NULL, &json, err)) < 0 ||
	    (r = get_document(cache, json, &record.json, err)) < 0)
		return r;
	record.digest = *digest;
	*ret_record = record;
	record = (struct ix_kept_record){ 0 };
	return 0;
}

/* Two stages that are made of the same have one key, and a record each. Caller frees. */
static char *kept_name(const char *stage, const struct ix_digest *key)
{
	char hex[IX_DIGEST_HEX + 1];

	return ix_asprintf("%s %s", stage, ix_digest_hex(key, hex));
}

int ix_cache_keep_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *second,
			 const struct ix_digest *image, const struct ix_descriptor *parts, size_t nparts, struct ix_digest *ret_record,
			 struct ix_err *err)
{
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST), .artifact_type = ix_strdup(IX_MEDIA_RECORD) };
	char hex[IX_DIGEST_HEX + 1], second_hex[IX_DIGEST_HEX + 1], text[IX_DIGEST_TEXT];
	ix_auto_free char *name = kept_name(stage, key);
	ix_auto_close int fd = -1;
	ix_auto_buf body = { 0 };
	int r;

	manifest.config.media_type = ix_strdup(IX_MEDIA_EMPTY);
	manifest.config.size = 2;
	manifest.subject.media_type = ix_strdup(IX_MEDIA_MANIFEST);
	manifest.subject.digest = *image;
	if ((r = ix_blob_open(cache->store, image, &fd, &manifest.subject.size, err)) < 0 ||
	    (r = ix_blob_put(cache->store, "{}", 2, &manifest.config.digest, err)) < 0)
		return r;
	for (size_t i = 0; i < nparts; i++)
		ix_descriptor_copy(&parts[i], ix_manifest_add_layer(&manifest));
	ix_pairs_set(&manifest.annotations, CACHE_KEY, ix_digest_hex(key, hex));
	ix_pairs_set(&manifest.annotations, CACHE_STAGE, stage);
	if (second)
		ix_pairs_set(&manifest.annotations, CACHE_SECOND, ix_digest_hex(second, second_hex));
	r = cache_sign(cache, &manifest, err);
	if (r < 0)
		return r;
	ix_manifest_json(&manifest, &body);
	r = ix_blob_put(cache->store, body.data, body.len, ret_record, err);
	if (r < 0)
		return r;
	ix_digest_text(ret_record, text);
	return ix_store_set_fact(cache->store, "record of", name, text, strlen(text), err);
}

/* --- names --- */

int ix_cache_publish_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *record,
			    struct ix_err *err)
{
	ix_auto_free char *name = cache_record_ref(cache, stage, key);
	struct ix_published moved;

	return ix_cache_publish_name(cache, name, record, NULL, NULL, &moved, err);
}

int ix_cache_find_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_digest *ret_record,
			 struct ix_err *err)
{
	ix_auto_free char *name = cache_record_ref(cache, stage, key);

	return cache_head(cache, name, 0, ret_record, err);
}

int ix_cache_move_channel(struct ix_cache *cache, const char *stage, const char *channel, const struct ix_digest *key,
			  const struct ix_digest *image, const struct ix_digest *record, struct ix_err *err)
{
	ix_auto_free char *image_from = ix_cache_stage_ref(cache, stage, key);
	ix_auto_free char *record_from = cache_record_ref(cache, stage, key);
	ix_auto_free char *image_name = cache_channel_ref(cache, stage, channel, false);
	ix_auto_free char *record_name = cache_channel_ref(cache, stage, channel, true);
	struct ix_published moved;
	int r = ix_cache_publish_name(cache, image_name, image, image_from, NULL, &moved, err);

	if (r < 0)
		return r;
	return ix_cache_publish_name(cache, record_name, record, record_from, NULL, &moved, err);
}

/* --- finding --- */

static int local_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_digest *ret_record,
			struct ix_err *err)
{
	ix_auto_free char *name = kept_name(stage, key);
	ix_auto_buf text = IX_BUF_INIT(IX_DIGEST_TEXT);
	int r = ix_store_fact(cache->store, "record of", name, &text, NULL, err);

	return r < 0 ? r : ix_digest_parse(ix_buf_str(&text), ret_record, err);
}

static int remote_record(struct ix_cache *cache, const char *name, struct ix_digest *ret_record, struct ix_err *err)
{
	if (cache->offline || cache_is_down(cache))
		return ix_err_set(err, IX_ENOTFOUND, cache->offline ? "offline" : "the registry does not answer");
	return cache_head(cache, name, 0, ret_record, err);
}

int ix_cache_record_of_key(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_kept_record *ret_record,
			   struct ix_err *err)
{
	ix_auto_free char *name = NULL;
	struct ix_digest digest;
	int r = local_record(cache, stage, key, &digest, err);

	if (r == 0 && load(cache, &digest, true, ret_record, err) == 0)
		return 0;
	if (ix_cache_is_local(cache))
		return ix_err_set(err, IX_ENOTFOUND, "there is no record of that build of stage '%s'", stage);
	name = cache_record_ref(cache, stage, key);
	if (remote_record(cache, name, &digest, err) < 0 || load(cache, &digest, false, ret_record, err) < 0)
		return ix_err_wrap(err, "record %s", name);
	if (ix_digest_eq(&ret_record->key, key))
		return 0;
	ix_kept_record_release(ret_record);
	return ix_err_set(err, IX_ECORRUPT, "record %s is of another key", name);
}

int ix_cache_record_of_tag(struct ix_cache *cache, const char *stage, const char *hex, struct ix_kept_record *ret_record,
			   struct ix_err *err)
{
	ix_auto_free char *name = NULL;
	struct ix_digest key, digest;

	if (ix_unhex(hex, key.bytes, sizeof(key.bytes)))
		return ix_cache_record_of_key(cache, stage, &key, ret_record, err);
	if (ix_cache_is_local(cache))
		return ix_err_set(err, IX_EARG, "without a registry a key is named by all its 64 digits");
	name = cache_record_ref_hex(cache, stage, hex);
	if (remote_record(cache, name, &digest, err) < 0 || load(cache, &digest, false, ret_record, err) < 0)
		return ix_err_wrap(err, "record %s", name);
	return 0;
}

int ix_cache_record_of_channel(struct ix_cache *cache, const char *stage, const char *channel, struct ix_kept_record *ret_record,
			       struct ix_err *err)
{
	ix_auto_free char *name = NULL;
	struct ix_digest digest;

	if (ix_cache_is_local(cache))
		return ix_err_set(err, IX_ENOTFOUND, "there are no channels without a registry");
	name = cache_channel_ref(cache, stage, channel, true);
	if (remote_record(cache, name, &digest, err) < 0 || load(cache, &digest, false, ret_record, err) < 0)
		return ix_err_wrap(err, "record %s", name);
	return 0;
}

/* What the channel's record is, as far as it was answered in this process or in the batch. *at counts what was asked. */
static int channel_answer(struct ix_cache *cache, const struct batch *batch, size_t *at, const char *name, struct ix_digest *ret_record,
			  struct ix_err *err)
{
	if (*at < batch->count && strcmp(batch->names[*at], name) == 0)
		return batch_answer(cache, batch, (*at)++, ret_record, err);
	return cache_recall_tag(cache, name, UINT64_MAX, ret_record);
}

/* The first of the channels that has a record of a stage. */
static int first_of(struct ix_cache *cache, struct ix_channel_find *find, const struct batch *batch, size_t *at,
		    const char *const *channels, size_t nchannels, struct ix_err *err)
{
	for (size_t i = 0; i < nchannels; i++) {
		ix_auto_free char *name = cache_channel_ref(cache, find->stage, channels[i], true);
		struct ix_digest record;
		struct ix_err why;
		int r = channel_answer(cache, batch, at, name, &record, &why);

		if (r == 0 && !find->channel) {
			find->channel = channels[i];
			find->record = record;
		}
		if (r < 0 && r != -IX_ENOTFOUND && (r = cache_go_without(cache, NULL, &why, err)) < 0)
			return r;
	}
	return 0;
}

int ix_cache_find_channels(struct ix_cache *cache, struct ix_channel_find *finds, size_t n, const char *const *channels, size_t nchannels,
			   struct ix_err *err)
{
	size_t count = ix_cache_is_local(cache) || cache->offline || cache_is_down(cache) ? 0 : n * nchannels, at = 0;
	ix_scoped(batch_release) struct batch batch;
	struct ix_digest ignored;
	int r = 0;

	batch_init(&batch, count);
	for (size_t i = 0; i < count && r == 0; i++) {
		ix_auto_free char *name = cache_channel_ref(cache, finds[i / nchannels].stage, channels[i % nchannels], true);

		if (cache_recall_tag(cache, name, UINT64_MAX, &ignored) > 0)
			r = batch_add(&batch, name, err);
	}
	if (r < 0)
		return r;
	batch_ask(cache, &batch);
	for (size_t i = 0; count > 0 && i < n && r == 0; i++)
		r = first_of(cache, &finds[i], &batch, &at, channels, nchannels, err);
	return r;
}

int ix_cache_load_record(struct ix_cache *cache, const struct ix_digest *record, struct ix_kept_record *ret_record, struct ix_err *err)
{
	return load(cache, record, false, ret_record, err);
}

int ix_cache_check_record(struct ix_cache *cache, const struct ix_kept_record *record, const struct ix_digest *const *layers,
			  size_t nlayers, struct ix_err *err)
{
	ix_auto_free char *repository = cache_repository_ref(cache);
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest image = { 0 };
	ix_auto_ref ref = { 0 };
	int r;

	if (repository && (r = ix_ref_parse(repository, &ref, err)) < 0)
		return r;
	if (cache_fetch_manifest(cache, repository ? &ref : NULL, &record->manifest.subject.digest, &body, err) < 0 ||
	    ix_manifest_parse(body.data, body.len, &image, err) < 0)
		return ix_err_wrap(err, "the image of a record");
	for (size_t i = 0; i < nlayers; i++) {
		bool there = false;

		for (size_t j = 0; j < image.nlayers && !there; j++)
			there = ix_digest_eq(&image.layers[j].digest, layers[i]);
		if (!there)
			return ix_err_set(err, IX_ECORRUPT, "the record speaks of layers that its image does not have");
	}
	return 0;
}
