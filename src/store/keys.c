/* What keys gave: the layer of a step, the image of a stage. Not found when its blobs are not here. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "oci/image.h"
#include "store_int.h"

static bool has_blob_of(struct ix_store *store, const struct ix_step_result *result)
{
	struct ix_err ignored;
	uint64_t size;
	int fd;

	if (ix_blob_open(store, &result->digest, &fd, &size, &ignored) < 0)
		return false;
	close(fd);
	return size == result->size;
}

int ix_store_step(struct ix_store *store, const struct ix_digest *key, struct ix_step_result *ret_result, struct ix_err *err)
{
	struct ix_step_result result = { 0 };
	int r;

	{
		auto_query q = { 0 };

		r = query_begin(store, "SELECT digest, size, diff_id, media_type, content FROM steps WHERE key = ?", &q, err);
		if (r < 0)
			return r;
		query_digest(&q, 1, key);
		r = query_step(&q, err);
		if (r <= 0)
			return r < 0 ? r : store_not_found(err, "step");
		if (!query_get_digest(&q, 0, &result.digest) || !query_get_digest(&q, 2, &result.diff_id) ||
		    !query_get_digest(&q, 4, &result.content))
			return store_not_found(err, "step");
		result.size = (uint64_t)sqlite3_column_int64(q.stmt, 1);
		snprintf(result.media_type, sizeof(result.media_type), "%s", (const char *)sqlite3_column_text(q.stmt, 3));
	}
	if (!has_blob_of(store, &result))
		return store_not_found(err, "step");
	*ret_result = result;
	return 0;
}

int ix_store_set_step(struct ix_store *store, const struct ix_digest *key, const struct ix_step_result *result, struct ix_err *err)
{
	auto_query q = { 0 };
	int r = query_begin(store, "INSERT OR REPLACE INTO steps VALUES(?, ?, ?, ?, ?, ?, ?)", &q, err);

	if (r < 0)
		return r;
	query_digest(&q, 1, key);
	query_digest(&q, 2, &result->digest);
	sqlite3_bind_int64(q.stmt, 3, (sqlite3_int64)result->size);
	query_digest(&q, 4, &result->diff_id);
	query_text(&q, 5, result->media_type);
	sqlite3_bind_int64(q.stmt, 6, ix_time_s());
	query_digest(&q, 7, &result->content);
	return query_step(&q, err);
}

/* Is a blob of the image one that nobody has any more? Asked of the manifest only when there are any. */
static bool misses_blob(struct ix_store *store, const struct ix_digest *digest)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_err ignored;
	bool any, lost = false;

	pthread_mutex_lock(&store->checked_lock);
	any = store->lost.count > 0;
	pthread_mutex_unlock(&store->checked_lock);
	if (!any || ix_blob_read(store, digest, &body, &ignored) < 0 || ix_manifest_parse(body.data, body.len, &manifest, &ignored) < 0)
		return false;
	for (size_t i = 0; i < manifest.nlayers && !lost; i++)
		lost = blob_is_lost(store, &manifest.layers[i].digest);
	return lost;
}

int ix_store_stage(struct ix_store *store, const struct ix_digest *key, struct ix_digest *ret_manifest, struct ix_err *err)
{
	struct ix_digest manifest;

	{
		auto_query q = { 0 };
		int r;

		r = query_begin(store, "SELECT manifest FROM stages WHERE key = ?", &q, err);
		if (r < 0)
			return r;
		query_digest(&q, 1, key);
		r = query_step(&q, err);
		if (r <= 0)
			return r < 0 ? r : store_not_found(err, "stage");
		if (!query_get_digest(&q, 0, &manifest))
			return store_not_found(err, "stage");
	}
	if (!ix_blob_has(store, &manifest) || misses_blob(store, &manifest))
		return store_not_found(err, "stage");
	*ret_manifest = manifest;
	return 0;
}

int ix_store_set_stage(struct ix_store *store, const struct ix_digest *key, const struct ix_digest *manifest, struct ix_err *err)
{
	auto_query q = { 0 };
	int r = query_begin(store, "INSERT OR REPLACE INTO stages VALUES(?, ?, ?)", &q, err);

	if (r < 0)
		return r;
	query_digest(&q, 1, key);
	query_digest(&q, 2, manifest);
	sqlite3_bind_int64(q.stmt, 3, ix_time_s());
	return query_step(&q, err);
}
