#include "pattern_int.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

size_t graph_char(const char *at, const char *end)
{
	uint32_t ignored;

	return ix_utf8_next(at, (size_t)(end - at), &ignored);
}

bool graph_pattern_valid(const char *pattern)
{
	for (; *pattern; pattern++)
		if (*pattern == '\\' && (!*++pattern || !strchr("*?\\}/", *pattern)))
			return false;
	return true;
}

/* Does the pattern match text up to end? */
static bool matches(const char *p, const char *text, const char *end)
{
	const char *star = NULL, *resume = NULL;

	for (;;) {
		if (*p == '*') {
			star = ++p;
			resume = text;
			continue;
		}
		if (text < end && *p) {
			const char *literal = *p == '\\' ? p + 1 : p;

			if (*p == '?' && *text != '\n') {
				p++;
				text += graph_char(text, end);
				continue;
			}
			if (*p != '?' && *literal == *text) {
				p = literal + 1;
				text++;
				continue;
			}
		} else if (text == end && !*p) {
			return true;
		}
		if (!star || resume >= end || *resume == '\n')
			return false;
		resume += graph_char(resume, end);
		text = resume;
		p = star;
	}
}

/* The next place to try from at, towards the other end. */
static const char *next_place(const char *at, const char *value, const char *end, bool up)
{
	if (up)
		return at + graph_char(at, end);
	for (at--; at > value && ((unsigned char)*at & 0xc0) == 0x80; at--)
		;
	return at;
}

void graph_pattern_strip(const char *pattern, const char *value, bool suffix, bool longest, size_t *ret_from, size_t *ret_to)
{
	const char *end = value + strlen(value);
	bool up = suffix == longest; /* the longest suffix and the shortest prefix are looked for from the left */
	const char *last = up ? end : value;

	*ret_from = 0;
	*ret_to = (size_t)(end - value);
	for (const char *at = up ? value : end;; at = next_place(at, value, end, up)) {
		if (suffix ? matches(pattern, at, end) : matches(pattern, value, at)) {
			*(suffix ? ret_to : ret_from) = (size_t)(at - value);
			return;
		}
		if (at == last)
			return;
	}
}

/* Where a pattern without a star that begins at text ends, or NULL. */
static const char *match_here(const char *p, const char *text, const char *end)
{
	for (; *p; p++) {
		if (text == end || (*p == '?' && *text == '\n'))
			return NULL;
		if (*p == '?') {
			text += graph_char(text, end);
			continue;
		}
		p += *p == '\\';
		if (*text++ != *p)
			return NULL;
	}
	return text;
}

/* The longest match at text: where it ends, or NULL. */
static const char *longest_match(const char *pattern, const char *text)
{
	const char *end = text + strlen(text);

	if (!strchr(pattern, '*'))
		return match_here(pattern, text, end);
	for (const char *at = end;; at = next_place(at, text, end, false)) {
		if (matches(pattern, text, at))
			return at;
		if (at == text)
			return NULL;
	}
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Behind the dollar sign of a replacement: "$", "0", "name" or "{name}". NULL when it is none of them. */
static const char *group_end(const char *at, const char **ret_name, size_t *ret_len)
{
	bool brace = *at == '{';

	at += brace;
	*ret_name = at;
	while (word_char(*at))
		at++;
	*ret_len = (size_t)(at - *ret_name);
	if (*ret_len == 0 || (brace && *at != '}'))
		return NULL;
	return at + brace;
}

/* There are no groups in these patterns: "$0" is what was found, every other is nothing. */
static void put_template(struct ix_buf *out, const char *with, const char *found, size_t nfound)
{
	while (*with) {
		const char *name, *end;
		size_t len;

		if (*with != '$') {
			ix_buf_putc(out, *with++);
			continue;
		}
		end = with[1] == '$' ? NULL : group_end(with + 1, &name, &len);
		if (end && len == 1 && *name == '0')
			ix_buf_put(out, found, nfound);
		if (!end)
			ix_buf_putc(out, '$');
		with = end ? end : with + (with[1] == '$' ? 2 : 1);
	}
}

bool graph_pattern_replace(const char *pattern, const char *value, const char *with, bool all, size_t limit, struct ix_buf *out)
{
	const char *end = value + strlen(value), *done = value, *at = value;
	bool found = false;

	while (at <= end && out->len <= limit) {
		const char *behind = longest_match(pattern, at);

		if (!behind) {
			at += at < end ? graph_char(at, end) : 1;
			continue;
		}
		ix_buf_put(out, done, (size_t)(at - done));
		if (!all)
			ix_buf_puts(out, with);
		else if (behind > done || !found) /* not for nothing, right behind what was found */
			put_template(out, with, at, (size_t)(behind - at));
		done = behind;
		found = true;
		if (!all)
			break;
		at = behind > at ? behind : at + (at < end ? graph_char(at, end) : 1);
	}
	ix_buf_put(out, done, (size_t)(end - done));
	return out->len <= limit;
}
