#include "io/base64.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/err.h"

char *ix_base64_encode(const void *bytes, size_t len)
{
	unsigned char *text;

	if (len > INT_MAX / 2)
		ix_bug("base64 of %zu bytes", len);
	text = ix_malloc((len + 2) / 3 * 4 + 1);
	EVP_EncodeBlock(text, bytes, (int)len);
	return (char *)text;
}

char *ix_base64_decode(const char *text, size_t *ret_len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
	size_t len = strspn(text, digits), pads = strspn(text + len, "=");
	size_t padded = (len + 3) / 4 * 4;
	char *copy;
	unsigned char *out;

	if (text[len + pads] || pads > 2 || len % 4 == 1 || padded > INT_MAX / 2)
		return NULL;
	copy = ix_malloc(padded + 1);
	out = ix_malloc(padded / 4 * 3 + 1);
	for (size_t i = 0; i < padded; i++)
		copy[i] = (char)(i >= len ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	copy[padded] = '\0';
	EVP_DecodeBlock(out, (const unsigned char *)copy, (int)padded); /* counts what the padding stands for */
	explicit_bzero(copy, padded);
	free(copy);
	*ret_len = padded / 4 * 3 - (padded - len);
	out[*ret_len] = '\0';
	return (char *)out;
}
