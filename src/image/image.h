/*
 * An image as it is read and as it grows: its config, its layers, and the root file system they make on this machine. It brings layers here and unpacks
 * them when somebody reads them, never before; what is executed in the root, and what an image is good for, it does not know.
 */
#ifndef IX_IMAGE_IMAGE_H
#define IX_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "cache/cache.h"
#include "io/compress.h"
#include "oci/image.h"
#include "state/state.h"
#include "store/store.h"

/* Copies of unpacked layers whose directories list their entries otherwise; removed when it is freed. */
struct ix_perturbed;
struct ix_perturbed *ix_perturbed_new(struct ix_store *store);
void ix_perturbed_free(struct ix_perturbed *perturbed);
IX_DEFINE_FREEP(struct ix_perturbed, ix_perturbed_free)

/* Where images are, and how new layers are written. */
struct ix_image_opts {
	struct ix_store *store; /* borrowed, as all of these */
	struct ix_cache *cache;
	const struct ix_cancel *cancel;
	enum ix_compression compression;
	int compression_level;          /* 0: default */
	int64_t epoch;                  /* SOURCE_DATE_EPOCH of what is imported and exported, -1: none; what is built has its own */
	struct ix_perturbed *perturbed; /* roots are as on another machine; NULL: as usual */
};

struct ix_layer_ref {
	struct ix_descriptor blob;
	struct ix_digest diff_id;
	struct ix_digest content; /* of what it holds but for times; of layers nobody said it of, the diff id */
	char *image;              /* a reference whose repository has the blob, NULL: it is in the store */
};

/* Config and layers, lowest first. Zeroed it is FROM scratch. */
struct ix_image {
	struct ix_image_config config;
	struct ix_layer_ref *layers;
	size_t nlayers;
};
void ix_image_release(struct ix_image *image);
#define ix_auto_image ix_scoped(ix_image_release) struct ix_image
/* A zeroed layer on top; the image's. */
struct ix_layer_ref *ix_image_add_layer(struct ix_image *image);

/* An image by manifest digest; image: a reference it can be fetched from, or NULL. Its manifest and config are in the store then, not its layers.
 * -IX_ENOTFOUND, -IX_EGONE as ix_cache_image. */
int ix_image_load(const struct ix_image_opts *opts, const char *image, const struct ix_digest *manifest, struct ix_image *ret_image,
		  struct ix_err *err);
/* Write config and manifest into the store. stage_key, second: in hex, for the manifest's annotations; NULL: none. *ret_size: the manifest's bytes. */
int ix_image_store(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage_key, const char *second,
		   struct ix_digest *ret_manifest, uint64_t *ret_size, struct ix_err *err);
/* What came out (docs/identity.md, "Output ids"): the layers' contents and the config, without times and history. */
void ix_image_output(const struct ix_image *image, struct ix_output *ret_output);
/* The keys that the manifest of an image, which is in the store, says ix built it under; zero: it does not say. */
int ix_image_made_as(const struct ix_image_opts *opts, const struct ix_digest *manifest, struct ix_digest *ret_key,
		     struct ix_digest *ret_second, struct ix_err *err);
/* Give an image that is in the store a name there. */
int ix_image_name(const struct ix_image_opts *opts, const struct ix_digest *manifest, const char *name, struct ix_err *err);

/* --- its root file system --- */

/* The merged root, read-only and detached. stage: for events, may be NULL. */
int ix_rootfs_open(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage, int *ret_fd, struct ix_err *err);

/* The same with an upper directory on top; dir is a fresh directory that has "upper" and "work". */
struct ix_scratch {
	char *dir;
	char *upper;
	int root_fd;
};
int ix_scratch_open(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage, struct ix_scratch *ret_scratch,
		    struct ix_err *err);
void ix_scratch_release(struct ix_scratch *scratch); /* removes what is left of it */
#define ix_auto_scratch ix_scoped(ix_scratch_release) struct ix_scratch
/* The changes in the scratch become a layer on this image, in the store and unpacked. epoch: later times become it, -1: none. The scratch is used up. */
int ix_scratch_commit(const struct ix_image_opts *opts, struct ix_scratch *scratch, const struct ix_image *image, const char *stage,
		      int64_t epoch, struct ix_step_result *ret_result, struct ix_err *err);

/* --- a layer that is written and is going to be read --- */

struct ix_layer_info;
struct ix_unpacking;
/* What is put into its writer, a tar, is unpacked at once on a thread of its own. opts is borrowed until it is freed. */
int ix_unpacking_begin(const struct ix_image_opts *opts, struct ix_unpacking **ret_unpacking, struct ix_err *err);
struct ix_writer *ix_unpacking_writer(struct ix_unpacking *unpacking);
/* The tar is finished: what it made becomes the unpacked layer. -IX_ECORRUPT: it is not what the layer is; any other
 * error says only that there is none, and the layer itself is as it is. */
int ix_unpacking_keep(struct ix_unpacking *unpacking, const struct ix_layer_info *info, struct ix_err *err);
/* Ends it and removes what was not kept. */
void ix_unpacking_free(struct ix_unpacking *unpacking);
IX_DEFINE_FREEP(struct ix_unpacking, ix_unpacking_free)

#endif
