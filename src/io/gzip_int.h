/* One gzip stream (RFC 1952) of independent blocks, each primed with the 32 KiB before it, so that they can be compressed in parallel. */
#ifndef IX_IO_GZIP_INT_H
#define IX_IO_GZIP_INT_H

#include "io/stream.h"

enum { GZIP_BLOCK = 1 << 20, GZIP_WINDOW = 32 << 10 };

struct ix_writer *gzip_writer_new(struct ix_writer *next, int level, unsigned threads);
struct ix_writer *zstd_writer_new(struct ix_writer *next, int level, unsigned threads);

#endif
