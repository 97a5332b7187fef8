/* How unpacked layers come to be what a root is made of. */
#ifndef IX_IMAGE_IMAGE_INT_H
#define IX_IMAGE_IMAGE_INT_H

#include "image/image.h"

/* --- perturb.c --- */

/* A directory of an unpacked layer becomes its perturbed copy. */
int perturb_dir(struct ix_perturbed *perturbed, char **dir, struct ix_err *err);

/* --- unpack.c --- */

/* A layer's blob into an empty directory, verified against its diff id. made: as in struct ix_unpack_opts. */
int unpack_blob_into(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const char *dir, struct ix_strv *made,
		     struct ix_err *err);

/* With IX_CHECK_LAYERS=1: is dir, entry by entry, what the layer's blob unpacks to? Otherwise 0. */
int unpack_check(const struct ix_image_opts *opts, const char *dir, const struct ix_layer_info *info, struct ix_err *err);

/* --- parents.c --- */

/* Remember which directories a layer does not speak of, though it has something in them. */
int parents_note(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const struct ix_strv *made, struct ix_err *err);
/* Such directories are what they are in the layers below: dirs[n], of the layer, becomes a directory in which they are. */
int parents_inherit(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, char **dirs, size_t n, const char *stage,
		    struct ix_err *err);

#endif
