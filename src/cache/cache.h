/*
 * Finding and publishing images: the store first, then the registry. It knows the registry's layout (which tag a stage's key has) and moves
 * blobs between registry and store; it decides nothing.
 */
#ifndef IX_CACHE_CACHE_H
#define IX_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "io/digest.h"
#include "io/sign.h"
#include "oci/image.h"
#include "registry/registry.h"
#include "report/report.h"
#include "store/store.h"

/* Whose images are used. All borrowed. */
struct ix_trust {
	bool signed_only;                 /* trust: signed */
	const struct ix_public_key *keys; /* whose signatures count */
	size_t nkeys;
	const struct ix_private_key *signing_key; /* records are signed with it; NULL: they are not */
};

struct ix_cache_opts {
	struct ix_store *store; /* borrowed, as all of these */
	struct ix_registry *registry;
	const char *repository; /* "registry.example.com/shop", NULL: stages stay local */
	struct ix_sink *sink;
	const struct ix_cancel *cancel;
	struct ix_trust trust;
	bool offline;  /* nothing is asked of registries */
	bool pull;     /* base images: ask the registry before local names */
	bool required; /* a registry that cannot be asked is an error, not a build without it */
};

struct ix_cache;
/* A malformed repository is IX_EARG. */
int ix_cache_new(const struct ix_cache_opts *opts, struct ix_cache **ret_cache, struct ix_err *err);
void ix_cache_free(struct ix_cache *cache);
IX_DEFINE_FREEP(struct ix_cache, ix_cache_free)
/* Fetching blobs ends when cancel (borrowed; NULL: none) is raised, too: the work that they are for has come to nothing. */
void ix_cache_set_work(struct ix_cache *cache, const struct ix_cancel *cancel);
bool ix_cache_is_local(const struct ix_cache *cache); /* there is no repository */
bool ix_cache_signs(const struct ix_cache *cache);    /* records are signed: with a key that others trust */

/* "registry.example.com/shop:webpack-<first 40 hex digits of the key>"; without a repository "webpack:<40 digits>". Caller frees. */
char *ix_cache_stage_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *key);

/* The tag of a second key: "...:webpack-o<40 digits>". Caller frees. */
char *ix_cache_second_ref(const struct ix_cache *cache, const char *stage, const struct ix_digest *second);

/* --- external images --- */

/* The manifest digest of an image for a platform, from a local name or one HEAD; an index costs one GET the first time it is seen. */
int ix_cache_resolve(struct ix_cache *cache, const char *image, const struct ix_platform *platform, struct ix_digest *ret_manifest,
		     struct ix_err *err);
/* The same for an image of an OCI image layout; its blobs are copied into the store. ref: tag or digest, NULL for the only one. */
int ix_cache_resolve_layout(struct ix_cache *cache, const char *dir, const char *ref, const struct ix_platform *platform,
			    struct ix_digest *ret_manifest, struct ix_err *err);

/* --- images by digest --- */

/* Manifest and config, from the store or from image (a reference whose repository has it; NULL: store only). Both end up in the store. */
int ix_cache_image(struct ix_cache *cache, const char *image, const struct ix_digest *manifest_digest, struct ix_manifest *ret_manifest,
		   struct ix_image_config *ret_config, struct ix_err *err);
/* All that the image is made of is in the store. */
bool ix_cache_is_whole(struct ix_cache *cache, const struct ix_digest *image);
/*
 * A blob is in the store when this returns 0, as long as its descriptor says. image: a reference whose repository should have it, or NULL; the
 * repositories where it was seen before are asked too. Nobody has it: -IX_EGONE. stage: for events. Single flight among processes.
 */
int ix_cache_need_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err);
/* The same, and its bytes are right: for those who pass them on without looking. */
int ix_cache_need_sound(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err);
/* Somebody found the blob wrong: 1: it was, that has been said, and it was fetched again; 0: it is what its digest says. */
int ix_cache_mend_blob(struct ix_cache *cache, const char *image, const struct ix_descriptor *blob, const char *stage, struct ix_err *err);
/* How many blobs that only this store had turned out to be gone: what made them has to run again. */
unsigned ix_cache_lost(struct ix_cache *cache);
/* The repository of image has the blob: remembered, for when it is needed. */
void ix_cache_note_place(struct ix_cache *cache, const char *image, const struct ix_digest *blob);

/* All of it into the store, under its name, a full reference. */
int ix_cache_pull(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, struct ix_err *err);

/* --- stages --- */

struct ix_found {
	const char *stage; /* in: name and key */
	const struct ix_digest *key;
	bool local;                      /* out: the store has the image */
	bool ours;                       /* out: as it was built or looked at here */
	bool remote;                     /* out: the registry has it */
	bool unsure;                     /* out: the registry did not say whether it has it */
	bool damaged;                    /* out: the registry has it, but not all of it */
	struct ix_digest manifest;       /* out: when either */
	bool beside;                     /* out: it was asked for what is beside the image, and answered: */
	struct ix_digest record;         /* out: of the record; zero: there is none */
	struct ix_digest channel_record; /* out: of the record that the channel points at */
	bool checked;                    /* ix_cache_check_found was called */
	const char *distrust;            /* out: the registry has it, but why it is not used; NULL */
};
struct ix_lookup {
	struct ix_found *found; /* n */
	size_t n;
	const char *const *names;       /* further references ("publish" names), looked up in the same batch */
	struct ix_digest *name_digests; /* out: zero when absent */
	size_t nnames;
	bool beside;         /* records too */
	const char *channel; /* and what this channel points at; NULL: no channel */
};
/* Look everything up at once: the store, then one parallel batch of HEADs. A registry that does not answer, or not this, is told once and gone
 * on without, unless the cache is required. */
int ix_cache_lookup(struct ix_cache *cache, struct ix_lookup *lookup, struct ix_err *err);
/* Is what the registry has of a stage what its key says? Otherwise it is found no more: distrust says why, or it is unsure. */
int ix_cache_check_found(struct ix_cache *cache, struct ix_found *found, struct ix_err *err);
/* What the registry has under a stage's key now, by one HEAD: -IX_ENOTFOUND when nothing. */
int ix_cache_find_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_digest *ret_manifest,
			struct ix_err *err);
/* Why image (a reference) could not be had when it was needed; NULL: it was not needed, or was there. *ret_gone: it is not there or damaged;
 * otherwise it was only not given. */
const char *ix_cache_damage(struct ix_cache *cache, const char *image, bool *ret_gone);
/* The i-th of them that belongs to the repository of the stages, in the order in which they were missed; NULL: there are no more. */
const char *ix_cache_damaged(struct ix_cache *cache, size_t i, const char **ret_why, bool *ret_gone);
/* The repository of the stages should have the blob, and was found not to; nor has the store. */
bool ix_cache_is_lost(struct ix_cache *cache, const struct ix_digest *blob);
/* A lookup failed, and the run goes on without what the registry has. */
bool ix_cache_is_without(struct ix_cache *cache);

/* The image of a stage's second key, from the store or one HEAD: -IX_ENOTFOUND when nobody has it. *ret_remote: the registry has it.
 * remote: ask the registry at all. */
int ix_cache_find_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, bool remote,
			 struct ix_digest *ret_manifest, bool *ret_remote, struct ix_err *err);

/* Is an image that the registry has under a stage's key the image of that key? *ret_why: NULL, or why not. Its manifest is fetched. What cannot
 * be asked is an error. */
int ix_cache_check_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *image,
			 const char **ret_why, struct ix_err *err);

/* What publishing moved. */
struct ix_published {
	uint64_t bytes;                      /* uploaded */
	unsigned uploaded, mounted, existed; /* blobs */
};
/* Put the image of a stage into the repository under its key tag: blobs (those the registry does not have), config, manifest. image: where
 * blobs that are not in the store can be mounted or fetched from, NULL when all are here. */
int ix_cache_publish_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *manifest,
			   const char *image, struct ix_published *ret_published, struct ix_err *err);
/* Put it under its second key too, unless that has an image already. force: or though it has. */
int ix_cache_publish_second(struct ix_cache *cache, const char *stage, const struct ix_digest *second, const struct ix_digest *manifest,
			    const char *source, bool force, struct ix_err *err);
/* Put it under any other name. When source (a reference) is in the same repository this is one manifest PUT. stage NULL: nobody
 * needs to hear of it. */
int ix_cache_publish_name(struct ix_cache *cache, const char *name, const struct ix_digest *manifest, const char *source, const char *stage,
			  struct ix_published *ret_published, struct ix_err *err);

/* --- records (docs/identity.md) --- */

#define IX_MEDIA_RECORD       "application/vnd.ix.record.v1"
#define IX_MEDIA_RECORD_JSON  "application/vnd.ix.record.v1+json+zstd"
#define IX_MEDIA_RECORD_FILES "application/vnd.ix.files.v1+json+zstd" /* a list of files */
#define IX_MEDIA_RECORD_LOG   "application/vnd.ix.log.v1+zstd"        /* what the steps printed */
enum { IX_RECORD_MAX = 64 << 20 };

/* A document into the store, compressed. The same bytes are the same blob. */
int ix_cache_put_document(struct ix_cache *cache, const char *media_type, const struct ix_buf *bytes, struct ix_descriptor *ret_descriptor,
			  struct ix_err *err);
/* The record of a stage's build: its parts are in the store. It is found there by the key from now on. second may be NULL. */
int ix_cache_keep_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *second,
			 const struct ix_digest *image, const struct ix_descriptor *parts, size_t nparts, struct ix_digest *ret_record,
			 struct ix_err *err);
/* Put it beside the image of that key. */
int ix_cache_publish_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *record,
			    struct ix_err *err);
/* The record that the registry has beside the image of a key, by one HEAD. -IX_ENOTFOUND. */
int ix_cache_find_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_digest *ret_record,
			 struct ix_err *err);
/* Make a channel point at an image and a record that are in the repository under their key. */
int ix_cache_move_channel(struct ix_cache *cache, const char *stage, const char *channel, const struct ix_digest *key,
			  const struct ix_digest *image, const struct ix_digest *record, struct ix_err *err);

struct ix_kept_record {
	struct ix_digest digest;     /* of its manifest */
	struct ix_digest key;        /* as its manifest says */
	struct ix_manifest manifest; /* subject: the image */
	struct ix_digest second;     /* the second key it says; zero: none */
	struct ix_buf json;
};
void ix_kept_record_release(struct ix_kept_record *record);
#define ix_auto_kept_record ix_scoped(ix_kept_record_release) struct ix_kept_record

/* From the store or the registry. -IX_ENOTFOUND. */
int ix_cache_record_of_key(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_kept_record *ret_record,
			   struct ix_err *err);
/* hex: a key's first 40 digits, as in tags, or all 64. */
int ix_cache_record_of_tag(struct ix_cache *cache, const char *stage, const char *hex, struct ix_kept_record *ret_record,
			   struct ix_err *err);
int ix_cache_record_of_channel(struct ix_cache *cache, const char *stage, const char *channel, struct ix_kept_record *ret_record,
			       struct ix_err *err);
int ix_cache_load_record(struct ix_cache *cache, const struct ix_digest *record, struct ix_kept_record *ret_record, struct ix_err *err);
/* A list of files that belongs to a record, fetched when it is not in the store. */
int ix_kept_record_list(struct ix_cache *cache, const struct ix_kept_record *record, const struct ix_digest *digest,
			struct ix_buf *ret_list, struct ix_err *err);
/* What its steps printed, where that is a part of its own; else -IX_ENOTFOUND. */
int ix_kept_record_log(struct ix_cache *cache, const struct ix_kept_record *record, struct ix_buf *ret_log, struct ix_err *err);
/* Does the image that the record speaks of have all these layers? IX_ECORRUPT when not. */
int ix_cache_check_record(struct ix_cache *cache, const struct ix_kept_record *record, const struct ix_digest *const *layers,
			  size_t nlayers, struct ix_err *err);

struct ix_channel_find {
	const char *stage;       /* in */
	const char *channel;     /* out: the first that has it; NULL: none */
	struct ix_digest record; /* out */
};
/* Records of many stages on the first channel that has one, in one batch of HEADs. */
int ix_cache_find_channels(struct ix_cache *cache, struct ix_channel_find *finds, size_t n, const char *const *channels, size_t nchannels,
			   struct ix_err *err);

#endif
