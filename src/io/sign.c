#include "io/sign.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static const char private_prefix[] = "ix-ed25519-private:", public_prefix[] = "ix-ed25519-public:";

static int failed(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_EFAIL, "Ed25519: %s failed", what);
}

static int key_public(const struct ix_private_key *private_key, struct ix_public_key *ret_public, struct ix_err *err)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key->bytes, sizeof(private_key->bytes));
	size_t len = sizeof(ret_public->bytes);
	bool ok = key && EVP_PKEY_get_raw_public_key(key, ret_public->bytes, &len) == 1;

	EVP_PKEY_free(key);
	return ok ? 0 : failed(err, "public key");
}

int ix_key_generate(struct ix_private_key *ret_private, struct ix_public_key *ret_public, struct ix_err *err)
{
	if (RAND_bytes(ret_private->bytes, (int)sizeof(ret_private->bytes)) != 1)
		return failed(err, "randomness");
	return key_public(ret_private, ret_public, err);
}

static bool parse(const char *text, const char *prefix, uint8_t bytes[static 32])
{
	size_t lead = strspn(text, " \t\r\n"), len;
	char hex[65];

	text += lead;
	if (!ix_starts(text, prefix))
		return false;
	text += strlen(prefix);
	len = strcspn(text, " \t\r\n");
	if (len != 64 || text[len + strspn(text + len, " \t\r\n")])
		return false;
	memcpy(hex, text, 64);
	hex[64] = '\0';
	return ix_unhex(hex, bytes, 32);
}

int ix_private_key_parse(const char *text, struct ix_private_key *ret_key, struct ix_err *err)
{
	if (parse(text, private_prefix, ret_key->bytes))
		return 0;
	return ix_err_set(err, IX_EARG, "it is not a private key as ix key generate writes it");
}

int ix_public_key_parse(const char *text, struct ix_public_key *ret_key, struct ix_err *err)
{
	if (parse(text, public_prefix, ret_key->bytes))
		return 0;
	return ix_err_set(err, IX_EARG, "it is not a public key as ix key generate writes it");
}

void ix_private_key_text(const struct ix_private_key *key, char out[static IX_KEY_TEXT])
{
	memcpy(out, private_prefix, sizeof(private_prefix));
	ix_hex(key->bytes, sizeof(key->bytes), out + sizeof(private_prefix) - 1);
}

void ix_public_key_text(const struct ix_public_key *key, char out[static IX_KEY_TEXT])
{
	memcpy(out, public_prefix, sizeof(public_prefix));
	ix_hex(key->bytes, sizeof(key->bytes), out + sizeof(public_prefix) - 1);
}

int ix_sign(const struct ix_private_key *private_key, const void *bytes, size_t len, char out[static IX_SIGNATURE_HEX + 1],
	    struct ix_err *err)
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key->bytes, sizeof(private_key->bytes));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t n = sizeof(signature);
	bool ok = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestSign(context, signature, &n, bytes, len) == 1 && n == sizeof(signature);

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	if (!ok)
		return failed(err, "signing");
	ix_hex(signature, sizeof(signature), out);
	return 0;
}

bool ix_signature_ok(const struct ix_public_key *public_key, const void *bytes, size_t len, const char *signature_hex)
{
	EVP_PKEY *key;
	EVP_MD_CTX *context;
	uint8_t signature[64];
	bool ok;

	if (!ix_unhex(signature_hex, signature, sizeof(signature)))
		return false;
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key->bytes, sizeof(public_key->bytes));
	context = EVP_MD_CTX_new();
	ok = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	     EVP_DigestVerify(context, signature, sizeof(signature), bytes, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return ok;
}
