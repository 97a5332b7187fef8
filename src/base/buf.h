/*
 * A growing byte buffer with a limit. Going over the limit is IX_ELIMIT, never truncation. The bytes are always followed by a NUL that is
 * not counted, so data can be used as a string when it holds no NUL itself.
 */
#ifndef IX_BASE_BUF_H
#define IX_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/scope.h"

struct ix_buf {
	char *data; /* never NULL after the first append; see ix_buf_str */
	size_t len;
	size_t cap;
	size_t limit;
};

enum {
	IX_MANIFEST_MAX = 4 << 20,
	IX_CONFIG_MAX = 8 << 20,
	IX_TOKEN_MAX = 64 << 10,
	IX_TEXT_MAX = 16 << 20, /* Dockerfile, ix.yaml, ignore files */
};

/* An empty buffer; limit 0 means no limit of its own. */
#define IX_BUF_INIT(max) ((struct ix_buf){ .limit = (max) })
void ix_buf_release(struct ix_buf *buf);
#define ix_auto_buf ix_scoped(ix_buf_release) struct ix_buf

/* All of it, or IX_ELIMIT and nothing. */
int ix_buf_append(struct ix_buf *buf, const void *bytes, size_t len, struct ix_err *err) ix_must_use;

/* For buffers without a limit (limit 0), which cannot fail. A bug on a limited one that overflows. */
void ix_buf_put(struct ix_buf *buf, const void *bytes, size_t len);
void ix_buf_puts(struct ix_buf *buf, const char *text);
void ix_buf_putc(struct ix_buf *buf, char c);
void ix_buf_printf(struct ix_buf *buf, const char *fmt, ...) ix_printf(2, 3);
void ix_buf_vprintf(struct ix_buf *buf, const char *fmt, va_list args) ix_printf(2, 0);
/* Make room for len more bytes and return where they go; the caller adds to buf->len what it wrote. */
char *ix_buf_reserve(struct ix_buf *buf, size_t len);

void ix_buf_reset(struct ix_buf *buf);            /* len = 0, memory kept */
const char *ix_buf_str(const struct ix_buf *buf); /* "" for an empty buffer; lives as long as buf is unchanged */
char *ix_buf_steal(struct ix_buf *buf);           /* the caller frees; buf is empty again */

/* Everything from fd until end of file. */
int ix_buf_read_fd(struct ix_buf *buf, int fd, struct ix_err *err) ix_must_use;

#endif
