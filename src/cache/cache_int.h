/* What the files of the cache room share. */
#ifndef IX_CACHE_CACHE_INT_H
#define IX_CACHE_CACHE_INT_H

#include <pthread.h>

#include "base/map.h"
#include "cache/cache.h"

struct ix_cache {
	struct ix_store *store;
	struct ix_registry *registry;
	struct ix_ref repository; /* tag unused; host NULL when stages stay local */
	struct ix_sink *sink;
	const struct ix_cancel *cancel;
	bool pull, offline;
	struct ix_trust trust;
	pthread_mutex_t lock; /* of there */
	struct ix_map there;  /* "host/repository@digest" of blobs that were seen or put there by this process */
};

/* Annotations of images and records. */
#define CACHE_KEY       "dev.ix.key"
#define CACHE_STAGE     "dev.ix.stage"
#define CACHE_SECOND    "dev.ix.second"
#define CACHE_SIGNATURE "dev.ix.signature"

/* A repository that has a manifest has its blobs; what was put there once need not be asked for again. */
void cache_note_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
bool cache_is_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);

/* --- blobs.c --- */

/* Remember in the store that the repository has the blob. */
void cache_note_place(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* Was it seen to have it, now or earlier? */
bool cache_has_place(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* References that may have the blob: that of image (or NULL), then where it was seen. Caller releases. */
int cache_places(struct ix_cache *cache, const char *image, const struct ix_digest *blob, struct ix_strv *places, struct ix_err *err);
/* A blob in the store was damaged and is set aside. */
void cache_warn_damaged(struct ix_cache *cache, const struct ix_digest *blob);
/* A small blob of the store, or fetched, or fetched again. */
int cache_read_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, struct ix_buf *buf, struct ix_err *err);

/* Progress events of one transfer. */
struct transfer {
	struct ix_sink *sink;
	const char *stage;
	char what[40]; /* "pull sha256:0123456789ab" */
};
void cache_transfer_init(struct transfer *transfer, struct ix_cache *cache, const char *verb, const struct ix_digest *digest,
			 const char *stage);
void cache_transfer_progress(void *data, uint64_t done, uint64_t total);

/* Registries that send no Docker-Content-Digest: the digest of the manifest, unless it is known. */
int cache_need_digest(struct ix_cache *cache, const struct ix_ref *ref, struct ix_digest *digest, struct ix_err *err);

/* The manifest of a key's record, from the registry. */
int cache_record_manifest(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_manifest *ret_manifest,
			  struct ix_err *err);
/* Sign a record that is otherwise complete, when there is a key to sign with. */
int cache_sign(const struct ix_cache *cache, struct ix_manifest *record, struct ix_err *err);
/* Why the signature of a record from the registry does not do; NULL: it does. */
const char *cache_distrust(const struct ix_cache *cache, const struct ix_manifest *record);
/* As ix_cache_check_stage, for the image of a second key that name stands for. */
int cache_check_second(struct ix_cache *cache, const char *name, const char *stage, const struct ix_digest *second,
		       const struct ix_digest *image, const char **ret_why, struct ix_err *err);

/* What was needed is not here, and --offline forbids asking for it. */
int cache_offline(struct ix_err *err, const char *what);

/* A manifest or index into the store, from the store or the registry; bytes in buf, verified against ref->digest. */
int cache_fetch_manifest(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_digest *digest, struct ix_buf *buf,
			 struct ix_err *err);

#endif
