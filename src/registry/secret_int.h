/* Passwords and tokens: owned copies that are wiped before their memory goes back. */
#ifndef IX_REGISTRY_SECRET_INT_H
#define IX_REGISTRY_SECRET_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/scope.h"
#include "registry/registry.h"

void secret_set(struct ix_secret *secret, const char *text); /* replaces by a copy; NULL clears */
void secret_take(struct ix_secret *secret, char *text);      /* replaces; takes text */
void secret_copy(struct ix_secret *to, const struct ix_secret *from);
void secret_release(struct ix_secret *secret);
bool secret_eq(const struct ix_secret *a, const struct ix_secret *b);
/* "<name>:<password>" in base64 behind "Basic ". Caller frees through a secret. */
char *secret_basic(const char *name, const char *password);
/* Wipe a buffer or string that held secrets, and release it. */
void secret_buf_release(struct ix_buf *buf);
void secret_text_free(char *text);

#define auto_secret     ix_scoped(secret_release) struct ix_secret
#define auto_secret_buf ix_scoped(secret_buf_release) struct ix_buf

/* RFC 4648 base64 with or without padding. encode: caller frees. decode: NULL when text is not base64; NUL-terminated, caller frees. */
char *base64_encode(const void *bytes, size_t len);
char *base64_decode(const char *text, size_t *ret_len);

#endif
