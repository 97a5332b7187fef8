#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buf.h"

void ix_strv_take(struct ix_strv *list, char *text)
{
	if (list->count + 1 >= list->cap) {
		list->cap = list->cap ? list->cap * 2 : 8;
		list->items = ix_realloc_array(list->items, list->cap, sizeof(*list->items));
	}
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
}

void ix_strv_add(struct ix_strv *list, const char *text)
{
	ix_strv_take(list, ix_strdup(text));
}

void ix_strv_addf(struct ix_strv *list, const char *fmt, ...)
{
	struct ix_buf buf = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&buf, fmt, args);
	va_end(args);
	ix_strv_take(list, ix_buf_steal(&buf));
}

void ix_strv_copy(struct ix_strv *to, const struct ix_strv *from)
{
	for (size_t i = 0; i < from->count; i++)
		ix_strv_add(to, from->items[i]);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void ix_strv_sort(struct ix_strv *list)
{
	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare);
}

bool ix_strv_has(const struct ix_strv *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

void ix_strv_release(struct ix_strv *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	list->items = NULL;
	list->count = list->cap = 0;
}

static size_t env_find(const struct ix_strv *env, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->items[i], key, len) == 0 && env->items[i][len] == '=')
			return i;
	return env->count;
}

const char *ix_env_get(const struct ix_strv *env, const char *key)
{
	size_t at = env_find(env, key);

	return at < env->count ? env->items[at] + strlen(key) + 1 : NULL;
}

void ix_env_set(struct ix_strv *env, const char *key, const char *value)
{
	size_t at = env_find(env, key);
	char *entry = ix_asprintf("%s=%s", key, value);

	if (at == env->count) {
		ix_strv_take(env, entry);
		return;
	}
	free(env->items[at]);
	env->items[at] = entry;
}

bool ix_streq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ix_strcaseeq(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return lower(*a) == lower(*b);
}

bool ix_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool ix_ends(const char *text, const char *suffix)
{
	size_t len = strlen(text), tail = strlen(suffix);

	return len >= tail && memcmp(text + len - tail, suffix, tail) == 0;
}

bool ix_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) || __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	if (value > max)
		return false;
	*ret_value = value;
	return true;
}

enum { NEAR_MAX = 40 };

/* Damerau-Levenshtein distance (adjacent swaps count one) without case, for short words only. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][NEAR_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (la > NEAR_MAX || lb > NEAR_MAX)
		return NEAR_MAX;
	for (size_t j = 0; j <= lb; j++)
		above[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *next = before;

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t change = above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
			size_t best = above[j] + 1 < row[j - 1] + 1 ? above[j] + 1 : row[j - 1] + 1;

			if (change < best)
				best = change;
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		before = above;
		above = row;
		row = next;
	}
	return above[lb];
}

const char *ix_nearest(const char *text, const char *const *names, size_t count)
{
	size_t limit = strlen(text) < 4 ? 1 : strlen(text) < 8 ? 2 : 3;
	const char *best = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(text, names[i]);

		if (d <= limit && d < strlen(names[i])) {
			best = names[i];
			limit = d > 0 ? d - 1 : 0;
			if (d == 0)
				break;
		}
	}
	return best;
}

/* Terminals obey C1 bytes as they obey ESC. */
size_t ix_showable(const char *text, size_t len)
{
	unsigned char c = (unsigned char)text[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (n == 1)
		return c >= 32 && c != 127;
	if (n > len || ix_utf8_valid(text, n) != n)
		return 0;
	return c == 0xc2 && (unsigned char)text[1] < 0xa0 ? 0 : n;
}

char *ix_printable(const char *text, size_t max)
{
	struct ix_buf buf = { 0 };
	size_t len = strlen(text), i = 0;

	while (i < len && i < max) {
		size_t n = ix_showable(text + i, len - i);

		if (n > max - i)
			break;
		if (text[i] == '\n' || text[i] == '\t')
			ix_buf_putc(&buf, ' ');
		else if (n == 0)
			ix_buf_printf(&buf, "\\x%02x", (unsigned char)text[i]);
		else
			ix_buf_put(&buf, text + i, n);
		i += n ? n : 1;
	}
	if (i < len)
		ix_buf_puts(&buf, "...");
	return ix_buf_steal(&buf);
}

char *ix_printable_lines(const char *text)
{
	struct ix_buf buf = { 0 };

	for (size_t len = strlen(text), i = 0; i < len;) {
		size_t n = text[i] == '\n' || text[i] == '\t' ? 1 : ix_showable(text + i, len - i);

		if (n == 0)
			ix_buf_printf(&buf, "\\x%02x", (unsigned char)text[i]);
		else
			ix_buf_put(&buf, text + i, n);
		i += n ? n : 1;
	}
	ix_buf_puts(&buf, "");
	return ix_buf_steal(&buf);
}

char *ix_human_size(uint64_t bytes, char out[static 16])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.5 && unit + 1 < IX_ARRAY_LEN(units)) {
		value /= 1000;
		unit++;
	}
	if (unit == 0)
		snprintf(out, 16, "%" PRIu64 " B", bytes);
	else
		snprintf(out, 16, value < 9.995 ? "%.2f %s" : value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

void ix_hex(const void *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool ix_unhex(const char *text, void *bytes, size_t len)
{
	unsigned char *out = bytes;

	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return text[2 * len] == '\0';
}

bool ix_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "bkmgtp";
	size_t digits = strspn(text, "0123456789");
	ix_auto_free char *number = ix_strndup(text, digits);
	uint64_t n, part = 0, whole = 1;

	if (digits == 0 || !ix_parse_u64(number, UINT64_MAX >> 1, &n))
		return false;
	text += digits;
	if (*text == '.' && text[1] >= '0' && text[1] <= '9')
		for (text++; *text >= '0' && *text <= '9'; text++) {
			if (whole >= 1000000000000000)
				continue; /* finer than a byte of a pebibyte */
			part = 10 * part + (uint64_t)(*text - '0');
			whole *= 10;
		}
	if (*text) {
		char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
		const char *unit = strchr(units, c);

		text++;
		text += *text == 'i';
		text += *text == 'b' || *text == 'B';
		if (!unit || *text || n > (UINT64_MAX >> 1) >> (10 * (unit - units)))
			return false;
		n <<= 10 * (unit - units);
		n += (uint64_t)((double)part / (double)whole * (double)(UINT64_C(1) << (10 * (unit - units))));
	}
	*ret_bytes = n;
	return true;
}

/* The length of the sequence that begins with byte, 0 when none does; *ret_low and *ret_high bound its second byte. */
static size_t utf8_sequence(unsigned char byte, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
	*ret_high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
	if (byte < 0x80)
		return 1;
	if (byte >= 0xc2 && byte <= 0xdf)
		return 2;
	if (byte >= 0xe0 && byte <= 0xef)
		return 3;
	return byte >= 0xf0 && byte <= 0xf4 ? 4 : 0;
}

size_t ix_utf8_valid(const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t at = 0;

	while (at < len) {
		unsigned char low, high;
		size_t n = utf8_sequence(bytes[at], &low, &high);

		if (n == 0 || n > len - at || (n > 1 && (bytes[at + 1] < low || bytes[at + 1] > high)))
			return at;
		for (size_t i = 2; i < n; i++)
			if (bytes[at + i] < 0x80 || bytes[at + i] > 0xbf)
				return at;
		at += n;
	}
	return len;
}

size_t ix_utf8_next(const char *text, size_t len, uint32_t *ret_rune)
{
	unsigned char low, high, first = (unsigned char)*text;
	size_t n = first < 0x80 ? 1 : utf8_sequence(first, &low, &high);
	uint32_t rune = n < 2 ? first : first & (0x7fu >> n);

	*ret_rune = 0xfffd;
	if (n == 0 || n > len)
		return 1;
	for (size_t i = 1; i < n; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xbf))
			return 1;
		rune = rune << 6 | (byte & 0x3f);
	}
	*ret_rune = rune;
	return n;
}

void ix_csv_fields(const char *text, struct ix_strv *fields)
{
	while (*text) {
		bool quoted = *text == '"';
		size_t len = quoted ? strcspn(text + 1, "\"") : strcspn(text, ",");

		ix_strv_take(fields, ix_strndup(text + quoted, len));
		text += len + (quoted ? 1 : 0);
		if (quoted && *text == '"')
			text++;
		text += *text == ',';
	}
}
