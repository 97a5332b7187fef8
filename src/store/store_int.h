/* What the files of the store room share. */
#ifndef IX_STORE_STORE_INT_H
#define IX_STORE_STORE_INT_H

#include <pthread.h>
#include <sqlite3.h>

#include "base/map.h"
#include "store/store.h"

struct ix_store {
	char *path;
	struct ix_store_listener listener;
	int fd;       /* of path */
	int blobs_fd; /* oci/blobs/sha256 */
	int alive_fd; /* locked shared as long as the process uses the store */
	char boot_id[64];
	sqlite3 *db;
	pthread_mutex_t lock; /* of db: one statement at a time */
	pthread_mutex_t checked_lock;
	struct ix_map lost;    /* hex digits of blobs that nobody has; under checked_lock too */
	struct ix_map checked; /* hex digits -> struct checked of blobs that were found to be what they should be */
};

/* Is it one of those that nobody has, and still not here? */
bool blob_is_lost(struct ix_store *store, const struct ix_digest *digest);
/* Forget what was checked and lost. */
void blob_checked_release(struct ix_store *store);

/* flock(2) of the file that fd is open on, name below the store; a long wait is said. how: LOCK_SH or LOCK_EX. */
int store_flock(const struct ix_store *store, const char *name, int fd, int how, struct ix_err *err);

/* --- db.c --- */

int store_db_open(struct ix_store *store, struct ix_err *err);

/* A prepared statement, with the database locked from begin to end. */
struct query {
	struct ix_store *store;
	sqlite3_stmt *stmt;
};
int query_begin(struct ix_store *store, const char *sql, struct query *ret_query, struct ix_err *err);
void query_end(struct query *query);
#define auto_query ix_scoped(query_end) struct query
void query_digest(struct query *query, int at, const struct ix_digest *digest);
void query_text(struct query *query, int at, const char *text);
/* 1: a row; 0: done. */
int query_step(struct query *query, struct ix_err *err);
/* A digest column; false when it is not one. */
bool query_get_digest(struct query *query, int column, struct ix_digest *ret_digest);
/* "no such <what>" */
int store_not_found(struct ix_err *err, const char *what);

#endif
