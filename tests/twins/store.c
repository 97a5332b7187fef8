/*
 * The store's twin in memory: the door of store/store.h without a disk. A test that names it gets it in the place of the room, by the linker; it
 * has the part of the door that rooms above use without unpacked layers. test_store_door.c holds it and the room against each other.
 */
#include "store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "oci/image.h"
#include "twins.h"

struct blob {
	struct ix_buf bytes;
	bool gone, lost, checked;
	struct ix_strv places; /* the latest last */
};

struct ix_store {
	char *path;
	pthread_mutex_t lock;
	struct ix_map blobs;               /* hex -> struct blob */
	struct ix_map steps, stages;       /* hex of the key -> struct ix_step_result, struct ix_digest */
	struct ix_map facts, names, locks; /* -> struct ix_buf; struct ix_name; descriptor + 1 of a file in memory */
};

static int not_found(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_ENOTFOUND, "no such %s", what);
}

int ix_store_open(const char *path, const struct ix_store_listener *listener, struct ix_store **ret_store, struct ix_err *err)
{
	struct ix_store *store = ix_calloc(1, sizeof(*store));

	(void)listener;
	(void)err;
	store->path = ix_strdup(path);
	pthread_mutex_init(&store->lock, NULL);
	*ret_store = store;
	return 0;
}

static void free_values(struct ix_map *map, void (*release)(void *value))
{
	for (size_t i = 0; i < map->count; i++) {
		if (release)
			release(map->entries[i].value);
		free(map->entries[i].value);
	}
	ix_map_release(map);
}

static void release_blob(void *value)
{
	struct blob *blob = value;

	ix_buf_release(&blob->bytes);
	ix_strv_release(&blob->places);
}

static void release_buf(void *value)
{
	ix_buf_release(value);
}

static void release_name(void *value)
{
	struct ix_name *name = value;

	free(name->name);
	free(name->media_type);
}

static void release_lock(void *value)
{
	close(*(int *)value);
}

void ix_store_close(struct ix_store *store)
{
	if (!store)
		return;
	free_values(&store->blobs, release_blob);
	free_values(&store->steps, NULL);
	free_values(&store->stages, NULL);
	free_values(&store->facts, release_buf);
	free_values(&store->names, release_name);
	free_values(&store->locks, release_lock);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

const char *ix_store_path(const struct ix_store *store)
{
	return store->path;
}

char *ix_store_sub(const struct ix_store *store, const char *name)
{
	return ix_asprintf("%s/%s", store->path, name);
}

int ix_store_tmpdir(struct ix_store *store, char **ret_path, struct ix_err *err)
{
	(void)ret_path;
	return ix_err_set(err, IX_EFAIL, "%s is in memory: it has no directories", store->path);
}

/* --- blobs --- */

/* The row of the digest, made when make is true. Call it with the lock held. */
static struct blob *blob_of(struct ix_store *store, const struct ix_digest *digest, bool make)
{
	char hex[IX_DIGEST_HEX + 1];
	struct blob *blob = ix_map_get(&store->blobs, ix_digest_hex(digest, hex));

	if (!blob && make) {
		blob = ix_calloc(1, sizeof(*blob));
		blob->gone = true;
		ix_map_set(&store->blobs, hex, blob);
	}
	return blob;
}

static struct blob *find(struct ix_store *store, const struct ix_digest *digest)
{
	struct blob *blob;

	pthread_mutex_lock(&store->lock);
	blob = blob_of(store, digest, false);
	pthread_mutex_unlock(&store->lock);
	return blob && !blob->gone ? blob : NULL;
}

struct ix_blob_writer {
	struct ix_store *store;
	struct ix_buf bytes;
	struct ix_writer *stream;
};

int ix_blob_begin(struct ix_store *store, struct ix_blob_writer **ret_blob, struct ix_err *err)
{
	struct ix_blob_writer *writer = ix_calloc(1, sizeof(*writer));

	(void)err;
	writer->store = store;
	writer->stream = ix_buf_writer_new(&writer->bytes);
	*ret_blob = writer;
	return 0;
}

struct ix_writer *ix_blob_stream(struct ix_blob_writer *blob)
{
	return blob->stream;
}

void ix_blob_abort(struct ix_blob_writer *blob)
{
	if (!blob)
		return;
	ix_writer_free(blob->stream);
	ix_buf_release(&blob->bytes);
	free(blob);
}

int ix_blob_commit(struct ix_blob_writer *writer, const struct ix_digest *digest, struct ix_err *err)
{
	struct blob *blob;

	(void)err;
	pthread_mutex_lock(&writer->store->lock);
	blob = blob_of(writer->store, digest, true);
	ix_buf_release(&blob->bytes);
	blob->bytes = writer->bytes;
	writer->bytes = (struct ix_buf){ 0 };
	blob->gone = false;
	blob->checked = true;
	pthread_mutex_unlock(&writer->store->lock);
	ix_blob_abort(writer);
	return 0;
}

int ix_blob_put(struct ix_store *store, const void *bytes, size_t len, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct ix_blob_writer *writer;
	int r = ix_blob_begin(store, &writer, err);

	if (r < 0)
		return r;
	ix_digest_of(bytes, len, ret_digest);
	ix_buf_put(&writer->bytes, bytes, len);
	return ix_blob_commit(writer, ret_digest, err);
}

bool ix_blob_has(struct ix_store *store, const struct ix_digest *digest)
{
	return find(store, digest) != NULL;
}

int ix_blob_open(struct ix_store *store, const struct ix_digest *digest, int *ret_fd, uint64_t *ret_size, struct ix_err *err)
{
	const struct blob *blob = find(store, digest);
	int fd = blob ? memfd_create("blob", MFD_CLOEXEC) : -1;

	if (!blob)
		return not_found(err, "blob");
	if (fd < 0 || ix_write_all(fd, blob->bytes.data, blob->bytes.len, err) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		ix_bug("no files in memory");
	*ret_fd = fd;
	if (ret_size)
		*ret_size = blob->bytes.len;
	return 0;
}

static int check(struct blob *blob, const struct ix_digest *digest, struct ix_err *err)
{
	struct ix_digest got;

	if (!blob)
		return not_found(err, "blob");
	ix_digest_of(ix_buf_str(&blob->bytes), blob->bytes.len, &got);
	blob->checked = ix_digest_eq(&got, digest);
	if (blob->checked)
		return 0;
	blob->gone = true;
	return ix_err_set(err, IX_ECORRUPT, "the blob is damaged");
}

int ix_blob_check(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err)
{
	return check(find(store, digest), digest, err);
}

bool ix_blob_is_checked(struct ix_store *store, const struct ix_digest *digest)
{
	const struct blob *blob = find(store, digest);

	return blob && blob->checked;
}

int ix_blob_read(struct ix_store *store, const struct ix_digest *digest, struct ix_buf *buf, struct ix_err *err)
{
	struct blob *blob = find(store, digest);
	int r = check(blob, digest, err);

	return r < 0 ? r : ix_buf_append(buf, ix_buf_str(&blob->bytes), blob->bytes.len, err);
}

int ix_blob_add_place(struct ix_store *store, const struct ix_digest *digest, const char *repository, struct ix_err *err)
{
	struct blob *blob;

	(void)err;
	pthread_mutex_lock(&store->lock);
	blob = blob_of(store, digest, true);
	if (!ix_strv_has(&blob->places, repository))
		ix_strv_add(&blob->places, repository);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int ix_blob_places(struct ix_store *store, const struct ix_digest *digest, struct ix_strv *places, struct ix_err *err)
{
	const struct blob *blob;

	(void)err;
	pthread_mutex_lock(&store->lock);
	blob = blob_of(store, digest, false);
	for (size_t i = blob ? blob->places.count : 0; i-- > 0;)
		ix_strv_add(places, blob->places.items[i]);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int ix_blob_is_made(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err)
{
	(void)err;
	for (size_t i = 0; i < store->steps.count; i++)
		if (ix_digest_eq(&((const struct ix_step_result *)store->steps.entries[i].value)->digest, digest))
			return 1;
	return 0;
}

bool ix_blob_note_lost(struct ix_store *store, const struct ix_digest *digest)
{
	struct blob *blob;
	bool known;

	pthread_mutex_lock(&store->lock);
	blob = blob_of(store, digest, true);
	known = blob->lost;
	blob->lost = true;
	pthread_mutex_unlock(&store->lock);
	return !known;
}

static struct ix_descriptor put(struct ix_store *store, const char *media_type, const char *text)
{
	struct ix_descriptor blob = { .media_type = ix_strdup(media_type), .size = strlen(text) };
	struct ix_err ignored;

	(void)ix_blob_put(store, text, strlen(text), &blob.digest, &ignored);
	return blob;
}

struct ix_digest twin_store_image(struct ix_store *store, const char *layer, const struct ix_digest *key)
{
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST) };
	ix_auto_config config = { 0 };
	struct ix_descriptor *blob;
	char hex[IX_DIGEST_HEX + 1];
	struct ix_digest digest;
	ix_auto_buf json = { 0 };
	struct ix_err ignored;

	blob = ix_manifest_add_layer(&manifest);
	*blob = put(store, IX_MEDIA_LAYER_GZIP, layer);
	ix_config_add_diff_id(&config, &blob->digest);
	ix_config_json(&config, &json);
	manifest.config = put(store, IX_MEDIA_CONFIG, ix_buf_str(&json));
	ix_buf_reset(&json);
	ix_pairs_set(&manifest.annotations, "dev.ix.key", ix_digest_hex(key, hex));
	ix_manifest_json(&manifest, &json);
	(void)ix_blob_put(store, json.data, json.len, &digest, &ignored);
	(void)ix_store_set_stage(store, key, &digest, &ignored);
	return digest;
}

void twin_store_forget(struct ix_store *store, const struct ix_digest *digest)
{
	pthread_mutex_lock(&store->lock);
	blob_of(store, digest, true)->gone = true;
	pthread_mutex_unlock(&store->lock);
}

void twin_store_damage(struct ix_store *store, const struct ix_digest *digest)
{
	struct blob *blob = find(store, digest);

	if (!blob)
		ix_bug("there is no such blob");
	blob->bytes.data[0] ^= 1;
	blob->checked = false;
}

/* --- what is known --- */

static void *get(struct ix_store *store, const struct ix_map *map, const struct ix_digest *key)
{
	char hex[IX_DIGEST_HEX + 1];
	void *value;

	pthread_mutex_lock(&store->lock);
	value = ix_map_get(map, ix_digest_hex(key, hex));
	pthread_mutex_unlock(&store->lock);
	return value;
}

/* A copy of the value under the key, instead of what was there. */
static void set(struct ix_store *store, struct ix_map *map, const char *key, const void *value, size_t size)
{
	void *copy = ix_malloc(size);

	memcpy(copy, value, size);
	pthread_mutex_lock(&store->lock);
	free(ix_map_get(map, key));
	ix_map_set(map, key, copy);
	pthread_mutex_unlock(&store->lock);
}

int ix_store_step(struct ix_store *store, const struct ix_digest *key, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_step_result *result = get(store, &store->steps, key);
	const struct blob *blob = result ? find(store, &result->digest) : NULL;

	if (!blob || blob->bytes.len != result->size)
		return not_found(err, "step");
	*ret_result = *result;
	return 0;
}

int ix_store_set_step(struct ix_store *store, const struct ix_digest *key, const struct ix_step_result *result, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];

	(void)err;
	set(store, &store->steps, ix_digest_hex(key, hex), result, sizeof(*result));
	return 0;
}

static bool misses_blob(struct ix_store *store, const struct blob *blob)
{
	ix_auto_manifest manifest = { 0 };
	struct ix_err ignored;
	bool misses = false;

	if (ix_manifest_parse(ix_buf_str(&blob->bytes), blob->bytes.len, &manifest, &ignored) < 0)
		return false;
	for (size_t i = 0; i < manifest.nlayers; i++) {
		const struct blob *layer = blob_of(store, &manifest.layers[i].digest, false);

		misses = misses || (layer && layer->lost && layer->gone);
	}
	return misses;
}

int ix_store_stage(struct ix_store *store, const struct ix_digest *key, struct ix_digest *ret_manifest, struct ix_err *err)
{
	const struct ix_digest *manifest = get(store, &store->stages, key);
	const struct blob *blob = manifest ? find(store, manifest) : NULL;

	if (!blob || misses_blob(store, blob))
		return not_found(err, "stage");
	*ret_manifest = *manifest;
	return 0;
}

int ix_store_set_stage(struct ix_store *store, const struct ix_digest *key, const struct ix_digest *manifest, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];

	(void)err;
	set(store, &store->stages, ix_digest_hex(key, hex), manifest, sizeof(*manifest));
	return 0;
}

int ix_store_fact(struct ix_store *store, const char *topic, const char *name, struct ix_buf *ret_value, int64_t *ret_time,
		  struct ix_err *err)
{
	ix_auto_free char *key = ix_asprintf("%s\n%s", topic, name);
	const struct ix_buf *value = ix_map_get(&store->facts, key);

	if (!value)
		return not_found(err, "fact");
	if (ret_time)
		*ret_time = 0;
	return ix_buf_append(ret_value, ix_buf_str(value), value->len, err);
}

int ix_store_set_fact(struct ix_store *store, const char *topic, const char *name, const void *value, size_t len, struct ix_err *err)
{
	ix_auto_free char *key = ix_asprintf("%s\n%s", topic, name);
	struct ix_buf copy = { 0 };

	(void)err;
	ix_buf_put(&copy, value ? value : "", len);
	if (ix_map_get(&store->facts, key))
		ix_buf_release(ix_map_get(&store->facts, key));
	set(store, &store->facts, key, &copy, sizeof(copy));
	return 0;
}

/* --- names and locks --- */

int ix_store_tag(struct ix_store *store, const char *name, const struct ix_digest *manifest, const char *media_type, uint64_t size,
		 struct ix_err *err)
{
	const struct ix_name row = { ix_strdup(name), *manifest, ix_strdup(media_type), size, 0 };

	(void)err;
	if (ix_map_get(&store->names, name))
		release_name(ix_map_get(&store->names, name));
	set(store, &store->names, name, &row, sizeof(row));
	return 0;
}

int ix_store_name(struct ix_store *store, const char *name, struct ix_digest *ret_manifest, struct ix_err *err)
{
	const struct ix_name *row = ix_map_get(&store->names, name);

	if (!row)
		return ix_err_set(err, IX_ENOTFOUND, "no image named %s", name);
	*ret_manifest = row->digest;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct ix_name *)a)->name, ((const struct ix_name *)b)->name);
}

int ix_store_names(struct ix_store *store, struct ix_names *ret_names, struct ix_err *err)
{
	struct ix_names names = { ix_calloc(store->names.count, sizeof(*names.items)), store->names.count };

	(void)err;
	for (size_t i = 0; i < names.count; i++) {
		names.items[i] = *(const struct ix_name *)store->names.entries[i].value;
		names.items[i].name = ix_strdup(names.items[i].name);
		names.items[i].media_type = ix_strdup(names.items[i].media_type);
	}
	qsort(names.items, names.count, sizeof(*names.items), compare_names);
	*ret_names = names;
	return 0;
}

void ix_names_release(struct ix_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		release_name(&names->items[i]);
	free(names->items);
	*names = (struct ix_names){ 0 };
}

int ix_store_trylock(struct ix_store *store, const char *kind, const struct ix_digest *key, bool shared, int *ret_fd, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1], path[64];
	ix_auto_free char *name = ix_asprintf("%s-%s", kind, ix_digest_hex(key, hex));
	int *file = ix_map_get(&store->locks, name);
	int made;

	if (!file) {
		made = memfd_create("lock", MFD_CLOEXEC);
		set(store, &store->locks, name, &made, sizeof(made));
		file = ix_map_get(&store->locks, name);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *file);
	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	if (flock(*ret_fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	close(*ret_fd);
	return ix_err_set(err, IX_EEXIST, "%s is locked", name);
}

int ix_store_lock(struct ix_store *store, const char *kind, const struct ix_digest *key, const struct ix_cancel *cancel, int *ret_fd,
		  struct ix_err *err)
{
	for (;;) {
		int r = ix_store_trylock(store, kind, key, false, ret_fd, err);

		if (r != -IX_EEXIST || (r = ix_cancel_sleep(cancel, 1, err)) < 0)
			return r;
	}
}
