#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "image/image.h"
#include "io/digest.h"
#include "oci/image.h"
#include "store/store.h"

void ix_image_release(struct ix_image *image)
{
	ix_config_release(&image->config);
	for (size_t i = 0; i < image->nlayers; i++) {
		ix_descriptor_release(&image->layers[i].blob);
		free(image->layers[i].image);
	}
	free(image->layers);
	*image = (struct ix_image){ 0 };
}

struct ix_layer_ref *ix_image_add_layer(struct ix_image *image)
{
	image->layers = ix_realloc_array(image->layers, image->nlayers + 1, sizeof(*image->layers));
	image->layers[image->nlayers] = (struct ix_layer_ref){ 0 };
	return &image->layers[image->nlayers++];
}

#define CONTENT_ANNOTATION "dev.ix.content"
#define KEY_ANNOTATION     "dev.ix.key"
#define SECOND_ANNOTATION  "dev.ix.second"

/* A layer that ix made says what it holds; of any other the diff id does. */
static void layer_content(const struct ix_descriptor *layer, const struct ix_digest *diff_id, struct ix_digest *ret_content)
{
	const char *text = ix_annotation(&layer->annotations, CONTENT_ANNOTATION);
	struct ix_err ignored;

	if (!text || ix_digest_parse(text, ret_content, &ignored) < 0)
		*ret_content = *diff_id;
}

/* What steps see of a config. */
static void sight_output(const struct ix_image_config *config, struct ix_hash *hash, struct ix_digest *ret_sight)
{
	enum { ENV = 1, USER, WORKDIR, SHELL };

	for (size_t i = 0; i < config->env.count; i++)
		ix_hash_text(hash, ENV, config->env.items[i]);
	ix_hash_text(hash, USER, config->user);
	ix_hash_text(hash, WORKDIR, config->working_dir);
	for (size_t i = 0; i < config->shell.count; i++)
		ix_hash_text(hash, SHELL, config->shell.items[i]);
	ix_hash_final(hash, ret_sight);
}

void ix_image_output(const struct ix_image *image, struct ix_output *ret_output)
{
	enum { FORMAT = 1, LAYER, CONFIG, FILES };
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	struct ix_image_config config = image->config;
	ix_auto_buf json = { 0 };

	/* A shallow copy without what does not count: when it was made, how it came about, and the layers, which count by their contents. */
	config.created = NULL;
	config.history = NULL;
	config.nhistory = 0;
	config.diff_ids = NULL;
	config.ndiff_ids = 0;
	ix_config_json(&config, &json);
	ix_hash_u64(hash, FORMAT);
	ix_hash_u64(hash, 2);
	for (size_t i = 0; i < image->nlayers; i++)
		ix_hash_digest(hash, LAYER, &image->layers[i].content);
	ix_hash_final(hash, &ret_output->files);
	ix_hash_field(hash, CONFIG, json.data, json.len);
	ix_hash_final(hash, &ret_output->config);
	sight_output(&image->config, hash, &ret_output->sight);
	ix_hash_digest(hash, FILES, &ret_output->files);
	ix_hash_digest(hash, CONFIG, &ret_output->config);
	ix_hash_final(hash, &ret_output->id);
}

/* Of a blob that is here already nobody would notice, and the wrong size go on into other images. */
static int check_size(const struct ix_image_opts *opts, const char *image, const struct ix_descriptor *layer, struct ix_err *err)
{
	if (!ix_blob_has(opts->store, &layer->digest))
		return 0;
	return ix_cache_need_blob(opts->cache, image, layer, NULL, err);
}

int ix_image_load(const struct ix_image_opts *opts, const char *image, const struct ix_digest *digest, struct ix_image *ret_image,
		  struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	ix_auto_image loaded = { 0 };
	int r = ix_cache_image(opts->cache, image, digest, &manifest, &loaded.config, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < manifest.nlayers; i++) {
		struct ix_layer_ref *layer = ix_image_add_layer(&loaded);
		enum ix_compression kind;

		if (ix_layer_compression(manifest.layers[i].media_type, &kind, err) < 0)
			return ix_err_wrap(err, "image %s", image ? image : "in the store");
		r = check_size(opts, image, &manifest.layers[i], err);
		if (r < 0)
			return r;
		ix_descriptor_copy(&manifest.layers[i], &layer->blob);
		layer->diff_id = loaded.config.diff_ids[i];
		layer_content(&manifest.layers[i], &layer->diff_id, &layer->content);
		layer->image = ix_strdup(image);
	}
	*ret_image = loaded;
	loaded = (struct ix_image){ 0 };
	return 0;
}

int ix_image_store(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage_key, const char *second,
		   struct ix_digest *ret_manifest, uint64_t *ret_size, struct ix_err *err)
{
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST) };
	ix_auto_buf config = { 0 }, body = { 0 };

	ix_config_json(&image->config, &config);
	manifest.config.media_type = ix_strdup(IX_MEDIA_CONFIG);
	manifest.config.size = config.len;
	int r = ix_blob_put(opts->store, config.data, config.len, &manifest.config.digest, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < image->nlayers; i++) {
		const struct ix_layer_ref *from = &image->layers[i];
		struct ix_descriptor *layer;
		char text[IX_DIGEST_TEXT];
		enum ix_compression kind;

		/* A docker media type inside an OCI manifest would be refused by some registries. */
		r = ix_layer_compression(from->blob.media_type, &kind, err);
		if (r < 0)
			return r;
		layer = ix_manifest_add_layer(&manifest);
		*layer = (struct ix_descriptor){
			.media_type = ix_strdup(ix_layer_media_type(kind)),
			.digest = from->blob.digest,
			.size = from->blob.size,
		};
		if (!ix_digest_eq(&from->content, &from->diff_id))
			ix_pairs_set(&layer->annotations, CONTENT_ANNOTATION, ix_digest_text(&from->content, text));
	}
	if (stage_key)
		ix_pairs_set(&manifest.annotations, KEY_ANNOTATION, stage_key);
	if (second)
		ix_pairs_set(&manifest.annotations, SECOND_ANNOTATION, second);
	ix_manifest_json(&manifest, &body);
	*ret_size = body.len;
	return ix_blob_put(opts->store, body.data, body.len, ret_manifest, err);
}

static void annotated_key(const struct ix_manifest *manifest, const char *name, struct ix_digest *ret_key)
{
	const char *hex = ix_annotation(&manifest->annotations, name);

	if (!hex || !ix_unhex(hex, ret_key->bytes, sizeof(ret_key->bytes)))
		*ret_key = (struct ix_digest){ 0 };
}

int ix_image_made_as(const struct ix_image_opts *opts, const struct ix_digest *digest, struct ix_digest *ret_key,
		     struct ix_digest *ret_second, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	int r;

	if ((r = ix_blob_read(opts->store, digest, &body, err)) < 0 || (r = ix_manifest_parse(body.data, body.len, &manifest, err)) < 0)
		return r;
	annotated_key(&manifest, KEY_ANNOTATION, ret_key);
	annotated_key(&manifest, SECOND_ANNOTATION, ret_second);
	return 0;
}

int ix_image_name(const struct ix_image_opts *opts, const struct ix_digest *manifest, const char *name, struct ix_err *err)
{
	uint64_t size;
	int fd, r = ix_blob_open(opts->store, manifest, &fd, &size, err);

	if (r < 0)
		return r;
	close(fd);
	return ix_store_tag(opts->store, name, manifest, IX_MEDIA_MANIFEST, size, err);
}
