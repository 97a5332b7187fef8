#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fault.h"
#include "store_int.h"

/* Bumped when a table changes; migrations bring an older database up to it. */
enum { SCHEMA = 2 };

/* migrations[n] makes format n + 1 of format n. What steps gave can be found again, so it is dropped where a new column could not be filled. */
static const char *const migrations[SCHEMA] = {
	[1] = "DROP TABLE steps;"
	      "CREATE TABLE steps(key BLOB PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, diff_id BLOB NOT NULL, media_type "
	      "TEXT NOT "
	      "NULL,"
	      "                   used INTEGER NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;",
};

static const char schema[] =
	"CREATE TABLE steps(key BLOB PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, diff_id BLOB NOT NULL, media_type TEXT NOT "
	"NULL,"
	"                   used INTEGER NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE stages(key BLOB PRIMARY KEY, manifest BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE facts(topic TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, time INTEGER NOT NULL, PRIMARY KEY(topic, name));"
	"CREATE TABLE names(name TEXT PRIMARY KEY, digest BLOB NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, time INTEGER NOT "
	"NULL)"
	"                   WITHOUT ROWID;"
	"CREATE TABLE layers(diff_id BLOB PRIMARY KEY, boot TEXT NOT NULL) WITHOUT ROWID;";

static int db_error(struct ix_store *store, struct ix_err *err)
{
	return ix_err_set(err, IX_EFAIL, "%s/ix.db: %s", store->path, sqlite3_errmsg(store->db));
}

static int exec(struct ix_store *store, const char *sql, struct ix_err *err)
{
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(store, err);
}

static int schema_version(struct ix_store *store, int *ret_version, struct ix_err *err)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW) {
		sqlite3_finalize(stmt);
		return db_error(store, err);
	}
	*ret_version = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return 0;
}

static int create_schema(struct ix_store *store, struct ix_err *err)
{
	int version = 0;
	int r;

	if ((r = exec(store, "BEGIN IMMEDIATE", err)) < 0 || (r = schema_version(store, &version, err)) < 0)
		return r;
	if (version < SCHEMA) {
		ix_auto_free char *mark = ix_asprintf("PRAGMA user_version = %d", SCHEMA);

		if (version == 0 && (r = exec(store, schema, err)) < 0)
			return r;
		for (int i = version; i > 0 && i < SCHEMA; i++)
			if ((r = exec(store, migrations[i], err)) < 0)
				return r;
		r = exec(store, mark, err);
		if (r < 0)
			return r;
		version = SCHEMA;
	}
	r = exec(store, "COMMIT", err);
	if (r < 0)
		return r;
	if (version != SCHEMA)
		return ix_err_set(
			err, IX_EFAIL,
			"%s/ix.db was made by another version of ix (format %d, this one reads %d): use another store or remove it",
			store->path, version, SCHEMA);
	return 0;
}

int store_db_open(struct ix_store *store, struct ix_err *err)
{
	ix_auto_free char *path = ix_asprintf("%s/ix.db", store->path);

	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return ix_err_set(err, IX_EFAIL, "open %s: %s", path, store->db ? sqlite3_errmsg(store->db) : "out of memory");
	sqlite3_busy_timeout(store->db, 30000);
	int r = exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF", err);
	if (r < 0)
		return r;
	return create_schema(store, err);
}

int query_begin(struct ix_store *store, const char *sql, struct query *ret_query, struct ix_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r;

	pthread_mutex_lock(&store->lock);
	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
		r = db_error(store, err);
		pthread_mutex_unlock(&store->lock);
		return r;
	}
	*ret_query = (struct query){ store, stmt };
	return 0;
}

void query_end(struct query *query)
{
	if (!query->store)
		return;
	sqlite3_finalize(query->stmt);
	pthread_mutex_unlock(&query->store->lock);
	query->store = NULL;
}

void query_digest(struct query *query, int at, const struct ix_digest *digest)
{
	sqlite3_bind_blob(query->stmt, at, digest->bytes, sizeof(digest->bytes), SQLITE_STATIC);
}

void query_text(struct query *query, int at, const char *text)
{
	sqlite3_bind_text(query->stmt, at, text, -1, SQLITE_STATIC);
}

int query_step(struct query *query, struct ix_err *err)
{
	int r = ix_fault("db.step") ? SQLITE_IOERR : sqlite3_step(query->stmt);

	if (r == SQLITE_ROW)
		return 1;
	return r == SQLITE_DONE ? 0 : db_error(query->store, err);
}

bool query_get_digest(struct query *query, int column, struct ix_digest *ret_digest)
{
	const void *bytes = sqlite3_column_blob(query->stmt, column);

	if (!bytes || sqlite3_column_bytes(query->stmt, column) != (int)sizeof(ret_digest->bytes))
		return false;
	memcpy(ret_digest->bytes, bytes, sizeof(ret_digest->bytes));
	return true;
}

int store_not_found(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_ENOTFOUND, "no such %s", what);
}
