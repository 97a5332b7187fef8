#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "pattern_int.h"

/*
 * The expander reads a word once from left to right. Words nest only inside ${...}, so the recursion is bounded by DEPTH, and the output by
 * LIMIT: a chain of ENV lines that double a variable must not eat the machine.
 */
enum { DEPTH = 20, LIMIT = 1 << 20 };

struct expander {
	const struct ix_expand_opts *opts;
	char escape;
	const char *at;
	struct ix_strv *names; /* when only names are asked for */
	struct ix_err *err;
	unsigned depth;
	bool raw; /* reading a pattern: escapes stay, for the pattern to judge */
};

static int malformed(struct expander *self, const char *what)
{
	return ix_err_set(self->err, IX_EARG, "%s", what);
}

static int too_long(struct expander *self)
{
	return ix_err_set(self->err, IX_ELIMIT, "the expanded text is longer than %d bytes", LIMIT);
}

static int put(struct expander *self, struct ix_buf *out, const char *text, size_t len)
{
	if (out->len + len > LIMIT)
		return too_long(self);
	ix_buf_put(out, text, len);
	return 0;
}

/* The character at self->at, as it is; a byte that is no UTF-8 becomes U+FFFD. */
static int put_char(struct expander *self, struct ix_buf *out)
{
	const char *start = self->at;
	size_t len = graph_char(start, start + strlen(start));

	self->at += len;
	return len == 1 && (unsigned char)*start >= 0x80 ? put(self, out, "\xef\xbf\xbd", 3) : put(self, out, start, len);
}

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Letters of the scripts in wide use; names hold them as they hold those of ASCII. */
static bool wide_letter(uint32_t rune)
{
	static const uint32_t ranges[][2] = {
		{ 0xaa, 0xaa },     { 0xb5, 0xb5 },     { 0xba, 0xba },     { 0xc0, 0xd6 },     { 0xd8, 0xf6 },     { 0xf8, 0x2c1 },
		{ 0x370, 0x373 },   { 0x376, 0x377 },   { 0x37b, 0x37d },   { 0x386, 0x386 },   { 0x388, 0x3f5 },   { 0x3f7, 0x481 },
		{ 0x48a, 0x52f },   { 0x531, 0x556 },   { 0x561, 0x587 },   { 0x5d0, 0x5ea },   { 0x620, 0x64a },   { 0x671, 0x6d3 },
		{ 0x904, 0x939 },   { 0xe01, 0xe30 },   { 0x10d0, 0x10fa }, { 0x1e00, 0x1fbc }, { 0x3041, 0x3096 }, { 0x30a1, 0x30fa },
		{ 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xac00, 0xd7a3 },
	};

	for (size_t i = 0; i < IX_ARRAY_LEN(ranges); i++)
		if (ranges[i][0] <= rune && rune <= ranges[i][1])
			return true;
	return false;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* How many bytes the letter or underscore at text has, 0 when it is none. */
static size_t letter(const char *text)
{
	uint32_t rune;
	size_t len;

	if ((unsigned char)*text < 0x80)
		return name_start(*text);
	len = ix_utf8_next(text, strlen(text), &rune);
	return len > 1 && wide_letter(rune) ? len : 0;
}

/* A variable's name: letters, digits and underscores; digits alone; or one of the shell's special characters. */
static char *read_name(struct expander *self)
{
	const char *start = self->at;

	if (letter(self->at) > 0)
		while (letter(self->at) > 0 || digit(*self->at))
			self->at += digit(*self->at) ? 1 : letter(self->at);
	else if (digit(*self->at))
		while (digit(*self->at))
			self->at++;
	else if (*self->at && strchr("@*#?-$!", *self->at))
		self->at++;
	return ix_strndup(start, (size_t)(self->at - start));
}

static const char *value_of(struct expander *self, const char *name)
{
	if (self->names) {
		if (!ix_strv_has(self->names, name))
			ix_strv_add(self->names, name);
		return NULL;
	}
	return self->opts->lookup(self->opts->data, name);
}

static int read_until(struct expander *self, char stop, struct ix_buf *out);

/* NOLINTBEGIN(misc-no-recursion): no deeper than DEPTH */

/* --- ${...} --- */

static int inner_word(struct expander *self, char stop, bool raw, struct ix_buf *out)
{
	bool before = self->raw;
	int r;

	if (++self->depth > DEPTH)
		return malformed(self, "variables are nested too deeply");
	self->raw = raw;
	r = read_until(self, stop, out);
	self->raw = before;
	self->depth--;
	if (r < 0)
		return r;
	if (*self->at != stop)
		return malformed(self, stop == '}' ? "missing '}' in variable" : "missing '/' in variable");
	self->at++;
	return 0;
}

static int bad_pattern(struct expander *self, struct ix_buf *pattern)
{
	return ix_err_set(self->err, IX_EARG, "invalid pattern (%s) in substitution: a backslash stands before * ? \\ } or /",
			  ix_buf_str(pattern));
}

/* # ## % %% */
static int trim(struct expander *self, char op, const char *value, struct ix_buf *word, struct ix_buf *out)
{
	const char *pattern = ix_buf_str(word);
	bool longest = *pattern == op;
	size_t from, to;

	pattern += longest;
	if (!self->names && !graph_pattern_valid(pattern))
		return bad_pattern(self, word);
	if (!value)
		return 0;
	graph_pattern_strip(pattern, value, op == '%', longest, &from, &to);
	return put(self, out, value + from, to - from);
}

static int required(struct expander *self, const char *name, const char *value, bool set, struct ix_buf *word, struct ix_buf *out)
{
	if (!set && !self->names)
		return ix_err_set(self->err, IX_EARG, "%s: %s", name,
				  word->len ? ix_buf_str(word)
				  : value   ? "is not allowed to be empty"
					    : "is not allowed to be unset");
	return set ? put(self, out, value, strlen(value)) : 0;
}

/* Behind the name: - + ? with or without a colon, # or %. */
static int modified(struct expander *self, const char *name, const char *value, bool colon, struct ix_buf *out)
{
	char op = *self->at;
	bool set = value && (!colon || *value);
	ix_auto_buf word = { 0 };
	int r;

	if (!op || !strchr(colon ? "-+?" : "-+?#%", op))
		return ix_err_set(self->err, IX_EARG, "unsupported modifier (%s%c) in substitution of %s", colon ? ":" : "", op ? op : ' ',
				  name);
	self->at++;
	r = inner_word(self, '}', op == '#' || op == '%', &word);
	if (r < 0)
		return r;
	switch (op) {
	case '-':
		return set ? put(self, out, value, strlen(value)) : put(self, out, ix_buf_str(&word), word.len);
	case '+':
		return set ? put(self, out, ix_buf_str(&word), word.len) : 0;
	case '?':
		return required(self, name, value, set, &word, out);
	default:
		return trim(self, op, value, &word, out);
	}
}

/* ${v/p/r} ${v//p/r}: escapes stay in the replacement, too. A variable that is not set is an empty one. */
static int replace(struct expander *self, const char *value, struct ix_buf *out)
{
	ix_auto_buf pattern = { 0 }, with = { 0 };
	bool all;
	int r;

	self->at++;
	all = *self->at == '/';
	self->at += all;
	r = inner_word(self, '/', true, &pattern);
	if (r == 0)
		r = inner_word(self, '}', true, &with);
	if (r < 0 || self->names)
		return r;
	if (!graph_pattern_valid(ix_buf_str(&pattern)))
		return bad_pattern(self, &pattern);
	if (!graph_pattern_replace(ix_buf_str(&pattern), value ? value : "", ix_buf_str(&with), all, LIMIT, out))
		return too_long(self);
	return 0;
}

static int braced(struct expander *self, struct ix_buf *out)
{
	ix_auto_free char *name = NULL;
	const char *value;

	if (!*self->at)
		return malformed(self, "missing '}' in variable");
	if (strchr("{}:", *self->at))
		return malformed(self, "bad substitution: ${ is followed by a name");
	name = read_name(self);
	if (!*self->at)
		return malformed(self, "missing '}' in variable");
	value = value_of(self, name);
	if (*self->at != '}' && self->opts->opaque && self->opts->opaque(self->opts->data, name))
		return ix_err_set(self->err, IX_EARG, "the value of %s is not known", name);
	switch (*self->at) {
	case '}':
		self->at++;
		return value ? put(self, out, value, strlen(value)) : 0;
	case ':':
		self->at++;
		return modified(self, name, value, true, out);
	case '/':
		return replace(self, value, out);
	default:
		return modified(self, name, value, false, out);
	}
}

static int dollar(struct expander *self, struct ix_buf *out)
{
	ix_auto_free char *name = NULL;
	const char *value;

	self->at++;
	if (*self->at == '{') {
		self->at++;
		return braced(self, out);
	}
	name = read_name(self);
	if (!*name)
		return put(self, out, "$", 1);
	value = value_of(self, name);
	return value ? put(self, out, value, strlen(value)) : 0;
}

/* --- quotes --- */

static int single_quoted(struct expander *self, struct ix_buf *out)
{
	int r = 0;

	self->at++;
	while (r == 0 && *self->at && *self->at != '\'')
		r = put_char(self, out);
	if (r == 0 && !*self->at)
		return malformed(self, "unexpected end of statement while looking for matching single-quote");
	self->at++;
	return r;
}

static int double_quoted(struct expander *self, struct ix_buf *out)
{
	int r = 0;

	self->at++;
	while (r == 0 && *self->at != '"') {
		if (!*self->at)
			return malformed(self, "unexpected end of statement while looking for matching double-quote");
		if (*self->at == '$') {
			r = dollar(self, out);
			continue;
		}
		if (*self->at == self->escape) {
			/* Inside double quotes only these lose their escape. */
			bool drop = self->at[1] && (self->at[1] == '"' || self->at[1] == '$' || self->at[1] == self->escape);

			if (self->raw)
				r = put(self, out, self->at, 1);
			self->at += drop || !self->at[1];
			if (!*self->at)
				continue;
		}
		if (r == 0)
			r = put_char(self, out);
	}
	self->at += r == 0;
	return r;
}

static int one(struct expander *self, struct ix_buf *out)
{
	bool keep = self->opts->keep_quotes;
	int r = 0;

	if (*self->at == '$')
		return dollar(self, out);
	if (*self->at == '\'' && !keep)
		return single_quoted(self, out);
	if (*self->at == '"' && !keep)
		return double_quoted(self, out);
	if (*self->at == self->escape) {
		if (self->raw)
			r = put(self, out, self->at, 1);
		self->at++;
		if (r < 0 || !*self->at)
			return r; /* an escape with nothing behind it is nothing */
	}
	return put_char(self, out);
}

/* Up to the stop, which stays to be read, or the end. */
static int read_until(struct expander *self, char stop, struct ix_buf *out)
{
	int r = 0;

	while (r == 0 && *self->at && *self->at != stop)
		r = one(self, out);
	return r;
}
/* NOLINTEND(misc-no-recursion) */

static char escape_of(const struct ix_expand_opts *opts)
{
	/* In a heredoc it is a backslash, whatever the file says. */
	return opts->escape && !opts->keep_quotes ? opts->escape : '\\';
}

int ix_expand(const struct ix_expand_opts *opts, const char *word, char **ret_text, struct ix_err *err)
{
	struct expander self = { .opts = opts, .escape = escape_of(opts), .at = word, .err = err };
	ix_auto_buf out = { 0 };
	int r = read_until(&self, '\0', &out);

	if (r < 0)
		return ix_err_wrap(err, "'%.100s'", word);
	*ret_text = ix_buf_steal(&out);
	return 0;
}

void ix_expand_names(const struct ix_expand_opts *opts, const char *word, struct ix_strv *names)
{
	struct ix_err ignored;
	struct expander self = { .opts = opts, .escape = escape_of(opts), .at = word, .err = &ignored, .names = names };
	ix_auto_buf out = { 0 };

	(void)read_until(&self, '\0', &out);
}
