#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cache/cache.h"
#include "images/images.h"
#include "io/compress.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "store/store.h"

/*
 * An image in another form: layers compressed otherwise or with their times clamped, docker's media types, annotations. What does not change
 * is not read.
 */

struct convert {
	const struct ix_image_opts *opts;
	const struct ix_convert *spec;
	const char *image; /* where blobs may have to come from */
};

/* The layer's tar, from its blob. */
struct plain {
	struct ix_reader *file, *tar;
};

static void plain_release(struct plain *plain)
{
	ix_reader_free(plain->tar);
	ix_reader_free(plain->file);
}

static int plain_open(const struct convert *self, const struct ix_descriptor *layer, struct plain *ret_plain, struct ix_err *err)
{
	int fd;
	int r;

	if ((r = ix_cache_need_sound(self->opts->cache, self->image, layer, NULL, err)) < 0 ||
	    (r = ix_blob_open(self->opts->store, &layer->digest, &fd, NULL, err)) < 0)
		return r;
	ret_plain->file = ix_fd_reader_new_take(fd);
	ret_plain->tar = ix_decompress_reader_new(ret_plain->file);
	return 0;
}

static int commit(struct ix_blob_writer *blob_take, struct ix_descriptor *layer, const struct ix_digest *digest, uint64_t size,
		  enum ix_compression kind, struct ix_err *err)
{
	int r = ix_blob_commit(blob_take, digest, err);

	if (r < 0)
		return r;
	layer->digest = *digest;
	layer->size = size;
	free(layer->media_type);
	layer->media_type = ix_strdup(ix_layer_media_type(kind));
	return 0;
}

/* The same tar, compressed otherwise: the diff id stays. */
static int recompress(const struct convert *self, struct ix_descriptor *layer, struct ix_err *err)
{
	ix_scoped(plain_release) struct plain plain = { 0 };
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *hashing = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *packed = NULL;
	struct ix_digest digest;
	uint64_t size;
	int r;

	if ((r = plain_open(self, layer, &plain, err)) < 0 || (r = ix_blob_begin(self->opts->store, &blob, err)) < 0)
		return r;
	hashing = ix_digest_writer_new(ix_blob_stream(blob), &digest, &size);
	packed = ix_compress_writer_new(hashing, self->spec->compression, self->spec->level, 0);
	if ((r = ix_copy(plain.tar, packed, self->opts->cancel, err)) < 0 || (r = ix_write_finish(packed, err)) < 0 ||
	    (r = ix_write_finish(hashing, err)) < 0)
		return r;
	return commit(ix_steal(&blob), layer, &digest, size, self->spec->compression, err);
}

static int copy_entries(struct plain *plain, struct ix_layer_writer *layer, const struct ix_cancel *cancel, struct ix_err *err)
{
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(plain->tar);
	const struct ix_tar_entry *entry;
	int r;

	while ((r = ix_tar_next(tar, &entry, err)) > 0)
		if ((r = ix_layer_add_tar(layer, entry, tar, cancel, err)) < 0)
			return r;
	return r;
}

/* Another tar: times after the epoch become it. */
static int clamp(const struct convert *self, struct ix_descriptor *layer, struct ix_digest *diff_id, struct ix_err *err)
{
	ix_scoped(plain_release) struct plain plain = { 0 };
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_layer_writer_freep) struct ix_layer_writer *writer = NULL;
	struct ix_layer_opts how = { self->spec->compression, self->spec->level, self->spec->epoch };
	struct ix_layer_info info;
	int r;

	if (!self->spec->has_compression && (r = ix_layer_compression(layer->media_type, &how.compression, err)) < 0)
		return r;
	if ((r = plain_open(self, layer, &plain, err)) < 0 || (r = ix_blob_begin(self->opts->store, &blob, err)) < 0)
		return r;
	writer = ix_layer_begin(ix_blob_stream(blob), &how);
	if ((r = copy_entries(&plain, writer, self->opts->cancel, err)) < 0 || (r = ix_layer_finish(writer, &info, err)) < 0)
		return r;
	*diff_id = info.diff_id;
	return commit(ix_steal(&blob), layer, &info.digest, info.size, how.compression, err);
}

static int convert_layer(const struct convert *self, struct ix_descriptor *layer, struct ix_digest *diff_id, bool ours, struct ix_err *err)
{
	enum ix_compression kind;
	int r = ix_layer_compression(layer->media_type, &kind, err);

	if (r < 0)
		return r;
	/* Layers of the base image are somebody else's, and shared as they are. */
	if (self->spec->rewrite_timestamp && ours)
		return clamp(self, layer, diff_id, err);
	if (self->spec->has_compression && (ours || self->spec->force) && (kind != self->spec->compression || self->spec->level != 0))
		return recompress(self, layer, err);
	return 0;
}

static void set_type(char **type, const char *oci, const char *docker)
{
	if (strcmp(*type, oci) == 0) {
		free(*type);
		*type = ix_strdup(docker);
	}
}

static int docker_types(struct ix_manifest *manifest, struct ix_err *err)
{
	free(manifest->media_type);
	manifest->media_type = ix_strdup(IX_MEDIA_D_MANIFEST);
	set_type(&manifest->config.media_type, IX_MEDIA_CONFIG, IX_MEDIA_D_CONFIG);
	for (size_t i = 0; i < manifest->nlayers; i++) {
		set_type(&manifest->layers[i].media_type, IX_MEDIA_LAYER_GZIP, IX_MEDIA_D_LAYER);
		if (strcmp(manifest->layers[i].media_type, IX_MEDIA_D_LAYER) != 0)
			return ix_err_set(err, IX_EARG, "docker's media types know only gzip layers: leave out oci-mediatypes=false");
	}
	return 0;
}

static int write_config(const struct convert *self, struct ix_manifest *manifest, const struct ix_image_config *config, struct ix_err *err)
{
	ix_auto_buf body = { 0 };

	ix_config_json(config, &body);
	manifest->config.size = body.len;
	return ix_blob_put(self->opts->store, body.data, body.len, &manifest->config.digest, err);
}

int ix_image_convert(const struct ix_image_opts *opts, const struct ix_digest *digest, const char *image, const struct ix_convert *spec,
		     struct ix_digest *ret_digest, struct ix_err *err)
{
	struct convert self = { opts, spec, image };
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_buf body = { 0 };
	int r = ix_cache_image(opts->cache, image, digest, &manifest, &config, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < manifest.nlayers; i++)
		if (convert_layer(&self, &manifest.layers[i], &config.diff_ids[i], i >= spec->base_layers, err) < 0)
			return ix_err_wrap(err, "layer %zu", i + 1);
	if (spec->docker_types && (r = docker_types(&manifest, err)) < 0)
		return r;
	if (spec->rewrite_timestamp && (r = write_config(&self, &manifest, &config, err)) < 0)
		return r;
	for (size_t i = 0; spec->annotations && i + 1 < spec->annotations->count; i += 2)
		ix_pairs_set(&manifest.annotations, spec->annotations->items[i], spec->annotations->items[i + 1]);
	ix_manifest_json(&manifest, &body);
	return ix_blob_put(opts->store, body.data, body.len, ret_digest, err);
}
