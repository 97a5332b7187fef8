/* What the files of the cache room share. */
#ifndef IX_CACHE_CACHE_INT_H
#define IX_CACHE_CACHE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "cache/cache.h"
#include "registry/registry.h"

struct known {
	pthread_mutex_t lock;
	struct ix_map blobs;   /* "host/repository@digest" -> whether it is there, or what is there is bad */
	struct ix_map damaged; /* reference -> struct damage */
	struct ix_map tags;    /* reference -> struct answer */
	atomic_uint lost_here; /* blobs that only this store had, and has no more */
	atomic_bool lost;      /* some blob was asked for in vain */
	atomic_bool down;      /* the registry does not answer */
	atomic_bool without;   /* the run goes on without it, and that was said */
};

struct ix_cache {
	struct ix_store *store;
	struct ix_registry *registry;
	struct ix_ref repository; /* tag unused; host NULL when stages stay local */
	struct ix_sink *sink;
	const struct ix_cancel *cancel;
	_Atomic(const struct ix_cancel *) work; /* what is fetched is for this; NULL: for nothing that ends by itself */
	bool pull, offline, required;
	struct ix_trust trust;
	struct known known;
};

/* Annotations of images and records. */
#define CACHE_KEY       "dev.ix.key"
#define CACHE_STAGE     "dev.ix.stage"
#define CACHE_SECOND    "dev.ix.second"
#define CACHE_SIGNATURE "dev.ix.signature"

/* --- known.c --- */

void known_release(struct known *known);
/* What was put there once need not be asked for again. */
void cache_note_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* The same of what a manifest lists that the repository has, unless the blob was found wanting. */
void cache_note_listed(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
bool cache_is_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* It was asked for in vain. */
void cache_note_missed(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob, const struct ix_err *why);
/* It was asked for, and was not there or was something else. */
bool cache_is_bad(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* It was asked for in vain for whatever reason, and is not in the store. */
bool cache_is_lost(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* What a reference was answered to stand for; digest NULL: nothing. forget: it is being written. */
void cache_note_tag(struct ix_cache *cache, const char *name, const struct ix_digest *digest);
void cache_forget_tag(struct ix_cache *cache, const char *name);
/* That, when it was asked at most so long ago: 0 or -IX_ENOTFOUND, without err; 1: nothing is known. */
int cache_recall_tag(struct ix_cache *cache, const char *name, uint64_t max_age_ms, struct ix_digest *ret_digest);
/* What image (a reference, or NULL) was to give could not be had. Returns why's code. */
int cache_note_damage(struct ix_cache *cache, const char *image, const struct ix_err *why);
/* A lookup at host (NULL: the stages' own) failed: 0 when the run goes on without, which is said once. An error when it was canceled, or the cache is required. */
int cache_go_without(struct ix_cache *cache, const char *host, const struct ix_err *why, struct ix_err *err);
/* It is not worth asking: nobody answers. */
bool cache_is_down(struct ix_cache *cache);

/* --- tags.c --- */

/* "...:webpack-<40 digits>.ix", of a key or of its digits, and "...:webpack.main", "...:webpack.main.ix". Caller frees. */
char *cache_record_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *key);
char *cache_record_ref_hex(const struct ix_cache *cache, const char *stage, const char *hex);
char *cache_channel_ref(const struct ix_cache *cache, const char *stage, const char *channel, bool record);
/* The repository as a reference whose blobs can be asked for; NULL when stages stay local. Caller frees. */
char *cache_repository_ref(const struct ix_cache *cache);

/* --- head.c --- */

enum { CACHE_FRESH_MS = 5000 /* as good as asked now: uploads take longer than that between asking and putting */ };

struct batch {
	char **names;
	struct ix_ref *refs;
	const struct ix_ref **pointers;
	struct ix_manifest_head *heads;
	size_t count;
};
void batch_init(struct batch *batch, size_t most);
void batch_release(struct batch *batch);
int batch_add(struct batch *batch, const char *text, struct ix_err *err);
void batch_ask(struct ix_cache *cache, struct batch *batch);
/* The digest that the i-th reference stands for. -IX_ENOTFOUND only when the registry says that there is nothing. */
int batch_answer(struct ix_cache *cache, const struct batch *batch, size_t i, struct ix_digest *ret_digest, struct ix_err *err);
/* The same for one, unless that was asked at most so long ago. */
int cache_head(struct ix_cache *cache, const char *name, uint64_t max_age_ms, struct ix_digest *ret_digest, struct ix_err *err);

/* --- blobs.c --- */

/* Was it seen to have it, now or earlier? */
bool cache_has_place(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob);
/* References that may have the blob: that of image (or NULL), then where it was seen. Caller releases. */
int cache_places(struct ix_cache *cache, const char *image, const struct ix_digest *blob, struct ix_strv *places, struct ix_err *err);
/* A blob in the store was damaged and is set aside. */
void cache_warn_damaged(struct ix_cache *cache, const struct ix_digest *blob);
/* A small blob of the store, or fetched, or fetched again. */
int cache_read_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, struct ix_buf *buf, struct ix_err *err);

/* --- cache.c --- */

/* What was needed is not here, and --offline forbids asking for it. */
int cache_offline(struct ix_err *err, const char *what);

/* Progress events of one transfer. */
struct transfer {
	struct ix_sink *sink;
	const char *stage;
	char what[40]; /* "pull sha256:0123456789ab" */
};
void cache_transfer_init(struct transfer *transfer, struct ix_cache *cache, const char *verb, const struct ix_digest *digest,
			 const char *stage);
void cache_transfer_progress(void *data, uint64_t done, uint64_t total);

/* --- trust.c --- */

/* Sign a record that is otherwise complete, when there is a key to sign with. */
int cache_sign(const struct ix_cache *cache, struct ix_manifest *record, struct ix_err *err);
/* Why the signature of a record from the registry does not do; NULL: it does. */
const char *cache_distrust(const struct ix_cache *cache, const struct ix_manifest *record);
/* As ix_cache_check_stage, for the image of a second key that name stands for. */
int cache_check_second(struct ix_cache *cache, const char *name, const char *stage, const struct ix_digest *second,
		       const struct ix_digest *image, const char **ret_why, struct ix_err *err);

/* --- fetch.c --- */

/* A manifest or index into the store, from the store or the registry; bytes in buf, verified against ref->digest. */
int cache_fetch_manifest(struct ix_cache *cache, const struct ix_ref *ref, const struct ix_digest *digest, struct ix_buf *buf,
			 struct ix_err *err);

#endif
