/* Text helpers. All comparisons are bytewise and independent of the locale. */
#ifndef IX_BASE_STR_H
#define IX_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/scope.h"

/* A growing list of owned strings; always NULL terminated once something was added. */
struct ix_strv {
	char **items;
	size_t count;
	size_t cap;
};

void ix_strv_add(struct ix_strv *list, const char *text); /* copies */
void ix_strv_take(struct ix_strv *list, char *text);      /* takes ownership */
void ix_strv_addf(struct ix_strv *list, const char *fmt, ...) ix_printf(2, 3);
void ix_strv_copy(struct ix_strv *to, const struct ix_strv *from); /* appends copies */
void ix_strv_sort(struct ix_strv *list);
bool ix_strv_has(const struct ix_strv *list, const char *text);
void ix_strv_release(struct ix_strv *list);
#define ix_auto_strv ix_scoped(ix_strv_release) struct ix_strv

/* KEY=VALUE lists, as environments are: value of key or NULL; set replaces in place or appends. */
const char *ix_env_get(const struct ix_strv *env, const char *key);
void ix_env_set(struct ix_strv *env, const char *key, const char *value);

bool ix_streq(const char *a, const char *b);     /* NULL equals only NULL */
bool ix_strcaseeq(const char *a, const char *b); /* ASCII */
bool ix_starts(const char *text, const char *prefix);
bool ix_ends(const char *text, const char *suffix);
/* Whole decimal number within [0, max]; signs, blanks and trailing bytes are refused. */
bool ix_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);
/* 64m, 1g, 512: whole numbers with docker's binary units b k m g t p, upper case too, "i" and "b" behind them allowed. */
bool ix_parse_size(const char *text, uint64_t *ret_bytes);
/* The nearest of names to text, for "did you mean": NULL when none is near. */
const char *ix_nearest(const char *text, const char *const *names, size_t count);
/* Text made safe for one line of a terminal: control bytes, C1 ones too, and what is not UTF-8 as \xNN, cut after max bytes with "...". Caller frees. */
char *ix_printable(const char *text, size_t max);
/* The same of several lines, whole: newlines and tabs stay. Caller frees. */
char *ix_printable_lines(const char *text);
/* Bytes of the character at text that a terminal can be shown; 0: the first byte is a control byte or no UTF-8. len > 0. */
size_t ix_showable(const char *text, size_t len);
/* How many bytes from the start are valid UTF-8 (RFC 3629): len when all are. */
size_t ix_utf8_valid(const char *text, size_t len);
/* The character at the start of len > 0 bytes and how many of them it is; a byte that is none is U+FFFD and one. */
size_t ix_utf8_next(const char *text, size_t len, uint32_t *ret_rune);
/* 1.5 kB, 62.7 MB: decimal units as docker prints them. out holds at least 16 bytes; returns out. */
char *ix_human_size(uint64_t bytes, char out[static 16]);
void ix_hex(const void *bytes, size_t len, char *out); /* out holds 2*len+1 */
/* True and the bytes when text is exactly 2*len lower-case hex digits. */
bool ix_unhex(const char *text, void *bytes, size_t len);

/* "a=b,c=d" as a list of fields, appended; a field may stand in double quotes. */
void ix_csv_fields(const char *text, struct ix_strv *fields);

#endif
