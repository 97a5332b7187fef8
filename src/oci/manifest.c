#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"
#include "json_int.h"
#include "oci/image.h"

void ix_descriptor_release(struct ix_descriptor *descriptor)
{
	free(descriptor->media_type);
	ix_strv_release(&descriptor->annotations);
	*descriptor = (struct ix_descriptor){ 0 };
}

void ix_descriptor_copy(const struct ix_descriptor *from, struct ix_descriptor *ret_descriptor)
{
	*ret_descriptor = *from;
	ret_descriptor->media_type = ix_strdup(from->media_type);
	ret_descriptor->annotations = (struct ix_strv){ 0 };
	ix_strv_copy(&ret_descriptor->annotations, &from->annotations);
}

const char *ix_annotation(const struct ix_strv *annotations, const char *key)
{
	for (size_t i = 0; i + 1 < annotations->count; i += 2)
		if (strcmp(annotations->items[i], key) == 0)
			return annotations->items[i + 1];
	return NULL;
}

void ix_pairs_set(struct ix_strv *pairs, const char *key, const char *value)
{
	for (size_t i = 0; i + 1 < pairs->count; i += 2) {
		if (strcmp(pairs->items[i], key) != 0)
			continue;
		free(pairs->items[i + 1]);
		pairs->items[i + 1] = ix_strdup(value);
		return;
	}
	ix_strv_add(pairs, key);
	ix_strv_add(pairs, value);
}

static const struct {
	const char *media_type;
	enum ix_compression kind;
} layer_types[] = {
	{ IX_MEDIA_LAYER, IX_COMPRESSION_NONE },
	{ IX_MEDIA_LAYER_GZIP, IX_COMPRESSION_GZIP },
	{ IX_MEDIA_LAYER_ZSTD, IX_COMPRESSION_ZSTD },
	{ IX_MEDIA_D_LAYER, IX_COMPRESSION_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar", IX_COMPRESSION_NONE },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", IX_COMPRESSION_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", IX_COMPRESSION_GZIP },
};

int ix_layer_compression(const char *media_type, enum ix_compression *ret_kind, struct ix_err *err)
{
	ix_auto_free char *shown = NULL;

	for (size_t i = 0; i < IX_ARRAY_LEN(layer_types); i++) {
		if (strcmp(media_type, layer_types[i].media_type) == 0) {
			*ret_kind = layer_types[i].kind;
			return 0;
		}
	}
	shown = ix_printable(media_type, 120);
	return ix_err_set(err, IX_ECORRUPT, "layer of type '%s' cannot be unpacked", shown);
}

const char *ix_layer_media_type(enum ix_compression kind)
{
	return layer_types[kind].media_type;
}

static int parse_platform(const json_t *json, struct ix_descriptor *descriptor, struct ix_err *err)
{
	ix_auto_free char *os = NULL;
	ix_auto_free char *arch = NULL;
	ix_auto_free char *variant = NULL;
	ix_auto_free char *text = NULL;
	const json_t *object;
	struct ix_err ignored;
	int r = json_take_object(json, "platform", &object, err);

	if (r < 0)
		return r;
	if (!object)
		return 0;
	if (json_take_word(object, "os", &os, err) < 0 || json_take_word(object, "architecture", &arch, err) < 0 ||
	    json_take_word(object, "variant", &variant, err) < 0)
		return ix_err_wrap(err, "platform");
	if (!os || !arch)
		return 0;
	text = ix_asprintf("%s/%s%s%s", os, arch, variant ? "/" : "", variant ? variant : "");
	/* A platform that cannot be read is one nobody asks for. */
	descriptor->has_platform = ix_platform_parse(text, &descriptor->platform, &ignored) == 0;
	return 0;
}

static int parse_descriptor(const json_t *json, struct ix_descriptor *descriptor, struct ix_err *err)
{
	int r;

	if (!json_is_object(json))
		return ix_err_set(err, IX_ECORRUPT, "it is missing or has the wrong type");
	if ((r = json_take_string(json, "mediaType", &descriptor->media_type, err)) < 0 ||
	    (r = json_need_digest(json, "digest", &descriptor->digest, err)) < 0 ||
	    (r = json_need_size(json, "size", &descriptor->size, err)) < 0 ||
	    (r = json_take_pairs(json, "annotations", &descriptor->annotations, err)) < 0)
		return r;
	if (!descriptor->media_type)
		descriptor->media_type = ix_strdup("");
	return parse_platform(json, descriptor, err);
}

static int parse_descriptors(const json_t *object, const char *key, struct ix_descriptor **ret_list, size_t *ret_count, struct ix_err *err)
{
	const json_t *array;
	size_t n;
	int r = json_take_array(object, key, &array, err);

	if (r < 0)
		return r;
	n = json_array_size(array);
	if (n > IX_LAYERS_MAX)
		return ix_err_set(err, IX_ELIMIT, "%s: %zu entries, more than %d", key, n, IX_LAYERS_MAX);
	*ret_list = ix_calloc(n, sizeof(**ret_list));
	for (size_t i = 0; i < n; i++) {
		(*ret_count)++;
		if (parse_descriptor(json_array_get(array, i), &(*ret_list)[i], err) < 0)
			return ix_err_wrap(err, "%s[%zu]", key, i);
	}
	return 0;
}

static json_t *descriptor_json(const struct ix_descriptor *descriptor)
{
	json_t *json = json_object();
	char digest[IX_DIGEST_TEXT];

	json_put_string(json, "mediaType", descriptor->media_type);
	json_put_string(json, "digest", ix_digest_text(&descriptor->digest, digest));
	json_object_set_new(json, "size", json_integer((json_int_t)descriptor->size));
	json_put_pairs(json, "annotations", &descriptor->annotations);
	if (descriptor->has_platform) {
		json_t *platform = json_object();

		json_put_string(platform, "os", descriptor->platform.os);
		json_put_string(platform, "architecture", descriptor->platform.arch);
		json_put_string(platform, "variant", descriptor->platform.variant);
		json_object_set_new(json, "platform", platform);
	}
	return json;
}

static int parse_config(const json_t *json, struct ix_descriptor *config, struct ix_err *err)
{
	return parse_descriptor(json_object_get(json, "config"), config, err) < 0 ? ix_err_wrap(err, "config") : 0;
}

int ix_manifest_parse(const void *bytes, size_t len, struct ix_manifest *ret_manifest, struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	auto_json *json = NULL;
	int r = json_load_object(bytes, len, "manifest", &json, err);

	if (r < 0)
		return r;
	/* null: what Go makes of no layers at all */
	if (!json_object_get(json, "layers"))
		return ix_err_set(err, IX_ECORRUPT, "manifest: no layers");
	if (json_take_string(json, "mediaType", &manifest.media_type, err) < 0 ||
	    json_take_string(json, "artifactType", &manifest.artifact_type, err) < 0 || parse_config(json, &manifest.config, err) < 0 ||
	    parse_descriptors(json, "layers", &manifest.layers, &manifest.nlayers, err) < 0 ||
	    json_take_pairs(json, "annotations", &manifest.annotations, err) < 0)
		return ix_err_wrap(err, "manifest");
	if (json_object_get(json, "subject") && !json_is_null(json_object_get(json, "subject")) &&
	    parse_descriptor(json_object_get(json, "subject"), &manifest.subject, err) < 0)
		return ix_err_wrap(err, "manifest: subject");
	if (!manifest.media_type)
		manifest.media_type = ix_strdup(IX_MEDIA_MANIFEST);
	*ret_manifest = manifest;
	manifest = (struct ix_manifest){ 0 };
	return 0;
}

void ix_manifest_release(struct ix_manifest *manifest)
{
	free(manifest->media_type);
	free(manifest->artifact_type);
	ix_descriptor_release(&manifest->config);
	for (size_t i = 0; i < manifest->nlayers; i++)
		ix_descriptor_release(&manifest->layers[i]);
	free(manifest->layers);
	ix_descriptor_release(&manifest->subject);
	ix_strv_release(&manifest->annotations);
	*manifest = (struct ix_manifest){ 0 };
}

struct ix_descriptor *ix_manifest_add_layer(struct ix_manifest *manifest)
{
	manifest->layers = ix_realloc_array(manifest->layers, manifest->nlayers + 1, sizeof(*manifest->layers));
	manifest->layers[manifest->nlayers] = (struct ix_descriptor){ 0 };
	return &manifest->layers[manifest->nlayers++];
}

void ix_manifest_json(const struct ix_manifest *manifest, struct ix_buf *buf)
{
	json_t *json = json_object();
	json_t *layers = json_array();

	json_object_set_new(json, "schemaVersion", json_integer(2));
	json_put_string(json, "mediaType", manifest->media_type);
	json_put_string(json, "artifactType", manifest->artifact_type);
	json_object_set_new(json, "config", descriptor_json(&manifest->config));
	for (size_t i = 0; i < manifest->nlayers; i++)
		json_array_append_new(layers, descriptor_json(&manifest->layers[i]));
	json_object_set_new(json, "layers", layers);
	if (manifest->subject.media_type)
		json_object_set_new(json, "subject", descriptor_json(&manifest->subject));
	json_put_pairs(json, "annotations", &manifest->annotations);
	json_write_take(json, buf);
}

int ix_index_parse(const void *bytes, size_t len, struct ix_index *ret_index, struct ix_err *err)
{
	ix_auto_index index = { 0 };
	auto_json *json = NULL;
	int r = json_load_object(bytes, len, "index", &json, err);

	if (r < 0)
		return r;
	if (parse_descriptors(json, "manifests", &index.manifests, &index.nmanifests, err) < 0 ||
	    json_take_pairs(json, "annotations", &index.annotations, err) < 0)
		return ix_err_wrap(err, "index");
	*ret_index = index;
	index = (struct ix_index){ 0 };
	return 0;
}

void ix_index_release(struct ix_index *index)
{
	for (size_t i = 0; i < index->nmanifests; i++)
		ix_descriptor_release(&index->manifests[i]);
	free(index->manifests);
	ix_strv_release(&index->annotations);
	*index = (struct ix_index){ 0 };
}

struct ix_descriptor *ix_index_add(struct ix_index *index)
{
	index->manifests = ix_realloc_array(index->manifests, index->nmanifests + 1, sizeof(*index->manifests));
	index->manifests[index->nmanifests] = (struct ix_descriptor){ 0 };
	return &index->manifests[index->nmanifests++];
}

void ix_index_json(const struct ix_index *index, struct ix_buf *buf)
{
	json_t *json = json_object();
	json_t *manifests = json_array();

	json_object_set_new(json, "schemaVersion", json_integer(2));
	json_put_string(json, "mediaType", IX_MEDIA_INDEX);
	for (size_t i = 0; i < index->nmanifests; i++)
		json_array_append_new(manifests, descriptor_json(&index->manifests[i]));
	json_object_set_new(json, "manifests", manifests);
	json_put_pairs(json, "annotations", &index->annotations);
	json_write_take(json, buf);
}

const struct ix_descriptor *ix_index_select(const struct ix_index *index, const struct ix_platform *platform)
{
	const struct ix_descriptor *near = NULL, *only = NULL;
	size_t images = 0;

	for (size_t i = 0; i < index->nmanifests; i++) {
		const struct ix_descriptor *entry = &index->manifests[i];

		if (entry->has_platform && strcmp(entry->platform.os, "unknown") == 0)
			continue;
		images++;
		only = entry;
		if (!entry->has_platform)
			continue;
		if (ix_platform_eq(&entry->platform, platform))
			return entry;
		if (!near && strcmp(entry->platform.os, platform->os) == 0 && strcmp(entry->platform.arch, platform->arch) == 0)
			near = entry;
	}
	if (near)
		return near;
	return images == 1 && !only->has_platform ? only : NULL;
}

int ix_is_index(const char *media_type, const void *bytes, size_t len, bool *ret_is_index, struct ix_err *err)
{
	ix_auto_free char *shown = NULL;
	auto_json *json = NULL;
	const char *type = media_type;
	int r = json_load_object(bytes, len, "manifest", &json, err);

	if (r < 0)
		return r;
	if (json_string_value(json_object_get(json, "mediaType")))
		type = json_string_value(json_object_get(json, "mediaType"));
	if (json_integer_value(json_object_get(json, "schemaVersion")) == 1)
		return ix_err_set(err, IX_EARG, "it is a schema 1 manifest, which no registry should serve any more: push the image again");
	*ret_is_index = json_object_get(json, "manifests") != NULL;
	if (*ret_is_index || json_object_get(json, "layers") || json_is_object(json_object_get(json, "config")))
		return 0;
	shown = ix_printable(type, 120);
	return ix_err_set(err, IX_ECORRUPT, "it is neither an image manifest nor an index (media type '%s')", shown);
}
