/*
 * Words that nobody is to read: values of secrets. They are taken out of what is printed, kept and published, as they are and in the forms in which
 * programs like to print them: line by line, in base64 at any offset, percent-encoded.
 *
 * Values of fewer than 4 bytes are not looked for: whatever they stand in would become unreadable.
 */
#ifndef IX_BASE_REDACT_H
#define IX_BASE_REDACT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/scope.h"

#define IX_REDACTED "***"

struct ix_redactor;
struct ix_redactor *ix_redactor_new(void);
void ix_redactor_free(struct ix_redactor *redactor);
IX_DEFINE_FREEP(struct ix_redactor, ix_redactor_free)
/* Before any other thread uses it. The bytes are copied, and wiped when it is freed. */
void ix_redactor_add(struct ix_redactor *redactor, const void *value, size_t len);

/* The text with IX_REDACTED instead of what it must not say; NULL of NULL. Caller frees. redactor may be NULL: a copy. */
char *ix_redact_text(const struct ix_redactor *redactor, const char *text);

/* A stream that comes in pieces: what may be the beginning of such a word is held back until more is known. One thread each. */
struct ix_redact_stream {
	const struct ix_redactor *redactor; /* NULL: everything passes */
	struct ix_buf held;
};
/* Append what can be shown of the piece to out. */
void ix_redact_piece(struct ix_redact_stream *stream, const char *bytes, size_t len, struct ix_buf *out);
/* The stream is over: append what was held back. */
void ix_redact_end(struct ix_redact_stream *stream, struct ix_buf *out);

#endif
