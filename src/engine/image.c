#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine_int.h"

void image_release(struct image *image)
{
	ix_config_release(&image->config);
	for (size_t i = 0; i < image->nlayers; i++) {
		ix_descriptor_release(&image->layers[i].blob);
		free(image->layers[i].image);
	}
	free(image->layers);
	*image = (struct image){ 0 };
}

struct layer_ref *image_add_layer(struct image *image)
{
	image->layers = ix_realloc_array(image->layers, image->nlayers + 1, sizeof(*image->layers));
	image->layers[image->nlayers] = (struct layer_ref){ 0 };
	return &image->layers[image->nlayers++];
}

void image_copy(const struct image *from, struct image *ret_image)
{
	*ret_image = (struct image){ 0 };
	ix_config_copy(&from->config, &ret_image->config);
	for (size_t i = 0; i < from->nlayers; i++) {
		struct layer_ref *layer = image_add_layer(ret_image);

		ix_descriptor_copy(&from->layers[i].blob, &layer->blob);
		layer->diff_id = from->layers[i].diff_id;
		layer->image = ix_strdup(from->layers[i].image);
	}
}

void image_history(struct image *image, const char *now, const char *created_by, bool empty_layer)
{
	struct ix_history *entry = ix_config_add_history(&image->config);

	entry->created = ix_strdup(now);
	entry->created_by = ix_strdup(created_by);
	entry->comment = ix_strdup("buildkit.dockerfile.v0");
	entry->empty_layer = empty_layer;
}

int image_load(const struct ix_engine_opts *opts, const char *image, const struct ix_digest *digest, struct image *ret_image,
	       struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	auto_image loaded = { 0 };

	if (ix_cache_image(opts->cache, image, digest, &manifest, &loaded.config, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < manifest.nlayers; i++) {
		struct layer_ref *layer = image_add_layer(&loaded);
		enum ix_compression kind;

		if (ix_layer_compression(manifest.layers[i].media_type, &kind, err) < 0)
			return ix_err_wrap(err, "image %s", image ? image : "in the store");
		ix_descriptor_copy(&manifest.layers[i], &layer->blob);
		layer->diff_id = loaded.config.diff_ids[i];
		layer->image = ix_strdup(image);
	}
	*ret_image = loaded;
	loaded = (struct image){ 0 };
	return 0;
}

int image_store(const struct ix_engine_opts *opts, const struct image *image, const char *stage_key, struct ix_digest *ret_manifest,
		uint64_t *ret_size, struct ix_err *err)
{
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST) };
	ix_auto_buf config = { 0 }, body = { 0 };

	ix_config_json(&image->config, &config);
	manifest.config.media_type = ix_strdup(IX_MEDIA_CONFIG);
	manifest.config.size = config.len;
	if (ix_blob_put(opts->store, config.data, config.len, &manifest.config.digest, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < image->nlayers; i++) {
		enum ix_compression kind;

		/* A docker media type inside an OCI manifest would be refused by some registries. */
		if (ix_layer_compression(image->layers[i].blob.media_type, &kind, err) < 0)
			return -(int)err->code;
		*ix_manifest_add_layer(&manifest) = (struct ix_descriptor){
			.media_type = ix_strdup(ix_layer_media_type(kind)),
			.digest = image->layers[i].blob.digest,
			.size = image->layers[i].blob.size,
		};
	}
	if (stage_key)
		ix_pairs_set(&manifest.annotations, "dev.ix.key", stage_key);
	ix_manifest_json(&manifest, &body);
	if (ix_blob_put(opts->store, body.data, body.len, ret_manifest, err) < 0)
		return -(int)err->code;
	*ret_size = body.len;
	return 0;
}
