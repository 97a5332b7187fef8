/*
 * Compression and its inverse.
 *
 * Compressors cut the input into fixed 1 MiB blocks and compress them on several threads; the output is the same for any number of threads.
 * gzip is one RFC 1952 stream made by ISA-L level 2; zstd is RFC 8878.
 */
#ifndef IX_IO_COMPRESS_H
#define IX_IO_COMPRESS_H

#include "io/stream.h"

enum ix_compression { IX_COMPRESSION_NONE, IX_COMPRESSION_GZIP, IX_COMPRESSION_ZSTD };
/* "gzip", "zstd" or "uncompressed", as people write it; others are IX_EARG and say so. */
int ix_compression_parse(const char *name, enum ix_compression *ret_kind, struct ix_err *err);
/* A level that the kind has, 0 for its default; others are IX_EARG. */
int ix_compression_level(const char *value, enum ix_compression kind, int *ret_level, struct ix_err *err);

/* level 0: the default of the kind (gzip 2 of ISA-L's 1..3; zstd 3). threads 0: one per CPU, at most 8. next is borrowed; finish
 * finishes only this stage, not next. */
struct ix_writer *ix_compress_writer_new(struct ix_writer *next, enum ix_compression kind, int level, unsigned threads);

/* Looks at the first bytes: gzip, zstd, bzip2, xz, otherwise passes them through. next is borrowed.
 * Truncated or trailing garbage is IX_ECORRUPT; concatenated gzip members and zstd frames are one stream. */
struct ix_reader *ix_decompress_reader_new(struct ix_reader *next);

#endif
