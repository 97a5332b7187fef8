/* One gzip stream (RFC 1952) of independent blocks, each primed with the 32 KiB before it, so that they can be compressed in parallel. */
#ifndef IX_IO_GZIP_INT_H
#define IX_IO_GZIP_INT_H

#include "base/buf.h"
#include "io/stream.h"

enum { GZIP_BLOCK = 1 << 20, GZIP_WINDOW = 32 << 10 };

/* Compress one block of raw deflate, ending on a byte boundary; last ends the stream. Thread-safe. out has no limit of its own. */
void gzip_block(const void *window, size_t window_len, const void *bytes, size_t len, bool last, int level, struct ix_buf *out);
uint32_t gzip_crc(uint32_t crc, const void *bytes, size_t len);
struct ix_writer *gzip_writer_new(struct ix_writer *next, int level, unsigned threads);
struct ix_writer *zstd_writer_new(struct ix_writer *next, int level, unsigned threads);

#endif
