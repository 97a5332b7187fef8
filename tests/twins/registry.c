/*
 * The registry client's twin in memory: the door of registry/registry.h, and behind it one registry that answers for every host. Blobs and manifests are
 * kept by repository, tags point at manifests, and a manifest is taken only when its blobs are there.
 */
#include "registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "oci/image.h"
#include "twins.h"

struct thing {
	struct ix_buf bytes;
	char media_type[128];
	bool gone;
};

struct ix_registry {
	struct ix_map things; /* "host/path@sha256:..." -> struct thing */
	struct ix_map tags;   /* "host/path:tag" -> struct ix_digest */
	enum ix_errc failure;
	unsigned trips;
};

int ix_registry_new(const struct ix_registry_opts *opts, struct ix_registry **ret_registry, struct ix_err *err)
{
	(void)opts;
	(void)err;
	*ret_registry = ix_calloc(1, sizeof(**ret_registry));
	return 0;
}

void ix_registry_free(struct ix_registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->things.count; i++) {
		struct thing *thing = registry->things.entries[i].value;

		ix_buf_release(&thing->bytes);
		free(thing);
	}
	for (size_t i = 0; i < registry->tags.count; i++)
		free(registry->tags.entries[i].value);
	ix_map_release(&registry->things);
	ix_map_release(&registry->tags);
	free(registry);
}

unsigned twin_registry_trips(const struct ix_registry *registry)
{
	return registry->trips;
}

void twin_registry_fail(struct ix_registry *registry, enum ix_errc code)
{
	registry->failure = code;
}

void twin_registry_forget(struct ix_registry *registry, const char *repository, const struct ix_digest *digest)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_free char *name = ix_asprintf("%s@%s", repository, ix_digest_text(digest, text));
	struct thing *thing = ix_map_get(&registry->things, name);

	thing->gone = true;
}

static int trip(struct ix_registry *registry, struct ix_err *err)
{
	registry->trips++;
	return registry->failure ? ix_err_set(err, registry->failure, "the registry fails as it was told") : 0;
}

static struct thing *thing_at(const struct ix_registry *registry, const struct ix_ref *ref, const char *digest)
{
	ix_auto_free char *name = ix_asprintf("%s/%s@%s", ref->host, ref->repository, digest);
	struct thing *thing = ix_map_get(&registry->things, name);

	return thing && !thing->gone ? thing : NULL;
}

static struct thing *blob_at(const struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest)
{
	char text[IX_DIGEST_TEXT];

	return thing_at(registry, ref, ix_digest_text(digest, text));
}

static struct thing *keep(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, const void *bytes,
			  size_t len)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_free char *name = ix_asprintf("%s/%s@%s", ref->host, ref->repository, ix_digest_text(digest, text));
	struct thing *thing = ix_map_get(&registry->things, name);

	if (!thing) {
		thing = ix_calloc(1, sizeof(*thing));
		ix_map_set(&registry->things, name, thing);
	}
	ix_buf_reset(&thing->bytes);
	ix_buf_put(&thing->bytes, bytes, len);
	thing->gone = false;
	return thing;
}

static void point(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest)
{
	ix_auto_free char *name = ix_asprintf("%s/%s:%s", ref->host, ref->repository, ref->tag ? ref->tag : "");
	struct ix_digest *before = ix_map_get(&registry->tags, name), *copy = ix_malloc(sizeof(*copy));

	*copy = *digest;
	ix_map_set(&registry->tags, name, copy);
	free(before);
}

struct ix_digest twin_registry_image(struct ix_registry *registry, const char *name, const char *config)
{
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST) };
	ix_auto_ref ref = { 0 };
	struct ix_digest digest;
	ix_auto_buf json = { 0 };
	struct thing *thing;
	struct ix_err err;

	if (ix_ref_parse(name, &ref, &err) < 0)
		ix_bug("%s", err.msg);
	manifest.config = (struct ix_descriptor){ .media_type = ix_strdup(IX_MEDIA_CONFIG), .size = strlen(config) };
	ix_digest_of(config, strlen(config), &manifest.config.digest);
	keep(registry, &ref, &manifest.config.digest, config, strlen(config));
	ix_manifest_json(&manifest, &json);
	ix_digest_of(json.data, json.len, &digest);
	thing = keep(registry, &ref, &digest, json.data, json.len);
	snprintf(thing->media_type, sizeof(thing->media_type), "%s", IX_MEDIA_MANIFEST);
	point(registry, &ref, &digest);
	return digest;
}

/* What the reference stands for; NULL: nothing. */
static struct thing *resolve(const struct ix_registry *registry, const struct ix_ref *ref, struct ix_digest *ret_digest)
{
	ix_auto_free char *name = ix_asprintf("%s/%s:%s", ref->host, ref->repository, ref->tag ? ref->tag : "");
	const struct ix_digest *digest;
	struct ix_err ignored;

	if (ref->digest)
		return ix_digest_parse(ref->digest, ret_digest, &ignored) < 0 ? NULL : thing_at(registry, ref, ref->digest);
	digest = ix_map_get(&registry->tags, name);
	if (!digest)
		return NULL;
	*ret_digest = *digest;
	return blob_at(registry, ref, digest);
}

static int not_found(const struct ix_ref *ref, struct ix_err *err)
{
	return ix_err_set(err, IX_ENOTFOUND, "HTTP 404 from %s", ref->host);
}

/* --- the door --- */

void ix_registry_head_many(struct ix_registry *registry, const struct ix_ref *const *refs, size_t n, struct ix_manifest_head *heads)
{
	struct ix_err err;
	int r = trip(registry, &err);

	for (size_t i = 0; i < n; i++) {
		const struct thing *thing;

		heads[i] = (struct ix_manifest_head){ .result = r, .err = err };
		if (r < 0)
			continue;
		thing = resolve(registry, refs[i], &heads[i].digest);
		if (thing)
			snprintf(heads[i].media_type, sizeof(heads[i].media_type), "%s", thing->media_type);
		else
			heads[i].result = not_found(refs[i], &heads[i].err);
	}
}

int ix_registry_get_manifest(struct ix_registry *registry, const struct ix_ref *ref, struct ix_buf *body, char media_type[static 128],
			     struct ix_digest *ret_digest, struct ix_err *err)
{
	const struct thing *thing;
	struct ix_digest digest;
	int r = trip(registry, err);

	if (r < 0)
		return r;
	thing = resolve(registry, ref, &digest);
	if (!thing)
		return not_found(ref, err);
	memcpy(media_type, thing->media_type, sizeof(thing->media_type));
	*ret_digest = digest;
	return ix_buf_append(body, ix_buf_str(&thing->bytes), thing->bytes.len, err);
}

int ix_registry_get_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size,
			 struct ix_writer *writer, ix_transfer_fn *progress, void *data, struct ix_err *err)
{
	const struct thing *thing;
	int r = trip(registry, err);

	if (r < 0)
		return r;
	thing = blob_at(registry, ref, digest);
	if (!thing)
		return not_found(ref, err);
	if (progress)
		progress(data, thing->bytes.len, size);
	r = ix_write(writer, ix_buf_str(&thing->bytes), thing->bytes.len, err);
	return r < 0 ? r : ix_write_finish(writer, err);
}

int ix_registry_put_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size, int fd,
			 const char *mount_from, bool again, ix_transfer_fn *progress, void *data, enum ix_push_result *ret_result,
			 struct ix_err *err)
{
	ix_auto_free char *bytes = ix_malloc(size);
	int r = again ? -IX_ENOTFOUND : ix_registry_mount_blob(registry, ref, digest, mount_from, ret_result, err);

	if (r != -IX_ENOTFOUND)
		return r;
	if (pread(fd, bytes, size, 0) != (ssize_t)size)
		return ix_err_sys(err, "read the blob");
	r = trip(registry, err);
	if (r < 0)
		return r;
	if (progress)
		progress(data, size, size);
	keep(registry, ref, digest, bytes, size);
	*ret_result = IX_PUSH_UPLOADED;
	return 0;
}

int ix_registry_mount_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, const char *mount_from,
			   enum ix_push_result *ret_result, struct ix_err *err)
{
	const struct ix_ref sibling = { .host = ref->host, .repository = (char *)(uintptr_t)mount_from };
	const struct thing *thing;
	int r = trip(registry, err);

	if (r < 0)
		return r;
	*ret_result = IX_PUSH_EXISTED;
	if (blob_at(registry, ref, digest))
		return 0;
	thing = mount_from ? blob_at(registry, &sibling, digest) : NULL;
	if (!thing)
		return not_found(ref, err);
	keep(registry, ref, digest, ix_buf_str(&thing->bytes), thing->bytes.len);
	*ret_result = IX_PUSH_MOUNTED;
	return 0;
}

int ix_registry_put_manifest(struct ix_registry *registry, const struct ix_ref *ref, const void *bytes, size_t len, const char *media_type,
			     struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	struct ix_digest digest;
	struct thing *thing;
	int r = trip(registry, err);

	if (r == 0)
		r = ix_manifest_parse(bytes, len, &manifest, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i <= manifest.nlayers; i++)
		if (!blob_at(registry, ref, i < manifest.nlayers ? &manifest.layers[i].digest : &manifest.config.digest))
			return ix_err_set(err, IX_ENOTFOUND, "MANIFEST_BLOB_UNKNOWN from %s", ref->host);
	ix_digest_of(bytes, len, &digest);
	thing = keep(registry, ref, &digest, bytes, len);
	snprintf(thing->media_type, sizeof(thing->media_type), "%s", media_type);
	point(registry, ref, &digest);
	return 0;
}
