#include <bzlib.h>
#include <isa-l.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/compress.h"

enum { IN_SIZE = 256 << 10 };

/* A decompressor over a window of input. decode consumes from in/in_len and produces at most len bytes. */
struct inflater {
	struct ix_reader base;
	struct ix_reader *next;
	const struct codec *codec;
	unsigned char *buffer; /* IN_SIZE */
	const unsigned char *in;
	size_t in_len;
	bool in_end;     /* next has ended */
	bool mid_stream; /* a member or frame has begun and not ended */
	union {
		struct inflate_state *gzip;
		ZSTD_DCtx *zstd;
		bz_stream bzip2;
		lzma_stream xz;
	} u;
};

struct codec {
	const char *name;
	unsigned char magic[6];
	size_t magic_len;
	void (*start)(struct inflater *self);
	/* Bytes produced; progress without output is fine. Sets mid_stream. */
	ssize_t (*decode)(struct inflater *self, void *bytes, size_t len, struct ix_err *err);
	void (*stop)(struct inflater *self);
};

static int bad(const struct inflater *self, struct ix_err *err)
{
	return ix_err_set(err, IX_ECORRUPT, "bad %s data", self->codec->name);
}

static int refill(struct inflater *self, struct ix_err *err)
{
	ssize_t n;

	if (self->in_len > 0 || self->in_end)
		return 0;
	n = ix_read(self->next, self->buffer, IN_SIZE, err);
	if (n < 0)
		return (int)n;
	self->in = self->buffer;
	self->in_len = (size_t)n;
	self->in_end = n == 0;
	return 0;
}

/* --- gzip: members one after the other (RFC 1952 2.2) --- */

static void gzip_start(struct inflater *self)
{
	self->u.gzip = ix_malloc(sizeof(*self->u.gzip));
	isal_inflate_init(self->u.gzip);
	self->u.gzip->crc_flag = ISAL_GZIP;
}

static ssize_t gzip_decode(struct inflater *self, void *bytes, size_t len, struct ix_err *err)
{
	struct inflate_state *state = self->u.gzip;
	size_t before;

	if (!self->mid_stream) {
		isal_inflate_reset(state);
		state->crc_flag = ISAL_GZIP;
		self->mid_stream = true;
	}
	before = len > (1u << 30) ? 1u << 30 : len;
	state->next_in = (uint8_t *)(uintptr_t)self->in;
	state->avail_in = (uint32_t)self->in_len;
	state->next_out = bytes;
	state->avail_out = (uint32_t)before;
	if (isal_inflate(state) != ISAL_DECOMP_OK)
		return bad(self, err);
	self->in += self->in_len - state->avail_in;
	self->in_len = state->avail_in;
	if (state->block_state == ISAL_BLOCK_FINISH)
		self->mid_stream = false;
	return (ssize_t)(before - state->avail_out);
}

static void gzip_stop(struct inflater *self)
{
	free(self->u.gzip);
}

/* --- zstd: frames one after the other --- */

static void zstd_start(struct inflater *self)
{
	self->u.zstd = ZSTD_createDCtx();
	if (!self->u.zstd)
		ix_bug("out of memory");
	/* A window of 128 MiB at most: what zstd --ultra needs, and a bound on memory a stranger can make us take. */
	ZSTD_DCtx_setParameter(self->u.zstd, ZSTD_d_windowLogMax, 27);
}

static ssize_t zstd_decode(struct inflater *self, void *bytes, size_t len, struct ix_err *err)
{
	ZSTD_inBuffer in = { self->in, self->in_len, 0 };
	ZSTD_outBuffer out = { bytes, len, 0 };
	size_t r = ZSTD_decompressStream(self->u.zstd, &out, &in);

	if (ZSTD_isError(r))
		return bad(self, err);
	self->in += in.pos;
	self->in_len -= in.pos;
	self->mid_stream = r != 0;
	return (ssize_t)out.pos;
}

static void zstd_stop(struct inflater *self)
{
	ZSTD_freeDCtx(self->u.zstd);
}

/* --- bzip2 --- */

static void bzip2_start(struct inflater *self)
{
	memset(&self->u.bzip2, 0, sizeof(self->u.bzip2));
	if (BZ2_bzDecompressInit(&self->u.bzip2, 0, 0) != BZ_OK)
		ix_bug("out of memory");
}

static ssize_t bzip2_decode(struct inflater *self, void *bytes, size_t len, struct ix_err *err)
{
	bz_stream *z = &self->u.bzip2;
	unsigned room = len > (1u << 30) ? 1u << 30 : (unsigned)len;
	int r;

	z->next_in = (char *)(uintptr_t)self->in;
	z->avail_in = (unsigned)self->in_len;
	z->next_out = bytes;
	z->avail_out = room;
	self->mid_stream = true;
	r = BZ2_bzDecompress(z);
	self->in += self->in_len - z->avail_in;
	self->in_len = z->avail_in;
	if (r == BZ_STREAM_END) {
		self->mid_stream = false;
		BZ2_bzDecompressEnd(z);
		room -= z->avail_out;
		bzip2_start(self);
		return (ssize_t)room;
	}
	return r == BZ_OK ? (ssize_t)(room - z->avail_out) : bad(self, err);
}

static void bzip2_stop(struct inflater *self)
{
	BZ2_bzDecompressEnd(&self->u.bzip2);
}

/* --- xz --- */

static void xz_start(struct inflater *self)
{
	self->u.xz = (lzma_stream)LZMA_STREAM_INIT;
	if (lzma_stream_decoder(&self->u.xz, 256u << 20, 0) != LZMA_OK)
		ix_bug("out of memory");
}

static ssize_t xz_decode(struct inflater *self, void *bytes, size_t len, struct ix_err *err)
{
	lzma_stream *z = &self->u.xz;
	lzma_ret r;

	z->next_in = self->in;
	z->avail_in = self->in_len;
	z->next_out = bytes;
	z->avail_out = len;
	self->mid_stream = true;
	r = lzma_code(z, LZMA_RUN);
	self->in += self->in_len - z->avail_in;
	self->in_len = z->avail_in;
	if (r == LZMA_STREAM_END) {
		size_t room = z->avail_out;

		self->mid_stream = false;
		lzma_end(z);
		xz_start(self);
		return (ssize_t)(len - room);
	}
	return r == LZMA_OK ? (ssize_t)(len - z->avail_out) : bad(self, err);
}

static void xz_stop(struct inflater *self)
{
	lzma_end(&self->u.xz);
}

static const struct codec codecs[] = {
	{ "gzip", { 0x1f, 0x8b, 8 }, 3, gzip_start, gzip_decode, gzip_stop },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, zstd_start, zstd_decode, zstd_stop },
	{ "bzip2", { 'B', 'Z', 'h' }, 3, bzip2_start, bzip2_decode, bzip2_stop },
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, xz_start, xz_decode, xz_stop },
};

/* Enough bytes to tell the formats apart, then the codec they name; none: plain bytes. */
static int detect(struct inflater *self, struct ix_err *err)
{
	while (self->in_len < sizeof(self->codec->magic)) {
		ssize_t n = ix_read(self->next, self->buffer + self->in_len, IN_SIZE - self->in_len, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		self->in_len += (size_t)n;
	}
	self->in = self->buffer;
	for (size_t i = 0; i < IX_ARRAY_LEN(codecs); i++)
		if (self->in_len >= codecs[i].magic_len && memcmp(self->in, codecs[i].magic, codecs[i].magic_len) == 0)
			self->codec = &codecs[i];
	if (self->codec)
		self->codec->start(self);
	return 0;
}

static const struct ix_reader_ops plain_ops, inflate_ops;

static ssize_t plain_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct inflater *self = (struct inflater *)reader;
	size_t n = len < self->in_len ? len : self->in_len;

	if (n == 0)
		return ix_read(self->next, bytes, len, err);
	memcpy(bytes, self->in, n);
	self->in += n;
	self->in_len -= n;
	return (ssize_t)n;
}

static ssize_t inflate_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct inflater *self = (struct inflater *)reader;
	int r;

	for (;;) {
		size_t had;
		bool was_end;
		ssize_t n;

		r = refill(self, err);
		if (r < 0)
			return r;
		had = self->in_len;
		was_end = self->in_end;
		if (was_end && had == 0 && !self->mid_stream)
			return 0;
		n = self->codec->decode(self, bytes, len, err);
		if (n != 0)
			return n;
		if (was_end && had == 0 && self->mid_stream)
			return ix_err_set(err, IX_ECORRUPT, "%s data ends early", self->codec->name);
		if (had > 0 && self->in_len == had && !self->mid_stream)
			return bad(self, err);
	}
}

static ssize_t first_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct inflater *self = (struct inflater *)reader;
	int r = detect(self, err);

	if (r < 0)
		return r;
	self->base.ops = self->codec ? &inflate_ops : &plain_ops;
	return ix_read(reader, bytes, len, err);
}

static void inflater_free(struct ix_reader *reader)
{
	struct inflater *self = (struct inflater *)reader;

	if (self->codec)
		self->codec->stop(self);
	free(self->buffer);
	free(self);
}

static const struct ix_reader_ops first_ops = { first_read, inflater_free };
static const struct ix_reader_ops plain_ops = { plain_read, inflater_free };
static const struct ix_reader_ops inflate_ops = { inflate_read, inflater_free };

struct ix_reader *ix_decompress_reader_new(struct ix_reader *next)
{
	struct inflater *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &first_ops;
	self->next = next;
	self->buffer = ix_malloc(IN_SIZE);
	return &self->base;
}
