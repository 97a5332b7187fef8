#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "graph/graph.h"

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
	bool pattern; /* reading a pattern: an escaped wildcard keeps its escape */
};

static int malformed(struct expander *self, const char *what)
{
	return ix_err_set(self->err, IX_EARG, "%s", what);
}

static int put(struct expander *self, struct ix_buf *out, const char *text, size_t len)
{
	if (out->len + len > LIMIT)
		return ix_err_set(self->err, IX_ELIMIT, "the expanded text is longer than %d bytes", LIMIT);
	ix_buf_put(out, text, len);
	return 0;
}

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A variable's name: letters, digits and underscores; digits alone; or one of the shell's special characters. */
static char *read_name(struct expander *self)
{
	const char *start = self->at;

	if (name_start(*self->at))
		while (name_start(*self->at) || digit(*self->at))
			self->at++;
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

static int read_until(struct expander *self, const char *stops, struct ix_buf *out);

/* --- ${v#p} and ${v/p/r}: shell patterns of * ? and escapes --- */

/* Does the pattern match text[0..len)? */
static bool glob(const char *p, const char *text, size_t len)
{
	const char *end = text + len, *star = NULL, *resume = NULL;

	for (;;) {
		if (*p == '*') {
			star = ++p;
			resume = text;
			continue;
		}
		if (text < end && *p) {
			const char *literal = *p == '\\' && p[1] ? p + 1 : p;

			if ((*p == '?') || *literal == *text) {
				p = literal + 1;
				text++;
				continue;
			}
		} else if (text == end && !*p) {
			return true;
		}
		if (!star || resume >= end)
			return false;
		text = ++resume;
		p = star;
	}
}

static int strip(struct expander *self, const char *value, const char *pattern, bool suffix, bool longest, struct ix_buf *out)
{
	size_t len = strlen(value);

	for (size_t i = 0; i <= len; i++) {
		size_t n = longest ? len - i : i;

		if (suffix ? glob(pattern, value + len - n, n) : glob(pattern, value, n))
			return suffix ? put(self, out, value, len - n) : put(self, out, value + n, len - n);
	}
	return put(self, out, value, len);
}

/* The longest match at text, -1 when there is none. */
static ssize_t longest_match(const char *pattern, const char *text)
{
	for (size_t n = strlen(text) + 1; n-- > 0;)
		if (glob(pattern, text, n))
			return (ssize_t)n;
	return -1;
}

static int substitute(struct expander *self, const char *value, const char *pattern, const char *with, bool all, struct ix_buf *out)
{
	while (*value) {
		ssize_t n = longest_match(pattern, value);

		if (n <= 0) {
			if (put(self, out, value++, 1) < 0)
				return -(int)self->err->code;
			continue;
		}
		if (put(self, out, with, strlen(with)) < 0)
			return -(int)self->err->code;
		value += n;
		if (!all)
			break;
	}
	return put(self, out, value, strlen(value));
}

/* --- ${...} --- */

static int inner_word(struct expander *self, const char *stops, struct ix_buf *out)
{
	int r;

	if (++self->depth > DEPTH)
		return malformed(self, "variables are nested too deeply");
	r = read_until(self, stops, out);
	self->depth--;
	return r;
}

static int pattern_word(struct expander *self, const char *stops, struct ix_buf *out)
{
	bool before = self->pattern;
	int r;

	self->pattern = true;
	r = inner_word(self, stops, out);
	self->pattern = before;
	return r;
}

static int close_brace(struct expander *self)
{
	if (*self->at != '}')
		return malformed(self, "missing '}' in variable");
	self->at++;
	return 0;
}

/* :- - :+ + :? ? */
static int conditional(struct expander *self, const char *name, const char *value, bool colon, struct ix_buf *out)
{
	char op = *self->at++;
	bool set = value && (!colon || *value);
	ix_auto_buf word = { 0 };

	if (inner_word(self, "}", &word) < 0 || close_brace(self) < 0)
		return -(int)self->err->code;
	switch (op) {
	case '-':
		return set ? put(self, out, value, strlen(value)) : put(self, out, word.data, word.len);
	case '+':
		return set ? put(self, out, word.data, word.len) : 0;
	default:
		if (!set && !self->names)
			return ix_err_set(self->err, IX_EARG, "%s: %s", name, word.len ? ix_buf_str(&word) : "not allowed to be unset");
		return set ? put(self, out, value, strlen(value)) : 0;
	}
}

static int trim(struct expander *self, const char *value, struct ix_buf *out)
{
	char op = *self->at++;
	bool longest = *self->at == op;
	ix_auto_buf pattern = { 0 };

	self->at += longest;
	if (pattern_word(self, "}", &pattern) < 0 || close_brace(self) < 0)
		return -(int)self->err->code;
	return value ? strip(self, value, ix_buf_str(&pattern), op == '%', longest, out) : 0;
}

static int replace(struct expander *self, const char *value, struct ix_buf *out)
{
	ix_auto_buf pattern = { 0 }, with = { 0 };
	bool all;

	self->at++;
	all = *self->at == '/';
	self->at += all;
	if (pattern_word(self, "/}", &pattern) < 0)
		return -(int)self->err->code;
	if (*self->at == '/') {
		self->at++;
		if (inner_word(self, "}", &with) < 0)
			return -(int)self->err->code;
	}
	if (close_brace(self) < 0)
		return -(int)self->err->code;
	if (!value)
		return 0;
	return pattern.len ? substitute(self, value, ix_buf_str(&pattern), ix_buf_str(&with), all, out)
			   : put(self, out, value, strlen(value));
}

static int braced(struct expander *self, struct ix_buf *out)
{
	ix_auto_free char *name = NULL;
	const char *value;

	if (*self->at == '}')
		return malformed(self, "${} names no variable");
	name = read_name(self);
	if (!*name)
		return malformed(self, "bad variable name in ${...}");
	value = value_of(self, name);
	switch (*self->at) {
	case '}':
		self->at++;
		return value ? put(self, out, value, strlen(value)) : 0;
	case ':':
		self->at++;
		if (*self->at && strchr("-+?", *self->at))
			return conditional(self, name, value, true, out);
		return ix_err_set(self->err, IX_EARG, "unsupported modifier (%c) in substitution of %s", *self->at ? *self->at : ' ', name);
	case '-':
	case '+':
	case '?':
		return conditional(self, name, value, false, out);
	case '#':
	case '%':
		return trim(self, value, out);
	case '/':
		return replace(self, value, out);
	case '\0':
		return malformed(self, "missing '}' in variable");
	default:
		return ix_err_set(self->err, IX_EARG, "unsupported modifier (%c) in substitution of %s", *self->at, name);
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
	const char *end = strchr(self->at + 1, '\'');

	if (!end)
		return malformed(self, "unexpected end of statement while looking for matching single-quote");
	if (put(self, out, self->at + 1, (size_t)(end - self->at - 1)) < 0)
		return -(int)self->err->code;
	self->at = end + 1;
	return 0;
}

static int double_quoted(struct expander *self, struct ix_buf *out)
{
	self->at++;
	while (*self->at != '"') {
		int r;

		if (!*self->at)
			return malformed(self, "unexpected end of statement while looking for matching double-quote");
		if (*self->at == '$') {
			r = dollar(self, out);
		} else {
			/* Inside double quotes only these lose their escape. */
			if (*self->at == self->escape && self->at[1] &&
			    (self->at[1] == '"' || self->at[1] == '$' || self->at[1] == self->escape))
				self->at++;
			r = put(self, out, self->at++, 1);
		}
		if (r < 0)
			return r;
	}
	self->at++;
	return 0;
}

static int one(struct expander *self, struct ix_buf *out)
{
	bool keep = self->opts->keep_quotes;

	if (*self->at == '$')
		return dollar(self, out);
	if (*self->at == '\'' && !keep)
		return single_quoted(self, out);
	if (*self->at == '"' && !keep)
		return double_quoted(self, out);
	if (*self->at == self->escape && self->at[1]) {
		self->at++;
		if (self->pattern && strchr("*?\\", *self->at) && put(self, out, "\\", 1) < 0)
			return -(int)self->err->code;
	} else if (*self->at == self->escape && !keep) {
		self->at++;
		return 0; /* an escape with nothing behind it */
	}
	return put(self, out, self->at++, 1);
}

static int read_until(struct expander *self, const char *stops, struct ix_buf *out)
{
	while (*self->at && !strchr(stops, *self->at))
		if (one(self, out) < 0)
			return -(int)self->err->code;
	return 0;
}

int ix_expand(const struct ix_expand_opts *opts, const char *word, char **ret_text, struct ix_err *err)
{
	struct expander self = { .opts = opts, .escape = opts->escape ? opts->escape : '\\', .at = word, .err = err };
	ix_auto_buf out = { 0 };

	if (read_until(&self, "", &out) < 0)
		return ix_err_wrap(err, "'%.100s'", word);
	*ret_text = ix_buf_steal(&out);
	return 0;
}

void ix_expand_names(const char *word, char escape, struct ix_strv *names)
{
	const struct ix_expand_opts opts = { .escape = escape };
	struct ix_err ignored;
	struct expander self = { .opts = &opts, .escape = escape ? escape : '\\', .at = word, .err = &ignored, .names = names };
	ix_auto_buf out = { 0 };

	(void)read_until(&self, "", &out);
}
