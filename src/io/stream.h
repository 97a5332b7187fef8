/*
 * Byte streams. A reader or writer is a struct with a table; gzip, zstd, digest, limit and count each wrap another one.
 *
 * A writer's bytes count only after finish succeeded: compressors flush, verifiers compare. free without finish discards.
 */
#ifndef IX_IO_STREAM_H
#define IX_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/scope.h"
#include "io/digest.h"

struct ix_reader;
struct ix_reader_ops {
	/* Up to len bytes (len > 0). 0 is the end. Negative: error. After an error or the end it is not called again. */
	ssize_t (*read)(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err);
	void (*free)(struct ix_reader *reader);
};
struct ix_reader {
	const struct ix_reader_ops *ops;
};

struct ix_writer;
struct ix_writer_ops {
	int (*write)(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err);
	int (*finish)(struct ix_writer *writer, struct ix_err *err);
	void (*free)(struct ix_writer *writer);
};
struct ix_writer {
	const struct ix_writer_ops *ops;
};

/* As the reader's table says: up to len bytes, 0 at the end, negative on error. */
ssize_t ix_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err) ix_must_use;
/* Exactly len bytes; an early end is IX_ECORRUPT. */
int ix_read_exact(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err) ix_must_use;
/* Up to the end, appended; more than buf may hold is IX_ELIMIT. */
int ix_read_all(struct ix_reader *reader, struct ix_buf *buf, struct ix_err *err) ix_must_use;
void ix_reader_free(struct ix_reader *reader);
IX_DEFINE_FREEP(struct ix_reader, ix_reader_free)

/* All len bytes or an error, after which it is only freed. ix_write_finish: once, after the last byte; only then is what came out whole. */
int ix_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err) ix_must_use;
int ix_write_finish(struct ix_writer *writer, struct ix_err *err) ix_must_use;
void ix_writer_free(struct ix_writer *writer);
IX_DEFINE_FREEP(struct ix_writer, ix_writer_free)

/* Everything from reader to writer; finish is left to the caller. */
int ix_copy(struct ix_reader *reader, struct ix_writer *writer, const struct ix_cancel *cancel, struct ix_err *err) ix_must_use;

/* Over a descriptor. Owning ones close it when freed. */
struct ix_reader *ix_fd_reader_new(int fd);
struct ix_reader *ix_fd_reader_new_take(int fd);
struct ix_writer *ix_fd_writer_new(int fd);
/* Over memory: borrowed bytes; borrowed buffer. */
struct ix_reader *ix_mem_reader_new(const void *bytes, size_t len);
struct ix_writer *ix_buf_writer_new(struct ix_buf *buf);

/* Passes bytes through to next (borrowed) while hashing and counting; the result is in *digest and *size after finish. NULL next discards. */
struct ix_writer *ix_digest_writer_new(struct ix_writer *next, struct ix_digest *digest, uint64_t *size);
/* Passes bytes to both (borrowed), and finishes both. */
struct ix_writer *ix_tee_writer_new(struct ix_writer *one, struct ix_writer *two);
/* Fails closed: finish is IX_ECORRUPT unless exactly size bytes with that digest were written; a longer stream fails at once. */
struct ix_writer *ix_verify_writer_new(struct ix_writer *next, const struct ix_digest *want, uint64_t size);
/* Reads through to next (borrowed), hashing and counting what passed; values are right once next has ended. */
struct ix_reader *ix_digest_reader_new(struct ix_reader *next, struct ix_digest *digest, uint64_t *size);
/* Reads next (borrowed) on a thread of its own, a few MiB ahead: what is before it and what is behind it overlap. Free it before next. */
struct ix_reader *ix_readahead_reader_new(struct ix_reader *next);

/* A pipe between two threads, of so much room: a full one makes the writer wait, an empty one the reader. A reader that is freed early lets the writer
 * go on for nothing; a writer that is freed without finish is -IX_ECANCELED to the reader. */
void ix_pipe_new(size_t room, struct ix_writer **ret_writer, struct ix_reader **ret_reader);

#endif
