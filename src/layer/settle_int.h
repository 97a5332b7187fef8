/*
 * An upper directory whose changes have been packed becomes the unpacked layer. What of it the layer does not carry (fractions of seconds, access
 * lists, attributes of this machine) is taken off, so that it is what anybody else gets who unpacks the blob.
 */
#ifndef IX_LAYER_SETTLE_INT_H
#define IX_LAYER_SETTLE_INT_H

#include <sys/stat.h>

#include "layer/layer.h"

/* A file or directory. st: as it was packed; mtime_s: as the layer says. */
int settle_open(int fd, const struct stat *st, int64_t mtime_s, const char *path, struct ix_err *err);
/* A link, pipe or device. */
int settle_special(int dirfd, const char *name, int64_t mtime_s, const char *path, struct ix_err *err);
/* A changeset says nothing of the root. */
int settle_root(int fd, struct ix_err *err);

#endif
