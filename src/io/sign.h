/* Signatures: Ed25519 (RFC 8032). Keys are one line of text, fit for a file or a variable of a CI system. */
#ifndef IX_IO_SIGN_H
#define IX_IO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { IX_SIGNATURE_HEX = 128, IX_KEY_TEXT = 100 };

struct ix_public_key {
	uint8_t bytes[32];
};
struct ix_private_key {
	uint8_t bytes[32]; /* wipe it after use */
};

/* A new pair from the system's randomness. */
int ix_key_generate(struct ix_private_key *ret_private, struct ix_public_key *ret_public, struct ix_err *err);
/* "ix-ed25519-private:<64 hex digits>" and "ix-ed25519-public:<64 hex digits>"; blanks around are ignored. IX_EARG, without the text in the message. */
int ix_private_key_parse(const char *text, struct ix_private_key *ret_key, struct ix_err *err);
int ix_public_key_parse(const char *text, struct ix_public_key *ret_key, struct ix_err *err);
void ix_private_key_text(const struct ix_private_key *key, char out[static IX_KEY_TEXT]);
void ix_public_key_text(const struct ix_public_key *key, char out[static IX_KEY_TEXT]);

/* The signature as hex digits. */
int ix_sign(const struct ix_private_key *key, const void *bytes, size_t len, char out[static IX_SIGNATURE_HEX + 1], struct ix_err *err);
bool ix_signature_ok(const struct ix_public_key *key, const void *bytes, size_t len, const char *signature_hex);

#endif
