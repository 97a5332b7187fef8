#include "io/compress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "gzip_int.h"

int ix_compression_parse(const char *name, enum ix_compression *ret_kind, struct ix_err *err)
{
	if (strcmp(name, "gzip") == 0)
		*ret_kind = IX_COMPRESSION_GZIP;
	else if (strcmp(name, "zstd") == 0)
		*ret_kind = IX_COMPRESSION_ZSTD;
	else if (strcmp(name, "uncompressed") == 0)
		*ret_kind = IX_COMPRESSION_NONE;
	else if (strcmp(name, "estargz") == 0)
		return ix_err_set(err, IX_EARG, "compression estargz is not supported: gzip, zstd or uncompressed");
	else
		return ix_err_set(err, IX_EARG, "compression '%s': gzip, zstd or uncompressed", name);
	return 0;
}

int ix_compression_level(const char *value, enum ix_compression kind, int *ret_level, struct ix_err *err)
{
	uint64_t level, most = kind == IX_COMPRESSION_GZIP ? 9 : kind == IX_COMPRESSION_ZSTD ? 22 : 0;

	if (!ix_parse_u64(value, most, &level))
		return ix_err_set(err, IX_EARG, "%s: 0 to 9 for gzip, 0 to 22 for zstd, none for uncompressed layers", value);
	*ret_level = (int)level;
	return 0;
}

struct plain_writer {
	struct ix_writer base;
	struct ix_writer *next;
};

static int plain_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return ix_write(((struct plain_writer *)writer)->next, bytes, len, err);
}

static int plain_finish(struct ix_writer *writer, struct ix_err *err)
{
	(void)writer;
	(void)err;
	return 0;
}

static void plain_free(struct ix_writer *writer)
{
	free(writer);
}

static const struct ix_writer_ops plain_ops = { plain_write, plain_finish, plain_free };

static unsigned default_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 8 ? 8 : (unsigned)n;
}

struct ix_writer *ix_compress_writer_new(struct ix_writer *next, enum ix_compression kind, int level, unsigned threads)
{
	struct plain_writer *plain;

	if (threads == 0)
		threads = default_threads();
	switch (kind) {
	case IX_COMPRESSION_GZIP:
		return gzip_writer_new(next, level ? level : 2, threads);
	case IX_COMPRESSION_ZSTD:
		return zstd_writer_new(next, level ? level : 3, threads);
	case IX_COMPRESSION_NONE:
		break;
	}
	plain = ix_calloc(1, sizeof(*plain));
	plain->base.ops = &plain_ops;
	plain->next = next;
	return &plain->base;
}
