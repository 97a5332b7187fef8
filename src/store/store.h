/*
 * The local content store: blobs by digest, unpacked layers by diff id, and a database of what is known about steps, stages and names. Its
 * oci/ directory is a valid OCI image layout. Several processes may use one store at once. It never talks to a network.
 *
 *	oci/         OCI image layout: oci-layout, index.json, blobs/sha256/
 *	layers/      unpacked layers, ready to be overlay lowers
 *	ix.db        SQLite
 *	stat         digests of context files (context room)
 *	mounts/      cache mounts
 *	corrupt/     blobs that turned out not to be what their digests say
 *	locks/ tmp/
 *
 * Blobs appear by write, fsync, rename. Unpacked layers are not synced file by file: they carry the id of the boot they were made in, and after
 * an unclean restart they are made again from their blobs.
 */
#ifndef IX_STORE_STORE_H
#define IX_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"
#include "io/stream.h"

struct ix_store;

/* Who is told, from any thread, that a lock of another process has been waited for longer than a moment. */
struct ix_store_listener {
	void (*waits)(void *data, const char *text);
	void *data;
};

/* path is made when missing, for its owner alone; one that others may enter is closed to them. listener may be NULL. */
int ix_store_open(const char *path, const struct ix_store_listener *listener, struct ix_store **ret_store, struct ix_err *err);
void ix_store_close(struct ix_store *store);
static inline void ix_store_closep(struct ix_store **store)
{
	ix_store_close(*store);
}
/* Remove everything in it. The store can only be closed afterwards. What other processes use is not removed under them: -IX_EEXIST when there are
 * any for longer than a moment. Who opens the store meanwhile waits, and finds an empty one. */
int ix_store_destroy(struct ix_store *store, struct ix_err *err);
const char *ix_store_path(const struct ix_store *store);
/* "<store>/<name>". Caller frees. */
char *ix_store_sub(const struct ix_store *store, const char *name);
/* A fresh directory below tmp/, removed by whoever made it. Caller frees *ret_path. */
int ix_store_tmpdir(struct ix_store *store, char **ret_path, struct ix_err *err);

/* --- blobs --- */

/* Write one blob. Nothing is visible in the store before ix_blob_commit(). */
struct ix_blob_writer;
int ix_blob_begin(struct ix_store *store, struct ix_blob_writer **ret_blob, struct ix_err *err);
/* Where its bytes go; borrowed. Finishing it is not needed. */
struct ix_writer *ix_blob_stream(struct ix_blob_writer *blob);
/* Publish under digest, which the caller has computed or verified from the bytes it wrote; a blob that is there and that nobody has looked at yet
 * is replaced. Frees blob either way; NULL err is not allowed. */
int ix_blob_commit(struct ix_blob_writer *blob, const struct ix_digest *digest, struct ix_err *err);
void ix_blob_abort(struct ix_blob_writer *blob); /* NULL is fine */
static inline void ix_blob_abortp(struct ix_blob_writer **blob)
{
	ix_blob_abort(*blob);
}
/* A small blob in one go. */
int ix_blob_put(struct ix_store *store, const void *bytes, size_t len, struct ix_digest *ret_digest, struct ix_err *err);
/* Is its file there? Nothing is read. */
bool ix_blob_has(struct ix_store *store, const struct ix_digest *digest);
/* For reading, as it is. -IX_ENOTFOUND. The caller closes *ret_fd. */
int ix_blob_open(struct ix_store *store, const struct ix_digest *digest, int *ret_fd, uint64_t *ret_size, struct ix_err *err);
/* Is it what its digest says? It is read in full, unless this process wrote it or looked at it before. -IX_ENOTFOUND; -IX_ECORRUPT: it was not,
 * and is in corrupt/ now, so that it can be fetched or made again. */
int ix_blob_check(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err);
/* Would ix_blob_check answer without reading? */
bool ix_blob_is_checked(struct ix_store *store, const struct ix_digest *digest);
/* Repositories that had the blob ("registry.example.com/shop"), so that it can be fetched when it is needed; appended, the latest first. */
int ix_blob_add_place(struct ix_store *store, const struct ix_digest *digest, const char *repository, struct ix_err *err);
int ix_blob_places(struct ix_store *store, const struct ix_digest *digest, struct ix_strv *places, struct ix_err *err);
/* Did a step of this store make the blob? */
int ix_blob_is_made(struct ix_store *store, const struct ix_digest *digest, struct ix_err *err);
/* Nobody has the blob any more: stages that are made of it are not found from now on. False: that was known. */
bool ix_blob_note_lost(struct ix_store *store, const struct ix_digest *digest);
/* A small blob into buf (up to its limit), verified. What is wrong is set aside as by ix_blob_check: -IX_ECORRUPT. */
int ix_blob_read(struct ix_store *store, const struct ix_digest *digest, struct ix_buf *buf, struct ix_err *err);

/* --- unpacked layers --- */

/* The directory of an unpacked layer; -IX_ENOTFOUND when it is not unpacked. Caller frees *ret_path. */
int ix_layer_dir(struct ix_store *store, const struct ix_digest *diff_id, char **ret_path, struct ix_err *err);
/* Make a directory (from ix_store_tmpdir, or the upper directory of a finished step) the unpacked layer. It is consumed; if another process was
 * first, it is removed. */
int ix_layer_dir_commit(struct ix_store *store, const char *dir, const struct ix_digest *diff_id, struct ix_err *err);

/* --- what is known --- */

struct ix_step_result {
	struct ix_digest digest; /* layer blob */
	uint64_t size;
	struct ix_digest diff_id;
	struct ix_digest content; /* of what it holds but for times */
	char media_type[96];
};
/* The layer a step's key gave before; its blob is there, and as long as it should be. -IX_ENOTFOUND otherwise. */
int ix_store_step(struct ix_store *store, const struct ix_digest *key, struct ix_step_result *ret_result, struct ix_err *err);
int ix_store_set_step(struct ix_store *store, const struct ix_digest *key, const struct ix_step_result *result, struct ix_err *err);

/* The image manifest a stage's key gave; of its blobs only the manifest is sure to be here. -IX_ENOTFOUND: none, or it is gone, or a layer of it is one
 * that nobody has any more (ix_blob_note_lost). */
int ix_store_stage(struct ix_store *store, const struct ix_digest *key, struct ix_digest *ret_manifest, struct ix_err *err);
int ix_store_set_stage(struct ix_store *store, const struct ix_digest *key, const struct ix_digest *manifest, struct ix_err *err);

/* Facts remembered as text, by topic: "record of" (stage and key -> manifest of its record), "last" (project/stage -> key of its last build), ... */
int ix_store_fact(struct ix_store *store, const char *topic, const char *name, struct ix_buf *ret_value, int64_t *ret_time,
		  struct ix_err *err);
int ix_store_set_fact(struct ix_store *store, const char *topic, const char *name, const void *value, size_t len, struct ix_err *err);

/* --- names --- */

struct ix_name {
	char *name;
	struct ix_digest digest; /* manifest or index */
	char *media_type;
	uint64_t size; /* of the manifest */
	int64_t time;
};
struct ix_names {
	struct ix_name *items;
	size_t count;
};
/* Point a name at a manifest in the store; index.json follows. */
int ix_store_tag(struct ix_store *store, const char *name, const struct ix_digest *manifest, const char *media_type, uint64_t size,
		 struct ix_err *err);
int ix_store_untag(struct ix_store *store, const char *name, struct ix_err *err); /* -IX_ENOTFOUND when there is no such name */
/* The manifest a name points at. -IX_ENOTFOUND. */
int ix_store_name(struct ix_store *store, const char *name, struct ix_digest *ret_manifest, struct ix_err *err);
int ix_store_names(struct ix_store *store, struct ix_names *ret_names, struct ix_err *err); /* sorted by name */
void ix_names_release(struct ix_names *names);
#define ix_auto_names ix_scoped(ix_names_release) struct ix_names

/* --- locks --- */

/* One holder per key among all processes and threads; waits, watching cancel. Close the descriptor to release. */
int ix_store_lock(struct ix_store *store, const char *kind, const struct ix_digest *key, const struct ix_cancel *cancel, int *ret_fd,
		  struct ix_err *err);
/* The same without waiting: -IX_EEXIST when somebody holds it. shared: together with others who share it. */
int ix_store_trylock(struct ix_store *store, const char *kind, const struct ix_digest *key, bool shared, int *ret_fd, struct ix_err *err);

#endif
