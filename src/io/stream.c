#include "io/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/fsutil.h"

ssize_t ix_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	return reader->ops->read(reader, bytes, len, err);
}

int ix_read_exact(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	char *at = bytes;

	while (len > 0) {
		ssize_t n = ix_read(reader, at, len, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return ix_err_set(err, IX_ECORRUPT, "ends %zu bytes early", len);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int ix_read_all(struct ix_reader *reader, struct ix_buf *buf, struct ix_err *err)
{
	char chunk[16384];
	ssize_t n;
	int r;

	while ((n = ix_read(reader, chunk, sizeof(chunk), err)) > 0)
		if ((r = ix_buf_append(buf, chunk, (size_t)n, err)) < 0)
			return r;
	return (int)n;
}

void ix_reader_free(struct ix_reader *reader)
{
	if (reader)
		reader->ops->free(reader);
}

int ix_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return len > 0 ? writer->ops->write(writer, bytes, len, err) : 0;
}

int ix_write_finish(struct ix_writer *writer, struct ix_err *err)
{
	return writer->ops->finish(writer, err);
}

void ix_writer_free(struct ix_writer *writer)
{
	if (writer)
		writer->ops->free(writer);
}

int ix_copy(struct ix_reader *reader, struct ix_writer *writer, const struct ix_cancel *cancel, struct ix_err *err)
{
	int r;

	enum { CHUNK = 256 << 10 };
	ix_auto_free char *chunk = ix_malloc(CHUNK);

	for (;;) {
		ssize_t n;

		r = ix_cancel_check(cancel, err);
		if (r < 0)
			return r;
		n = ix_read(reader, chunk, CHUNK, err);
		if (n <= 0)
			return (int)n;
		r = ix_write(writer, chunk, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

/* --- descriptors --- */

struct fd_reader {
	struct ix_reader base;
	int fd;
	bool owned;
};

static ssize_t fd_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct fd_reader *self = (struct fd_reader *)reader;

	for (;;) {
		ssize_t n = read(self->fd, bytes, len);

		if (n >= 0)
			return n;
		if (errno != EINTR)
			return ix_err_sys(err, "read");
	}
}

static void fd_reader_free(struct ix_reader *reader)
{
	struct fd_reader *self = (struct fd_reader *)reader;

	if (self->owned)
		ix_closep(&self->fd);
	free(self);
}

static const struct ix_reader_ops fd_reader_ops = { fd_read, fd_reader_free };

struct ix_reader *ix_fd_reader_new(int fd)
{
	struct fd_reader *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &fd_reader_ops;
	self->fd = fd;
	return &self->base;
}

struct ix_reader *ix_fd_reader_new_take(int fd)
{
	struct ix_reader *reader = ix_fd_reader_new(fd);

	((struct fd_reader *)reader)->owned = true;
	return reader;
}

struct fd_writer {
	struct ix_writer base;
	int fd;
};

static int fd_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return ix_write_all(((struct fd_writer *)writer)->fd, bytes, len, err);
}

static int nothing_to_finish(struct ix_writer *writer, struct ix_err *err)
{
	(void)writer;
	(void)err;
	return 0;
}

static void plain_writer_free(struct ix_writer *writer)
{
	free(writer);
}

static const struct ix_writer_ops fd_writer_ops = { fd_write, nothing_to_finish, plain_writer_free };

struct ix_writer *ix_fd_writer_new(int fd)
{
	struct fd_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &fd_writer_ops;
	self->fd = fd;
	return &self->base;
}

/* --- memory --- */

struct mem_reader {
	struct ix_reader base;
	const char *bytes;
	size_t left;
};

static ssize_t mem_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct mem_reader *self = (struct mem_reader *)reader;
	size_t n = len < self->left ? len : self->left;

	(void)err;
	memcpy(bytes, self->bytes, n);
	self->bytes += n;
	self->left -= n;
	return (ssize_t)n;
}

static void plain_reader_free(struct ix_reader *reader)
{
	free(reader);
}

static const struct ix_reader_ops mem_reader_ops = { mem_read, plain_reader_free };

struct ix_reader *ix_mem_reader_new(const void *bytes, size_t len)
{
	struct mem_reader *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &mem_reader_ops;
	self->bytes = bytes ? bytes : "";
	self->left = len;
	return &self->base;
}

struct buf_writer {
	struct ix_writer base;
	struct ix_buf *buf;
};

static int buf_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return ix_buf_append(((struct buf_writer *)writer)->buf, bytes, len, err);
}

static const struct ix_writer_ops buf_writer_ops = { buf_write, nothing_to_finish, plain_writer_free };

struct ix_writer *ix_buf_writer_new(struct ix_buf *buf)
{
	struct buf_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &buf_writer_ops;
	self->buf = buf;
	return &self->base;
}

/* --- hashing and verifying --- */

struct digest_writer {
	struct ix_writer base;
	struct ix_writer *next;
	struct ix_hash *hash;
	uint64_t count;
	struct ix_digest *ret_digest; /* digest writer */
	uint64_t *ret_size;
	struct ix_digest want; /* verify writer */
	uint64_t want_size;
};

static int digest_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	struct digest_writer *self = (struct digest_writer *)writer;

	ix_hash_bytes(self->hash, bytes, len);
	self->count += len;
	return self->next ? ix_write(self->next, bytes, len, err) : 0;
}

static int digest_finish(struct ix_writer *writer, struct ix_err *err)
{
	struct digest_writer *self = (struct digest_writer *)writer;

	(void)err;
	ix_hash_final(self->hash, self->ret_digest);
	if (self->ret_size)
		*self->ret_size = self->count;
	return 0;
}

static void digest_free(struct ix_writer *writer)
{
	struct digest_writer *self = (struct digest_writer *)writer;

	ix_hash_free(self->hash);
	free(self);
}

static const struct ix_writer_ops digest_writer_ops = { digest_write, digest_finish, digest_free };

struct ix_writer *ix_digest_writer_new(struct ix_writer *next, struct ix_digest *digest, uint64_t *size)
{
	struct digest_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &digest_writer_ops;
	self->next = next;
	self->hash = ix_hash_new();
	self->ret_digest = digest;
	self->ret_size = size;
	return &self->base;
}

static int verify_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	struct digest_writer *self = (struct digest_writer *)writer;

	if (len > self->want_size - self->count)
		return ix_err_set(err, IX_ECORRUPT, "longer than the %llu bytes it should have", (unsigned long long)self->want_size);
	return digest_write(writer, bytes, len, err);
}

static int verify_finish(struct ix_writer *writer, struct ix_err *err)
{
	struct digest_writer *self = (struct digest_writer *)writer;
	struct ix_digest got;

	if (self->count < self->want_size)
		return ix_err_set(err, IX_ECORRUPT, "ends %llu bytes early", (unsigned long long)(self->want_size - self->count));
	ix_hash_final(self->hash, &got);
	if (!ix_digest_eq(&got, &self->want))
		return ix_err_set(err, IX_ECORRUPT, "does not match its digest");
	return 0;
}

static const struct ix_writer_ops verify_writer_ops = { verify_write, verify_finish, digest_free };

struct ix_writer *ix_verify_writer_new(struct ix_writer *next, const struct ix_digest *want, uint64_t size)
{
	struct digest_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &verify_writer_ops;
	self->next = next;
	self->hash = ix_hash_new();
	self->want = *want;
	self->want_size = size;
	return &self->base;
}

struct digest_reader {
	struct ix_reader base;
	struct ix_reader *next;
	struct ix_hash *hash;
	struct ix_digest *ret_digest;
	uint64_t *ret_size;
};

static ssize_t digest_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct digest_reader *self = (struct digest_reader *)reader;
	ssize_t n = ix_read(self->next, bytes, len, err);

	if (n > 0) {
		ix_hash_bytes(self->hash, bytes, (size_t)n);
		*self->ret_size += (uint64_t)n;
	} else if (n == 0) {
		ix_hash_final(self->hash, self->ret_digest);
	}
	return n;
}

static void digest_reader_free(struct ix_reader *reader)
{
	ix_hash_free(((struct digest_reader *)reader)->hash);
	free(reader);
}

static const struct ix_reader_ops digest_reader_ops = { digest_read, digest_reader_free };

struct ix_reader *ix_digest_reader_new(struct ix_reader *next, struct ix_digest *digest, uint64_t *size)
{
	struct digest_reader *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &digest_reader_ops;
	self->next = next;
	self->hash = ix_hash_new();
	self->ret_digest = digest;
	self->ret_size = size;
	*size = 0;
	return &self->base;
}
