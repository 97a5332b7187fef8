#include <stdlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "gzip_int.h"

struct zstd_writer {
	struct ix_writer base;
	struct ix_writer *next;
	ZSTD_CCtx *ctx;
	void *out;
	size_t out_size;
};

static int run(struct zstd_writer *self, const void *bytes, size_t len, ZSTD_EndDirective mode, struct ix_err *err)
{
	int r;

	ZSTD_inBuffer in = { bytes, len, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { self->out, self->out_size, 0 };

		left = ZSTD_compressStream2(self->ctx, &out, &in, mode);
		if (ZSTD_isError(left))
			return ix_err_set(err, IX_EFAIL, "zstd: %s", ZSTD_getErrorName(left));
		r = ix_write(self->next, self->out, out.pos, err);
		if (r < 0)
			return r;
	} while (mode == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int zstd_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return run((struct zstd_writer *)writer, bytes, len, ZSTD_e_continue, err);
}

static int zstd_finish(struct ix_writer *writer, struct ix_err *err)
{
	return run((struct zstd_writer *)writer, "", 0, ZSTD_e_end, err);
}

static void zstd_free(struct ix_writer *writer)
{
	struct zstd_writer *self = (struct zstd_writer *)writer;

	ZSTD_freeCCtx(self->ctx);
	free(self->out);
	free(self);
}

static const struct ix_writer_ops zstd_ops = { zstd_write, zstd_finish, zstd_free };

struct ix_writer *zstd_writer_new(struct ix_writer *next, int level, unsigned threads)
{
	struct zstd_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &zstd_ops;
	self->next = next;
	self->ctx = ZSTD_createCCtx();
	if (!self->ctx)
		ix_bug("out of memory");
	ZSTD_CCtx_setParameter(self->ctx, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(self->ctx, ZSTD_c_checksumFlag, 1);
	/* At least one worker: the stream made with none differs from the one made with any number of them. A fixed job size keeps it the
	 * same for all. */
	ZSTD_CCtx_setParameter(self->ctx, ZSTD_c_nbWorkers, (int)threads);
	ZSTD_CCtx_setParameter(self->ctx, ZSTD_c_jobSize, 1 << 20);
	self->out_size = ZSTD_CStreamOutSize();
	self->out = ix_malloc(self->out_size);
	return &self->base;
}
