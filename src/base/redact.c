#include "base/redact.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { SHORTEST = 4 };

struct needle {
	char *bytes;
	size_t len;
	bool base64; /* what is left of its first and last group goes with it */
};

struct ix_redactor {
	struct needle *needles;
	size_t count, cap;
	bool first[256]; /* a needle begins with that byte */
};

struct ix_redactor *ix_redactor_new(void)
{
	return ix_calloc(1, sizeof(struct ix_redactor));
}

void ix_redactor_free(struct ix_redactor *redactor)
{
	if (!redactor)
		return;
	for (size_t i = 0; i < redactor->count; i++) {
		explicit_bzero(redactor->needles[i].bytes, redactor->needles[i].len);
		free(redactor->needles[i].bytes);
	}
	free(redactor->needles);
	free(redactor);
}

/* --- the forms of a value --- */

/* It may hold NUL bytes. */
static char *copy_of(const char *bytes, size_t len)
{
	char *copy = ix_malloc(len);

	memcpy(copy, bytes, len);
	return copy;
}

static void add(struct ix_redactor *redactor, const char *bytes, size_t len, bool base64)
{
	if (len < SHORTEST)
		return;
	for (size_t i = 0; i < redactor->count; i++)
		if (redactor->needles[i].len == len && memcmp(redactor->needles[i].bytes, bytes, len) == 0)
			return;
	IX_GROW(&redactor->needles, redactor->count, &redactor->cap);
	redactor->needles[redactor->count++] = (struct needle){ copy_of(bytes, len), len, base64 };
	redactor->first[(unsigned char)bytes[0]] = true;
}

/* Each line for itself: tools print files of keys so. */
static void add_lines(struct ix_redactor *redactor, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t line = end ? (size_t)(end - bytes) : len;

		add(redactor, bytes, line > 0 && bytes[line - 1] == '\r' ? line - 1 : line, false);
		bytes += line + (end ? 1 : 0);
		len -= line + (end ? 1 : 0);
	}
}

/* In a longer text the value begins at one of three places of a group, and only its whole groups of digits are its own. */
static void add_base64(struct ix_redactor *redactor, const char *bytes, size_t len, const char *digits)
{
	for (size_t shift = 0; shift < 3; shift++) {
		ix_auto_buf text = { 0 };

		for (size_t i = shift; i + 3 <= len; i += 3) {
			const unsigned char *b = (const unsigned char *)bytes + i;

			ix_buf_putc(&text, digits[b[0] >> 2]);
			ix_buf_putc(&text, digits[(b[0] & 3) << 4 | b[1] >> 4]);
			ix_buf_putc(&text, digits[(b[1] & 15) << 2 | b[2] >> 6]);
			ix_buf_putc(&text, digits[b[2] & 63]);
		}
		/* Six bytes and more: fewer digits are found in any text. */
		if (text.len >= 8)
			add(redactor, text.data, text.len, true);
		if (text.data)
			explicit_bzero(text.data, text.len);
	}
}

static void add_percent(struct ix_redactor *redactor, const char *bytes, size_t len, bool lower)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	ix_auto_buf text = { 0 };

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] && strchr(plain, bytes[i]))
			ix_buf_putc(&text, bytes[i]);
		else
			ix_buf_printf(&text, lower ? "%%%02x" : "%%%02X", (unsigned char)bytes[i]);
	}
	add(redactor, ix_buf_str(&text), text.len, false);
	if (text.data)
		explicit_bzero(text.data, text.len);
}

void ix_redactor_add(struct ix_redactor *redactor, const void *value, size_t len)
{
	const char *bytes = value;

	/* A file's last newline is not part of the secret, and often is lost on its way. */
	while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	if (len < SHORTEST)
		return;
	add(redactor, bytes, len, false);
	add_lines(redactor, bytes, len);
	add_base64(redactor, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
	add_base64(redactor, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
	add_percent(redactor, bytes, len, false);
	add_percent(redactor, bytes, len, true);
}

/* --- looking for them --- */

static bool is_base64(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("+/-_=", c));
}

/* The longest needle that is whole at bytes; *ret_open: one that might be, if more came. */
static const struct needle *match(const struct ix_redactor *redactor, const char *bytes, size_t len, bool *ret_open)
{
	const struct needle *longest = NULL;

	*ret_open = false;
	if (!redactor->first[(unsigned char)bytes[0]])
		return NULL;
	for (size_t i = 0; i < redactor->count; i++) {
		const struct needle *needle = &redactor->needles[i];
		size_t n = needle->len < len ? needle->len : len;

		if (memcmp(needle->bytes, bytes, n) != 0)
			continue;
		if (n < needle->len)
			*ret_open = true;
		else if (!longest || n > longest->len)
			longest = needle;
	}
	return longest;
}

/* Append what can be said of the bytes; how many of them are dealt with. more: others may follow. */
static size_t pass(const struct ix_redactor *redactor, const char *bytes, size_t len, bool more, struct ix_buf *out)
{
	size_t at = 0, plain = 0;

	while (at < len) {
		bool open;
		const struct needle *hit = match(redactor, bytes + at, len - at, &open);
		size_t begin = at;

		if (open && more)
			break;
		if (!hit) {
			at++;
			continue;
		}
		at += hit->len;
		for (size_t group = 0; hit->base64 && group < 4 && begin > plain && is_base64(bytes[begin - 1]); group++)
			begin--;
		for (size_t group = 0; hit->base64 && group < 4 && at < len && is_base64(bytes[at]); group++)
			at++;
		ix_buf_put(out, bytes + plain, begin - plain);
		ix_buf_puts(out, IX_REDACTED);
		plain = at;
	}
	ix_buf_put(out, bytes + plain, at - plain);
	return at;
}

char *ix_redact_text(const struct ix_redactor *redactor, const char *text)
{
	ix_auto_buf out = { 0 };

	if (!text || !redactor || redactor->count == 0)
		return ix_strdup(text);
	pass(redactor, text, strlen(text), false, &out);
	return ix_strdup(ix_buf_str(&out));
}

void ix_redact_piece(struct ix_redact_stream *stream, const char *bytes, size_t len, struct ix_buf *out)
{
	struct ix_buf *held = &stream->held;
	size_t done;

	if (!stream->redactor || stream->redactor->count == 0) {
		ix_buf_put(out, bytes, len);
		return;
	}
	ix_buf_put(held, bytes, len);
	done = pass(stream->redactor, held->data, held->len, true, out);
	memmove(held->data, held->data + done, held->len - done);
	held->len -= done;
}

void ix_redact_end(struct ix_redact_stream *stream, struct ix_buf *out)
{
	if (stream->held.len > 0)
		pass(stream->redactor, stream->held.data, stream->held.len, false, out);
	if (stream->held.data)
		explicit_bzero(stream->held.data, stream->held.len);
	ix_buf_release(&stream->held);
}
