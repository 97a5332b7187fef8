#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "cache_int.h"
#include "io/digest.h"
#include "io/stream.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "report/report.h"
#include "store/store.h"

static int get_manifest(struct ix_cache *cache, const char *place, const struct ix_digest *digest, struct ix_buf *buf, struct ix_err *err)
{
	char media_type[128], text[IX_DIGEST_TEXT];
	ix_auto_ref pinned = { 0 };
	struct ix_digest got;
	int r = ix_ref_parse(place, &pinned, err);

	if (r < 0)
		return r;
	free(pinned.digest);
	pinned.digest = ix_strdup(ix_digest_text(digest, text));
	r = ix_registry_get_manifest(cache->registry, &pinned, buf, media_type, &got, err);
	if (r < 0)
		return r;
	r = ix_blob_put(cache->store, buf->data, buf->len, &got, err);
	if (r < 0)
		return r;
	cache_note_there(cache, &pinned, digest);
	return 0;
}

int cache_fetch_manifest(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_digest *digest, struct ix_buf *buf,
			 struct ix_err *err)
{
	ix_auto_free char *image = ref ? ix_ref_text(ref) : NULL;
	ix_auto_strv places = { 0 };
	char text[IX_DIGEST_TEXT];
	int r;

	if (ix_blob_has(cache->store, digest)) {
		r = ix_blob_read(cache->store, digest, buf, err);
		if (r != -IX_ECORRUPT)
			return r;
		cache_warn_damaged(cache, digest);
		ix_buf_reset(buf);
	}
	if (cache->offline) {
		ix_auto_free char *name = ref ? ix_ref_familiar(ref) : ix_strdup(ix_digest_text(digest, text));

		return cache_offline(err, name);
	}
	r = cache_places(cache, image, digest, &places, err);
	if (r < 0)
		return r;
	if (places.count == 0)
		return ix_err_set(err, IX_ENOTFOUND, "image %s is not in the store", ix_digest_text(digest, text));
	r = get_manifest(cache, places.items[0], digest, buf, err);
	for (size_t i = 1; r < 0 && r != -IX_ECANCELED && i < places.count; i++) {
		struct ix_err again;

		ix_buf_reset(buf);
		/* What the first one said is what is told: it is the one that was asked for. */
		if (get_manifest(cache, places.items[i], digest, buf, &again) == 0)
			r = 0;
	}
	return r;
}

/* The platform's manifest of an index that is in the store or fetched now. */
static int select_platform(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_digest *index_digest,
			   const struct ix_platform *platform, struct ix_digest *ret_manifest, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	const struct ix_descriptor *entry;
	ix_auto_index index = { 0 };
	bool is_index;
	int r = cache_fetch_manifest(cache, ref, index_digest, &body, err);

	if (r < 0)
		return r;
	r = ix_is_index("", body.data, body.len, &is_index, err);
	if (r < 0)
		return r;
	if (!is_index) {
		*ret_manifest = *index_digest;
		return 0;
	}
	r = ix_index_parse(body.data, body.len, &index, err);
	if (r < 0)
		return r;
	entry = ix_index_select(&index, platform);
	if (!entry) {
		ix_auto_free char *text = ix_platform_text(platform);

		return ix_err_set(err, IX_ENOTFOUND, "no match for platform %s in the image's index", text);
	}
	*ret_manifest = entry->digest;
	return 0;
}

static bool names_an_index(const char *media_type)
{
	return strcmp(media_type, IX_MEDIA_INDEX) == 0 || strcmp(media_type, IX_MEDIA_D_LIST) == 0;
}

static bool names_a_manifest(const char *media_type)
{
	return strcmp(media_type, IX_MEDIA_MANIFEST) == 0 || strcmp(media_type, IX_MEDIA_D_MANIFEST) == 0;
}

static int resolve_remote(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_platform *platform,
			  struct ix_digest *ret_manifest, struct ix_err *err)
{
	struct ix_manifest_head head = { 0 };
	int r;

	ix_registry_head_many(cache->registry, &ref, 1, &head);
	if (head.result < 0) {
		*err = head.err;
		return head.result;
	}
	if (ix_digest_is_zero(&head.digest)) {
		ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);

		if ((r = ix_registry_get_manifest(cache->registry, ref, &body, head.media_type, &head.digest, err)) < 0 ||
		    (r = ix_blob_put(cache->store, body.data, body.len, &head.digest, err)) < 0)
			return r;
	}
	cache_note_there(cache, ref, &head.digest);
	if (names_a_manifest(head.media_type) && !names_an_index(head.media_type)) {
		*ret_manifest = head.digest;
		return 0;
	}
	return select_platform(cache, ref, &head.digest, platform, ret_manifest, err);
}

/* --- what names stood for --- */

static char *resolved_name(const char *name, const struct ix_platform *platform)
{
	ix_auto_free char *text = ix_platform_text(platform);

	return ix_asprintf("%s %s", name, text);
}

static int resolve_remembered(struct ix_cache *cache, const char *name, const struct ix_platform *platform, struct ix_digest *ret_manifest,
			      struct ix_err *err)
{
	ix_auto_free char *fact = resolved_name(name, platform);
	ix_auto_buf text = IX_BUF_INIT(IX_DIGEST_TEXT);
	int r = ix_store_fact(cache->store, "resolved", fact, &text, NULL, err);

	if (r == -IX_ENOTFOUND) {
		ix_auto_free char *what = ix_asprintf("what image %s stands for", name);

		return cache_offline(err, what);
	}
	return r < 0 ? r : ix_digest_parse(ix_buf_str(&text), ret_manifest, err);
}

/* A tag that moved is worth a word, and is remembered for --offline. */
static int remember_resolved(struct ix_cache *cache, const char *image, const char *name, const struct ix_platform *platform,
			     const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_free char *fact = resolved_name(name, platform);
	ix_auto_buf before = IX_BUF_INIT(IX_DIGEST_TEXT);
	char now[IX_DIGEST_TEXT], date[32];
	int64_t time = 0;
	int r = ix_store_fact(cache->store, "resolved", fact, &before, &time, err);

	if (r < 0 && r != -IX_ENOTFOUND)
		return r;
	ix_digest_text(digest, now);
	if (r == 0 && strcmp(ix_buf_str(&before), now) == 0)
		return 0;
	if (r == 0) {
		ix_auto_free char *note = NULL;

		ix_rfc3339(time, date);
		note = ix_asprintf("%s moved from %.19s… (%.10s) to %.19s…", image, ix_buf_str(&before), date, now);
		ix_report(cache->sink, &(struct ix_event){ .kind = IX_EVENT_NOTE, .text = note });
	}
	return ix_store_set_fact(cache->store, "resolved", fact, now, strlen(now), err);
}

/* A local name that --pull asked about stands for what the registry said from now on. */
static int move_name(struct ix_cache *cache, const char *name, const struct ix_digest *digest, struct ix_err *err)
{
	struct ix_digest before;
	int r = ix_store_name(cache->store, name, &before, err);

	if (r == -IX_ENOTFOUND || (r == 0 && ix_digest_eq(&before, digest)))
		return 0;
	return r < 0 ? r : ix_cache_pull(cache, name, digest, err);
}

static int resolve_name(struct ix_cache *cache, const struct ix_ref *ref, const char *image, const struct ix_platform *platform,
			struct ix_digest *ret_manifest, struct ix_err *err)
{
	ix_auto_free char *name = ix_ref_text(ref);
	struct ix_digest digest;
	int r;

	if (!cache->pull) {
		r = ix_store_name(cache->store, name, &digest, err);
		if (r != -IX_ENOTFOUND)
			return r < 0 ? r : select_platform(cache, ref, &digest, platform, ret_manifest, err);
	}
	if (cache->offline)
		return resolve_remembered(cache, name, platform, ret_manifest, err);
	r = resolve_remote(cache, ref, platform, ret_manifest, err);
	if (r < 0)
		return ix_err_wrap(err, "image %s", image);
	r = cache->pull ? move_name(cache, name, ret_manifest, err) : 0;
	return r < 0 ? r : remember_resolved(cache, image, name, platform, ret_manifest, err);
}

int ix_cache_resolve(struct ix_cache *cache, const char *image, const struct ix_platform *platform, struct ix_digest *ret_manifest,
		     struct ix_err *err)
{
	ix_auto_ref ref = { 0 };
	struct ix_digest digest;
	int r = ix_ref_parse(image, &ref, err);

	if (r < 0)
		return r;
	if (!ref.digest)
		return resolve_name(cache, &ref, image, platform, ret_manifest, err);
	if (ix_digest_parse(ref.digest, &digest, err) == 0 && ix_blob_has(cache->store, &digest))
		return select_platform(cache, &ref, &digest, platform, ret_manifest, err);
	if (cache->offline) {
		ix_auto_free char *name = ix_ref_text(&ref);

		return resolve_remembered(cache, name, platform, ret_manifest, err);
	}
	r = resolve_remote(cache, &ref, platform, ret_manifest, err);
	return r < 0 ? ix_err_wrap(err, "image %s", image) : 0;
}

/* --- OCI image layouts --- */

static int copy_blob(struct ix_cache *cache, int blobs_fd, const struct ix_descriptor *descriptor, struct ix_err *err)
{
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *verify = NULL;
	char hex[IX_DIGEST_HEX + 1];
	int fd;

	if (ix_blob_has(cache->store, &descriptor->digest))
		return 0;
	fd = openat(blobs_fd, ix_digest_hex(&descriptor->digest, hex), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ix_err_sys(err, "blobs/sha256/%s", hex);
	reader = ix_fd_reader_new_take(fd);
	int r = ix_blob_begin(cache->store, &blob, err);
	if (r < 0)
		return r;
	verify = ix_verify_writer_new(ix_blob_stream(blob), &descriptor->digest, descriptor->size);
	if (ix_copy(reader, verify, cache->cancel, err) < 0 || ix_write_finish(verify, err) < 0)
		return ix_err_wrap(err, "blobs/sha256/%s", hex);
	return ix_blob_commit(ix_steal(&blob), &descriptor->digest, err);
}

static const struct ix_descriptor *layout_entry(const struct ix_index *index, const char *ref)
{
	char text[IX_DIGEST_TEXT];

	for (size_t i = 0; i < index->nmanifests; i++) {
		const struct ix_descriptor *entry = &index->manifests[i];
		const char *name = ix_annotation(&entry->annotations, "org.opencontainers.image.ref.name");

		if (ref ? ix_streq(name, ref) || strcmp(ix_digest_text(&entry->digest, text), ref) == 0 : index->nmanifests == 1)
			return entry;
	}
	return NULL;
}

static int copy_image(struct ix_cache *cache, int blobs_fd, const struct ix_descriptor *entry, const struct ix_platform *platform,
		      struct ix_digest *ret_manifest, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_digest digest;
	int r = copy_blob(cache, blobs_fd, entry, err);

	if (r < 0)
		return r;
	if (names_an_index(entry->media_type)) {
		ix_auto_index index = { 0 };
		const struct ix_descriptor *inner;

		if ((r = ix_blob_read(cache->store, &entry->digest, &body, err)) < 0 ||
		    (r = ix_index_parse(body.data, body.len, &index, err)) < 0)
			return r;
		inner = ix_index_select(&index, platform);
		if (!inner)
			return ix_err_set(err, IX_ENOTFOUND, "no image for the platform in the layout's index");
		r = copy_blob(cache, blobs_fd, inner, err);
		if (r < 0)
			return r;
		digest = inner->digest;
	} else {
		digest = entry->digest;
	}
	ix_buf_reset(&body);
	if ((r = ix_blob_read(cache->store, &digest, &body, err)) < 0 || (r = ix_manifest_parse(body.data, body.len, &manifest, err)) < 0 ||
	    (r = copy_blob(cache, blobs_fd, &manifest.config, err)) < 0)
		return r;
	for (size_t i = 0; i < manifest.nlayers; i++)
		if ((r = copy_blob(cache, blobs_fd, &manifest.layers[i], err)) < 0)
			return r;
	*ret_manifest = digest;
	return 0;
}

int ix_cache_resolve_layout(struct ix_cache *cache, const char *dir, const char *ref, const struct ix_platform *platform,
			    struct ix_digest *ret_manifest, struct ix_err *err)
{
	ix_auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_close int blobs_fd = -1;
	ix_auto_buf json = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_index index = { 0 };
	const struct ix_descriptor *entry;

	if (fd < 0)
		return ix_err_sys(err, "OCI layout %s", dir);
	if (ix_read_file(fd, "index.json", &json, err) < 0 || ix_index_parse(json.data, json.len, &index, err) < 0)
		return ix_err_wrap(err, "OCI layout %s", dir);
	entry = layout_entry(&index, ref);
	if (!entry)
		return ix_err_set(err, IX_ENOTFOUND, "OCI layout %s: %s", dir,
				  ref ? "no image of that tag or digest"
				      : "it holds several images or none: name one with :tag or @digest");
	blobs_fd = openat(fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (blobs_fd < 0)
		return ix_err_sys(err, "OCI layout %s/blobs/sha256", dir);
	if (copy_image(cache, blobs_fd, entry, platform, ret_manifest, err) < 0)
		return ix_err_wrap(err, "OCI layout %s", dir);
	return 0;
}

/* --- images by digest --- */

/* A repository that has a manifest has what it names. */
static void note_parts(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_manifest *manifest)
{
	for (size_t i = 0; i < manifest->nlayers; i++)
		cache_note_listed(cache, ref, &manifest->layers[i].digest);
	cache_note_listed(cache, ref, &manifest->config.digest);
}

static int load_config(struct ix_cache *cache, const char *image, const struct ix_manifest *manifest, struct ix_image_config *ret_config,
		       struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_CONFIG_MAX);
	ix_auto_config config = { 0 };
	int r;

	if (manifest->config.size > IX_CONFIG_MAX)
		return ix_err_set(err, IX_ELIMIT, "config is larger than %d bytes", IX_CONFIG_MAX);
	r = cache_read_blob(cache, image, &manifest->config, &body, err);
	if (r == 0)
		r = ix_config_parse(body.data, body.len, &config, err);
	if (r < 0)
		return r;
	if (config.ndiff_ids != manifest->nlayers)
		return ix_err_set(err, IX_ECORRUPT, "%zu layers, but %zu diff ids", manifest->nlayers, config.ndiff_ids);
	*ret_config = config;
	config = (struct ix_image_config){ 0 };
	return 0;
}

int ix_cache_image(struct ix_cache *cache, const char *image, const struct ix_digest *manifest_digest, struct ix_manifest *ret_manifest,
		   struct ix_image_config *ret_config, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	ix_auto_ref ref = { 0 };
	int r = image ? ix_ref_parse(image, &ref, err) : 0;

	if (r < 0)
		return r;
	r = cache_fetch_manifest(cache, image ? &ref : NULL, manifest_digest, &body, err);
	if (r == 0)
		r = ix_manifest_parse(body.data, body.len, &manifest, err);
	if (r == 0 && image && cache_has_place(cache, &ref, manifest_digest))
		note_parts(cache, &ref, &manifest);
	if (r == 0)
		r = load_config(cache, image, &manifest, ret_config, err);
	if (r < 0) {
		/* It was found before, by whoever knows its digest: that it is not there is no answer to a question. */
		if (r == -IX_ENOTFOUND)
			err->code = IX_EGONE;
		ix_err_wrap(err, "image %s", image ? image : "in the store");
		return cache_note_damage(cache, image, err);
	}
	*ret_manifest = manifest;
	manifest = (struct ix_manifest){ 0 };
	return 0;
}

int ix_cache_pull(struct ix_cache *cache, const char *name, const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	int r = ix_cache_image(cache, name, digest, &manifest, &config, err);

	for (size_t i = 0; r == 0 && i < manifest.nlayers; i++)
		r = ix_cache_need_sound(cache, name, &manifest.layers[i], NULL, err);
	if (r == 0)
		r = ix_blob_read(cache->store, digest, &body, err);
	return r < 0 ? r : ix_store_tag(cache->store, name, digest, manifest.media_type, body.len, err);
}
