#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ix_err_set(struct ix_err *err, enum ix_errc code, const char *fmt, ...)
{
	va_list args;

	err->code = code;
	err->sys = 0;
	err->detail[0] = '\0';
	va_start(args, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	return -(int)code;
}

static void set_sys(struct ix_err *err, enum ix_errc missing, const char *fmt, va_list args) ix_printf(3, 0);
static void set_sys(struct ix_err *err, enum ix_errc missing, const char *fmt, va_list args)
{
	int saved = errno;
	const char *words = strerrordesc_np(saved);
	int n;

	err->code = saved == ENOENT ? missing : saved == EEXIST ? IX_EEXIST : IX_ESYS;
	err->sys = saved;
	err->detail[0] = '\0';
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", words ? words : "unknown error");
	errno = saved;
}

int ix_err_sys(struct ix_err *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_sys(err, IX_ESYS, fmt, args);
	va_end(args);
	return ix_err_code(err);
}

int ix_err_lookup(struct ix_err *err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_sys(err, IX_ENOTFOUND, fmt, args);
	va_end(args);
	return ix_err_code(err);
}

int ix_err_wrap(struct ix_err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list args;
	int n;

	memcpy(old, err->msg, sizeof(old));
	va_start(args, fmt);
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", old);
	return ix_err_code(err);
}

int ix_err_detail(struct ix_err *err, const char *fmt, ...)
{
	size_t used = strnlen(err->detail, sizeof(err->detail));
	va_list args;

	va_start(args, fmt);
	vsnprintf(err->detail + used, sizeof(err->detail) - used, fmt, args);
	va_end(args);
	return ix_err_code(err);
}

/* The start of the given 1-based line, or NULL when text has fewer. */
static const char *find_line(const char *text, unsigned line)
{
	for (unsigned at = 1; at < line; at++) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	return text;
}

int ix_err_copy(struct ix_err *err, const struct ix_err *kept)
{
	*err = *kept;
	return ix_err_code(err);
}

int ix_err_excerpt(struct ix_err *err, const char *text, unsigned line, unsigned column)
{
	const char *start = find_line(text, line);
	size_t len, shown;
	unsigned skip = 0;

	if (!start)
		return ix_err_code(err);
	len = strcspn(start, "\r\n");
	/* A very long line is shown around the column. */
	if (column > 100)
		skip = column - 60;
	shown = len > skip ? len - skip : 0;
	if (shown > 160)
		shown = 160;
	err->detail[0] = '\0';
	ix_err_detail(err, "%5u | ", line);
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)start[skip + i];

		ix_err_detail(err, "%c", c == '\t' ? ' ' : c < 32 || c == 127 ? '?' : c);
	}
	if (column > 0)
		ix_err_detail(err, "\n      | %*s^", (int)(column - 1 - skip), "");
	return ix_err_code(err);
}

void ix_bug(const char *fmt, ...)
{
	va_list args;

	fputs("ix: internal error: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}
