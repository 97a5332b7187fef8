#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "oci/image.h"
#include "store_int.h"

void ix_names_release(struct ix_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->items[i].name);
		free(names->items[i].media_type);
	}
	free(names->items);
	*names = (struct ix_names){ 0 };
}

int ix_store_names(struct ix_store *store, struct ix_names *ret_names, struct ix_err *err)
{
	ix_auto_names names = { 0 };
	auto_query q = { 0 };
	size_t cap = 0;
	int r;

	r = query_begin(store, "SELECT name, digest, media_type, size, time FROM names ORDER BY name", &q, err);
	if (r < 0)
		return r;
	while ((r = query_step(&q, err)) > 0) {
		struct ix_name name = { 0 };

		if (!query_get_digest(&q, 1, &name.digest))
			continue;
		name.name = ix_strdup((const char *)sqlite3_column_text(q.stmt, 0));
		name.media_type = ix_strdup((const char *)sqlite3_column_text(q.stmt, 2));
		name.size = (uint64_t)sqlite3_column_int64(q.stmt, 3);
		name.time = sqlite3_column_int64(q.stmt, 4);
		IX_GROW(&names.items, names.count, &cap);
		names.items[names.count++] = name;
	}
	if (r < 0)
		return r;
	*ret_names = names;
	names = (struct ix_names){ 0 };
	return 0;
}

/* Write index.json anew from the names. Two processes that tag at once: each writes after its own change, under one lock, so the last one sees both. */
static int write_index(struct ix_store *store, struct ix_err *err)
{
	static const struct ix_digest index_lock = { { 0 } };
	ix_auto_names names = { 0 };
	ix_auto_index index = { 0 };
	ix_auto_buf json = { 0 };
	ix_auto_close int lock = -1;
	int r;

	if ((r = ix_store_lock(store, "index", &index_lock, NULL, &lock, err)) < 0 || (r = ix_store_names(store, &names, err)) < 0)
		return r;
	for (size_t i = 0; i < names.count; i++) {
		struct ix_descriptor *entry = ix_index_add(&index);

		entry->media_type = ix_strdup(names.items[i].media_type);
		entry->digest = names.items[i].digest;
		entry->size = names.items[i].size;
		ix_pairs_set(&entry->annotations, "org.opencontainers.image.ref.name", names.items[i].name);
	}
	ix_index_json(&index, &json);
	return ix_publish_file(store->fd, "oci/index.json", json.data, json.len, 0644, err);
}

int ix_store_tag(struct ix_store *store, const char *name, const struct ix_digest *manifest, const char *media_type, uint64_t size,
		 struct ix_err *err)
{
	int r;

	{
		auto_query q = { 0 };

		/* What it stands for already is no news: its time stays. */
		r = query_begin(store,
				"INSERT INTO names VALUES(?, ?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET media_type = excluded.media_type, "
				"size = excluded.size, time = CASE WHEN digest = excluded.digest THEN time ELSE excluded.time END, "
				"digest = excluded.digest",
				&q, err);
		if (r < 0)
			return r;
		query_text(&q, 1, name);
		query_digest(&q, 2, manifest);
		query_text(&q, 3, media_type);
		sqlite3_bind_int64(q.stmt, 4, (sqlite3_int64)size);
		sqlite3_bind_int64(q.stmt, 5, ix_time_s());
		r = query_step(&q, err);
		if (r < 0)
			return r;
	}
	return write_index(store, err);
}

int ix_store_untag(struct ix_store *store, const char *name, struct ix_err *err)
{
	struct ix_digest digest;
	int r = ix_store_name(store, name, &digest, err);

	if (r < 0)
		return r;
	{
		auto_query q = { 0 };

		r = query_begin(store, "DELETE FROM names WHERE name = ?", &q, err);
		if (r < 0)
			return r;
		query_text(&q, 1, name);
		r = query_step(&q, err);
		if (r < 0)
			return r;
	}
	return write_index(store, err);
}

int ix_store_name(struct ix_store *store, const char *name, struct ix_digest *ret_manifest, struct ix_err *err)
{
	auto_query q = { 0 };
	int r;

	r = query_begin(store, "SELECT digest FROM names WHERE name = ?", &q, err);
	if (r < 0)
		return r;
	query_text(&q, 1, name);
	r = query_step(&q, err);
	if (r < 0)
		return r;
	if (r == 0 || !query_get_digest(&q, 0, ret_manifest))
		return ix_err_set(err, IX_ENOTFOUND, "no image named %s", name);
	return 0;
}
