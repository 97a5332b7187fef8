/* SHA-256 digests, as values and as running hashes. The only algorithm ix writes; other algorithms in foreign documents are refused. */
#ifndef IX_IO_DIGEST_H
#define IX_IO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { IX_DIGEST_HEX = 64, IX_DIGEST_TEXT = 7 + 64 + 1 };

struct ix_digest {
	uint8_t bytes[32];
};

/* Zero stands for none: no bytes have that digest. */
bool ix_digest_eq(const struct ix_digest *a, const struct ix_digest *b);
bool ix_digest_is_zero(const struct ix_digest *digest);
/* "sha256:<64 lower-case hex>"; anything else is IX_ECORRUPT. */
int ix_digest_parse(const char *text, struct ix_digest *ret_digest, struct ix_err *err);
/* "sha256:<hex>". Returns out. */
char *ix_digest_text(const struct ix_digest *digest, char out[static IX_DIGEST_TEXT]);
/* The 64 hex digits alone. Returns out. */
char *ix_digest_hex(const struct ix_digest *digest, char out[static IX_DIGEST_HEX + 1]);
/* Of bytes in memory. */
void ix_digest_of(const void *bytes, size_t len, struct ix_digest *ret_digest);

/* A running hash. */
struct ix_hash;
struct ix_hash *ix_hash_new(void);
void ix_hash_free(struct ix_hash *hash);
void ix_hash_bytes(struct ix_hash *hash, const void *bytes, size_t len);
void ix_hash_final(struct ix_hash *hash, struct ix_digest *ret_digest); /* the hash is reset for the next use */

/* Fields for keys: tagged and length-prefixed, so that no two inputs can look alike; NULL and "" differ. */
void ix_hash_u64(struct ix_hash *hash, uint64_t value);
void ix_hash_field(struct ix_hash *hash, uint32_t tag, const void *bytes, size_t len);
void ix_hash_text(struct ix_hash *hash, uint32_t tag, const char *text);
void ix_hash_digest(struct ix_hash *hash, uint32_t tag, const struct ix_digest *digest);

#include "base/scope.h"
IX_DEFINE_FREEP(struct ix_hash, ix_hash_free)

#endif
