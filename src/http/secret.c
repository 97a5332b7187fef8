#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/str.h"
#include "http/http.h"
#include "io/base64.h"

void ix_secret_text_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void ix_secret_take(struct ix_secret *secret, char *text)
{
	char *old = secret->value;

	secret->value = text;
	ix_secret_text_free(old);
}

void ix_secret_set(struct ix_secret *secret, const char *text)
{
	ix_secret_take(secret, ix_strdup(text));
}

void ix_secret_copy(struct ix_secret *to, const struct ix_secret *from)
{
	ix_secret_set(to, from->value);
}

void ix_secret_release(struct ix_secret *secret)
{
	ix_secret_take(secret, NULL);
}

bool ix_secret_eq(const struct ix_secret *a, const struct ix_secret *b)
{
	return ix_streq(a->value, b->value);
}

void ix_secret_buf_release(struct ix_buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->cap);
	ix_buf_release(buf);
}

char *ix_secret_basic(const char *name, const char *password)
{
	ix_auto_secret joined = { ix_asprintf("%s:%s", name, password) };
	ix_auto_secret encoded = { ix_base64_encode(joined.value, strlen(joined.value)) };

	return ix_asprintf("Basic %s", encoded.value);
}
