/* Facts: small values by topic and name. */
#include "base/buf.h"
#include "base/clock.h"
#include "store_int.h"

int ix_store_fact(struct ix_store *store, const char *topic, const char *name, struct ix_buf *ret_value, int64_t *ret_time,
		  struct ix_err *err)
{
	auto_query q = { 0 };
	int r;

	r = query_begin(store, "SELECT value, time FROM facts WHERE topic = ? AND name = ?", &q, err);
	if (r < 0)
		return r;
	query_text(&q, 1, topic);
	query_text(&q, 2, name);
	r = query_step(&q, err);
	if (r <= 0)
		return r < 0 ? r : store_not_found(err, "fact");
	if (ret_time)
		*ret_time = sqlite3_column_int64(q.stmt, 1);
	return ix_buf_append(ret_value, sqlite3_column_blob(q.stmt, 0), (size_t)sqlite3_column_bytes(q.stmt, 0), err);
}

int ix_store_set_fact(struct ix_store *store, const char *topic, const char *name, const void *value, size_t len, struct ix_err *err)
{
	auto_query q = { 0 };
	int r = query_begin(store, "INSERT OR REPLACE INTO facts VALUES(?, ?, ?, ?)", &q, err);

	if (r < 0)
		return r;
	query_text(&q, 1, topic);
	query_text(&q, 2, name);
	sqlite3_bind_blob64(q.stmt, 3, value ? value : "", len, SQLITE_STATIC);
	sqlite3_bind_int64(q.stmt, 4, ix_time_s());
	return query_step(&q, err);
}
