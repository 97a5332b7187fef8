/*
 * Images in and out of the store: files and directories other tools read, other forms of an image, what two images differ in.
 */
#ifndef IX_IMAGES_IMAGES_H
#define IX_IMAGES_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "image/image.h"
#include "io/compress.h"
#include "io/digest.h"
#include "oci/image.h"

/* --- images out --- */

enum ix_export_kind { IX_EXPORT_OCI, IX_EXPORT_DOCKER, IX_EXPORT_TAR, IX_EXPORT_LOCAL };
struct ix_export {
	enum ix_export_kind kind;
	const char *dest;         /* file; directory for LOCAL; NULL or "-": standard output */
	bool directory;           /* OCI: a layout directory instead of its tar (tar=false) */
	const char *const *names; /* OCI, DOCKER: names the image carries, full references; NULL terminated or NULL */
};
/* image: where blobs that are not in the store are fetched from, or NULL. */
int ix_export_image(const struct ix_image_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_export *spec,
		    struct ix_err *err);

/* Another form of an image. */
struct ix_convert {
	bool has_compression;
	enum ix_compression compression;
	int level;              /* 0: default */
	bool force;             /* layers of the base image too */
	bool rewrite_timestamp; /* times after epoch become it, except in layers of the base image */
	int64_t epoch;
	size_t base_layers;                /* how many layers come from the base image */
	bool docker_types;                 /* docker's media types instead of OCI's */
	const struct ix_strv *annotations; /* of the manifest: key, value, ...; NULL: none */
};
/* The converted image is in the store; its manifest may be the same. */
int ix_image_convert(const struct ix_image_opts *opts, const struct ix_digest *digest, const char *image, const struct ix_convert *spec,
		     struct ix_digest *ret_digest, struct ix_err *err);

/* The first difference of two images of the same stage; what NULL: none. image_a: where blobs of a may have to come from. The caller frees path. */
struct ix_image_difference {
	size_t layer; /* 1-based; 0: it is not in a layer */
	char step[128];
	char *path;
	const char *what;
	bool times_only;
};
int ix_image_compare(const struct ix_image_opts *opts, const struct ix_digest *a, const char *image_a, const struct ix_digest *b,
		     struct ix_image_difference *ret_difference, struct ix_err *err);

/* --- images in --- */

/* A tar of a root file system (plain or compressed, from fd) becomes an image of one layer under name. */
int ix_import_rootfs(const struct ix_image_opts *opts, int fd, const char *name, const struct ix_platform *platform,
		     struct ix_digest *ret_manifest, struct ix_err *err);

#endif
