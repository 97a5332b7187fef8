#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

void ix_buf_release(struct ix_buf *buf)
{
	free(buf->data);
	buf->data = NULL;
	buf->len = buf->cap = 0;
}

static void grow(struct ix_buf *buf, size_t len)
{
	size_t want;

	if (__builtin_add_overflow(buf->len, len, &want) || want > SIZE_MAX / 2)
		ix_bug("buffer size overflows");
	want++;
	if (want <= buf->cap)
		return;
	if (want < buf->cap * 2)
		want = buf->cap * 2;
	if (want < 64)
		want = 64;
	buf->data = ix_realloc_array(buf->data, want, 1);
	buf->cap = want;
}

int ix_buf_append(struct ix_buf *buf, const void *bytes, size_t len, struct ix_err *err)
{
	if (buf->limit && len > buf->limit - buf->len)
		return ix_err_set(err, IX_ELIMIT, "larger than the limit of %zu bytes", buf->limit);
	grow(buf, len);
	if (len > 0)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

void ix_buf_put(struct ix_buf *buf, const void *bytes, size_t len)
{
	struct ix_err err;

	if (ix_buf_append(buf, bytes, len, &err) < 0)
		ix_bug("%s", err.msg);
}

void ix_buf_puts(struct ix_buf *buf, const char *text)
{
	ix_buf_put(buf, text, strlen(text));
}

void ix_buf_putc(struct ix_buf *buf, char c)
{
	ix_buf_put(buf, &c, 1);
}

void ix_buf_vprintf(struct ix_buf *buf, const char *fmt, va_list args)
{
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		ix_bug("bad format '%s'", fmt);
	grow(buf, (size_t)n);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
	buf->len += (size_t)n;
}

void ix_buf_printf(struct ix_buf *buf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(buf, fmt, args);
	va_end(args);
}

char *ix_buf_reserve(struct ix_buf *buf, size_t len)
{
	grow(buf, len);
	return buf->data + buf->len;
}

void ix_buf_reset(struct ix_buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

const char *ix_buf_str(const struct ix_buf *buf)
{
	return buf->data ? buf->data : "";
}

char *ix_buf_steal(struct ix_buf *buf)
{
	char *data = buf->data ? buf->data : ix_strdup("");

	buf->data = NULL;
	buf->len = buf->cap = 0;
	return data;
}

int ix_buf_read_fd(struct ix_buf *buf, int fd, struct ix_err *err)
{
	char chunk[16384];
	int r;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ix_err_sys(err, "read");
		if (n == 0)
			return 0;
		r = ix_buf_append(buf, chunk, (size_t)n, err);
		if (r < 0)
			return r;
	}
}
