#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "syntax_int.h"

static void push(struct ix_arena *arena, char ***words, size_t *nwords, const char *text, size_t len)
{
	*IX_ARENA_PUSH(arena, *words, *nwords) = ix_arena_strndup(arena, text, len);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* The end of the word at text: the first blank outside quotes. */
static const char *word_end(const char *text, char escape)
{
	char quote = 0;

	for (; *text; text++) {
		if (*text == escape && text[1] && quote != '\'') {
			text++;
		} else if (quote) {
			if (*text == quote)
				quote = 0;
		} else if (*text == '"' || *text == '\'') {
			quote = *text;
		} else if (blank(*text)) {
			break;
		}
	}
	return text;
}

void df_split_words(struct ix_arena *arena, const char *text, char escape, char ***words, size_t *nwords)
{
	for (;;) {
		const char *end;

		while (blank(*text))
			text++;
		if (!*text)
			return;
		end = word_end(text, escape);
		push(arena, words, nwords, text, (size_t)(end - text));
		text = end;
	}
}

void df_split_blanks(struct ix_arena *arena, const char *text, char ***words, size_t *nwords)
{
	for (;;) {
		const char *end;

		while (blank(*text))
			text++;
		if (!*text)
			return;
		for (end = text; *end && !blank(*end); end++)
			;
		push(arena, words, nwords, text, (size_t)(end - text));
		text = end;
	}
}

/* --- JSON lists --- */

static void put_utf8(struct ix_buf *out, unsigned code)
{
	if (code < 0x80) {
		ix_buf_putc(out, (char)code);
	} else if (code < 0x800) {
		ix_buf_putc(out, (char)(0xc0 | code >> 6));
		ix_buf_putc(out, (char)(0x80 | (code & 63)));
	} else if (code < 0x10000) {
		ix_buf_putc(out, (char)(0xe0 | code >> 12));
		ix_buf_putc(out, (char)(0x80 | (code >> 6 & 63)));
		ix_buf_putc(out, (char)(0x80 | (code & 63)));
	} else {
		ix_buf_putc(out, (char)(0xf0 | code >> 18));
		ix_buf_putc(out, (char)(0x80 | (code >> 12 & 63)));
		ix_buf_putc(out, (char)(0x80 | (code >> 6 & 63)));
		ix_buf_putc(out, (char)(0x80 | (code & 63)));
	}
}

static bool hex4(const char *text, unsigned *ret_code)
{
	unsigned code = 0;

	for (int i = 0; i < 4; i++) {
		char c = text[i];
		unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
			     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
			     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
						    : 99;

		if (d == 99)
			return false;
		code = code << 4 | d;
	}
	*ret_code = code;
	return true;
}

/* Behind the backslash. Returns behind the escape, NULL when it is none. */
static const char *json_escape(const char *at, struct ix_buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *simple = *at ? strchr(from, *at) : NULL;
	unsigned code, low;

	if (simple) {
		ix_buf_putc(out, to[simple - from]);
		return at + 1;
	}
	if (*at != 'u' || !hex4(at + 1, &code) || code == 0)
		return NULL;
	at += 5;
	if (code >= 0xd800 && code < 0xdc00 && at[0] == '\\' && at[1] == 'u' && hex4(at + 2, &low) && low >= 0xdc00 && low < 0xe000) {
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	}
	put_utf8(out, code);
	return at;
}

static const char *json_string(const char *at, struct ix_buf *out)
{
	for (at++; *at != '"';) {
		if ((unsigned char)*at < 32)
			return NULL;
		if (*at == '\\') {
			at = json_escape(at + 1, out);
			if (!at)
				return NULL;
		} else {
			ix_buf_putc(out, *at++);
		}
	}
	return at + 1;
}

static const char *skip_blanks(const char *at)
{
	while (blank(*at))
		at++;
	return at;
}

enum df_json df_json_list(struct ix_arena *arena, const char *text, char ***words, size_t *nwords)
{
	const char *at = skip_blanks(text);
	char **list = NULL;
	size_t n = 0;

	if (*at != '[')
		return DF_JSON_NO;
	at = skip_blanks(at + 1);
	while (*at != ']') {
		ix_auto_buf item = { 0 };

		if (*at != '"')
			return (*at >= '0' && *at <= '9') || ix_starts(at, "true") || ix_starts(at, "false") || ix_starts(at, "null")
				       ? (strchr(at, ']') && !*skip_blanks(strrchr(at, ']') + 1) ? DF_JSON_NOT_STRINGS : DF_JSON_NO)
				       : DF_JSON_NO;
		at = json_string(at, &item);
		if (!at)
			return DF_JSON_NO;
		push(arena, &list, &n, ix_buf_str(&item), item.len);
		at = skip_blanks(at);
		if (*at == ',') {
			at = skip_blanks(at + 1);
			if (*at == ']')
				return DF_JSON_NO;
		} else if (*at != ']') {
			return DF_JSON_NO;
		}
	}
	if (*skip_blanks(at + 1))
		return DF_JSON_NO;
	*words = list;
	*nwords = n;
	return DF_JSON_LIST;
}

/* --- durations --- */

static const struct {
	const char *name;
	int64_t ns;
} units[] = { { "ns", 1 },         { "us", 1000 },       { "\xc2\xb5s", 1000 }, { "ms", 1000000 },
	      { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 } };

static bool take_unit(const char **text, int64_t *ret_ns)
{
	size_t best = 0;

	for (size_t i = 0; i < IX_ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i].name);

		/* "ms" before "m" */
		if (len > best && strncmp(*text, units[i].name, len) == 0) {
			best = len;
			*ret_ns = units[i].ns;
		}
	}
	*text += best;
	return best > 0;
}

bool df_duration(const char *text, int64_t *ret_ns)
{
	int64_t total = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return true;
	}
	if (!*text)
		return false;
	while (*text) {
		int64_t whole = 0, part = 0, scale = 1, unit, value;
		bool digits = false;

		for (; *text >= '0' && *text <= '9'; text++, digits = true)
			if (__builtin_mul_overflow(whole, (int64_t)10, &whole) ||
			    __builtin_add_overflow(whole, (int64_t)(*text - '0'), &whole))
				return false;
		if (*text == '.')
			for (text++; *text >= '0' && *text <= '9'; text++, digits = true)
				if (scale < 1000000000) {
					part = part * 10 + (*text - '0');
					scale *= 10;
				}
		if (!digits || !take_unit(&text, &unit) || __builtin_mul_overflow(whole, unit, &value) ||
		    __builtin_add_overflow(value, (int64_t)((__int128)part * unit / scale), &value) ||
		    __builtin_add_overflow(total, value, &total))
			return false;
	}
	*ret_ns = total;
	return true;
}
