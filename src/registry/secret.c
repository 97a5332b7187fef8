#include "registry/secret_int.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

void secret_text_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void secret_take(struct ix_secret *secret, char *text)
{
	char *old = secret->value;

	secret->value = text;
	secret_text_free(old);
}

void secret_set(struct ix_secret *secret, const char *text)
{
	secret_take(secret, ix_strdup(text));
}

void secret_copy(struct ix_secret *to, const struct ix_secret *from)
{
	secret_set(to, from->value);
}

void secret_release(struct ix_secret *secret)
{
	secret_take(secret, NULL);
}

bool secret_eq(const struct ix_secret *a, const struct ix_secret *b)
{
	return ix_streq(a->value, b->value);
}

void secret_buf_release(struct ix_buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->cap);
	ix_buf_release(buf);
}

char *secret_basic(const char *name, const char *password)
{
	auto_secret joined = { ix_asprintf("%s:%s", name, password) };
	auto_secret encoded = { base64_encode(joined.value, strlen(joined.value)) };

	return ix_asprintf("Basic %s", encoded.value);
}

char *base64_encode(const void *bytes, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *in = bytes;
	char *text = ix_malloc(len / 3 * 4 + 5);
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < len)
			group |= in[i + 2];
		text[n++] = digits[group >> 18];
		text[n++] = digits[group >> 12 & 63];
		text[n++] = i + 1 < len ? digits[group >> 6 & 63] : '=';
		text[n++] = i + 2 < len ? digits[group & 63] : '=';
	}
	text[n] = '\0';
	return text;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

char *base64_decode(const char *text, size_t *ret_len)
{
	size_t len = strlen(text), n = 0;
	uint32_t bits = 0;
	unsigned have = 0;
	char *out;

	for (int pads = 0; pads < 2 && len > 0 && text[len - 1] == '='; pads++)
		len--;
	if (len % 4 == 1)
		return NULL;
	out = ix_malloc(len / 4 * 3 + 4);
	for (size_t i = 0; i < len; i++) {
		int digit = base64_digit(text[i]);

		if (digit < 0) {
			explicit_bzero(out, n);
			free(out);
			return NULL;
		}
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (char)(bits >> have & 0xff);
		}
	}
	out[n] = '\0';
	*ret_len = n;
	return out;
}
