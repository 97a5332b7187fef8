#include "io/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"

bool ix_digest_eq(const struct ix_digest *a, const struct ix_digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool ix_digest_is_zero(const struct ix_digest *digest)
{
	static const struct ix_digest zero;

	return ix_digest_eq(digest, &zero);
}

int ix_digest_parse(const char *text, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct ix_digest digest = { 0 };

	if (!ix_starts(text, "sha256:") || !ix_unhex(text + 7, digest.bytes, sizeof(digest.bytes))) {
		ix_auto_free char *shown = ix_printable(text, 80);

		return ix_err_set(err, IX_ECORRUPT, "'%s' is not a sha256 digest", shown);
	}
	*ret_digest = digest;
	return 0;
}

char *ix_digest_text(const struct ix_digest *digest, char out[static IX_DIGEST_TEXT])
{
	memcpy(out, "sha256:", sizeof("sha256:"));
	ix_hex(digest->bytes, sizeof(digest->bytes), out + 7);
	return out;
}

char *ix_digest_hex(const struct ix_digest *digest, char out[static IX_DIGEST_HEX + 1])
{
	ix_hex(digest->bytes, sizeof(digest->bytes), out);
	return out;
}

struct ix_hash {
	EVP_MD_CTX *ctx;
};

static void start(struct ix_hash *hash)
{
	if (EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1)
		ix_bug("sha256 is not available");
}

struct ix_hash *ix_hash_new(void)
{
	struct ix_hash *hash = ix_calloc(1, sizeof(*hash));

	hash->ctx = EVP_MD_CTX_new();
	if (!hash->ctx)
		ix_bug("out of memory");
	start(hash);
	return hash;
}

void ix_hash_free(struct ix_hash *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->ctx);
	free(hash);
}

void ix_hash_bytes(struct ix_hash *hash, const void *bytes, size_t len)
{
	if (len > 0 && EVP_DigestUpdate(hash->ctx, bytes, len) != 1)
		ix_bug("sha256 failed");
}

void ix_hash_final(struct ix_hash *hash, struct ix_digest *ret_digest)
{
	if (EVP_DigestFinal_ex(hash->ctx, ret_digest->bytes, NULL) != 1)
		ix_bug("sha256 failed");
	start(hash);
}

void ix_digest_of(const void *bytes, size_t len, struct ix_digest *ret_digest)
{
	if (EVP_Digest(bytes, len, ret_digest->bytes, NULL, EVP_sha256(), NULL) != 1)
		ix_bug("sha256 failed");
}

void ix_hash_u64(struct ix_hash *hash, uint64_t value)
{
	unsigned char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(value >> (8 * i)); /* little endian on every machine */
	ix_hash_bytes(hash, bytes, sizeof(bytes));
}

void ix_hash_field(struct ix_hash *hash, uint32_t tag, const void *bytes, size_t len)
{
	ix_hash_u64(hash, tag);
	ix_hash_u64(hash, bytes ? (uint64_t)len + 1 : 0);
	if (bytes)
		ix_hash_bytes(hash, bytes, len);
}

void ix_hash_text(struct ix_hash *hash, uint32_t tag, const char *text)
{
	ix_hash_field(hash, tag, text, text ? strlen(text) : 0);
}

void ix_hash_digest(struct ix_hash *hash, uint32_t tag, const struct ix_digest *digest)
{
	ix_hash_field(hash, tag, digest ? digest->bytes : NULL, sizeof(digest->bytes));
}
