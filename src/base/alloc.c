#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static void *checked(void *pointer)
{
	if (!pointer)
		ix_bug("out of memory");
	return pointer;
}

void *ix_malloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *ix_calloc(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *ix_realloc_array(void *old, size_t count, size_t size)
{
	return checked(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *ix_strdup(const char *text)
{
	return text ? checked(strdup(text)) : NULL;
}

char *ix_strndup(const char *text, size_t len)
{
	char *copy = ix_malloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *ix_asprintf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		ix_bug("out of memory");
	return text;
}
