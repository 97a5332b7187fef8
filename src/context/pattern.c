#include "pattern_int.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/path.h"
#include "base/str.h"

/*
 * What a pattern means is defined by the regular expression that moby's matcher makes of it, oddities included: a class is the expression's, not
 * filepath.Match's, and holds what a star in it became; an escaped letter is the expression's escape. So the same text is made here and
 * compiled to atoms, which are matched by simulating their automaton: one byte for each atom, so the cost is bounded by pattern length times
 * path length. Patterns without anything special are compared as they are.
 */

enum pattern_kind { WHOLE, BEGINNING, END, ATOMS };

enum atom_kind { ATOM_CHAR, ATOM_ANY, ATOM_CLASS, ATOM_DIRS, ATOM_BEGIN, ATOM_END, ATOM_BOUNDARY };

struct range {
	uint32_t low, high;
};

struct atom {
	enum atom_kind kind;
	bool star;
	bool negate;
	uint32_t rune;
	struct range *ranges;
	size_t nranges, cap;
};

struct pattern {
	enum pattern_kind kind;
	char *text; /* WHOLE, BEGINNING, END */
	struct atom *atoms;
	size_t count, cap;
};

enum { RUNE_MAX = 0x10ffff };

/* --- the expression of a pattern --- */

static void put_rune(struct ix_buf *out, const char **p)
{
	uint32_t rune;
	size_t len = ix_utf8_next(*p, strlen(*p), &rune);

	if (len == 1 && rune == 0xfffd)
		ix_buf_puts(out, "\xef\xbf\xbd");
	else
		ix_buf_put(out, *p, len);
	*p += len;
}

/* Behind the second star of "**". */
static enum pattern_kind any_directories(const char **p, bool first, enum pattern_kind kind, struct ix_buf *out)
{
	*p += **p == '/';
	if (**p) {
		ix_buf_puts(out, "(.*/)?");
		kind = ATOMS;
	} else if (kind == WHOLE) {
		kind = BEGINNING;
	} else {
		ix_buf_puts(out, ".*");
		kind = ATOMS;
	}
	return first ? END : kind;
}

static enum pattern_kind translate(const char *text, struct ix_buf *out)
{
	enum pattern_kind kind = WHOLE;
	const char *p = text;

	while (*p) {
		bool first = p == text;

		if (p[0] == '*' && p[1] == '*') {
			p += 2;
			kind = any_directories(&p, first, kind, out);
		} else if (*p == '*' || *p == '?') {
			ix_buf_puts(out, *p++ == '*' ? "[^/]*" : "[^/]");
			kind = ATOMS;
		} else if (strchr(".+()|{}$", *p)) {
			ix_buf_printf(out, "\\%c", *p++);
		} else {
			if (*p == '[' || *p == ']' || *p == '\\')
				kind = ATOMS;
			if (*p == '\\')
				ix_buf_putc(out, *p++);
			if (*p) /* a backslash may be the last byte */
				put_rune(out, &p);
		}
	}
	return kind;
}

/* --- compiling it --- */

static void add_range(struct atom *atom, uint32_t low, uint32_t high)
{
	IX_GROW(&atom->ranges, atom->nranges, &atom->cap);
	atom->ranges[atom->nranges++] = (struct range){ low, high };
}

static bool in_ascii(bool (*is)(int), unsigned c)
{
	return is((int)c);
}

/* What of ASCII the test says, or all else. */
static void add_tested(struct atom *atom, bool (*is)(int), bool negate)
{
	for (unsigned c = 0; c < 128; c++)
		if (in_ascii(is, c) != negate)
			add_range(atom, c, c);
	if (negate)
		add_range(atom, 128, RUNE_MAX);
}

/* Independent of the locale, which is never set. */
#define TEST(name, expression)                                                                                                             \
	static bool name(int c)                                                                                                            \
	{                                                                                                                                  \
		return (expression) != 0;                                                                                                  \
	}
TEST(is_digit, isdigit(c))
TEST(is_word, isalnum(c) || c == '_')
TEST(is_perl_space, c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r')
TEST(is_alnum, isalnum(c))
TEST(is_alpha, isalpha(c))
TEST(is_ascii, c < 128)
TEST(is_blank, c == ' ' || c == '\t')
TEST(is_cntrl, iscntrl(c))
TEST(is_graph, isgraph(c))
TEST(is_lower, islower(c))
TEST(is_print, isprint(c))
TEST(is_punct, ispunct(c))
TEST(is_space, isspace(c))
TEST(is_upper, isupper(c))
TEST(is_xdigit, isxdigit(c))
#undef TEST

static const struct {
	const char *name;
	bool (*is)(int);
} named[] = {
	{ "alnum", is_alnum }, { "alpha", is_alpha }, { "ascii", is_ascii }, { "blank", is_blank },   { "cntrl", is_cntrl },
	{ "digit", is_digit }, { "graph", is_graph }, { "lower", is_lower }, { "print", is_print },   { "punct", is_punct },
	{ "space", is_space }, { "upper", is_upper }, { "word", is_word },   { "xdigit", is_xdigit },
};

/* \d \S ...: 1 with the ranges added, 0 when it is another escape. p points at the letter. */
static bool perl_class(const char *p, struct atom *atom)
{
	static const char letters[] = "dswDSW";
	bool (*const tests[])(int) = { is_digit, is_perl_space, is_word };
	const char *found = *p ? strchr(letters, *p) : NULL;

	if (found)
		add_tested(atom, tests[(found - letters) % 3], found - letters >= 3);
	return found;
}

static bool hex_digits(const char **p, size_t max, uint32_t *rune)
{
	size_t n = 0;

	for (*rune = 0; n < max && isxdigit((unsigned char)**p); n++, (*p)++)
		*rune = *rune * 16 + (uint32_t)(isdigit((unsigned char)**p) ? **p - '0' : (**p | 32) - 'a' + 10);
	return n > 0 && *rune <= RUNE_MAX;
}

/* Behind "\x": two digits, or any number of them in braces. */
static bool hex_escape(const char **p, uint32_t *rune)
{
	const char *start = *p;

	if (*start != '{')
		return hex_digits(p, 2, rune) && *p == start + 2;
	(*p)++;
	return hex_digits(p, 8, rune) && *(*p)++ == '}';
}

/* Behind a backslash that is no class. */
static bool char_escape(const char **p, uint32_t *rune)
{
	static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
	const char *control = **p ? strchr(from, **p) : NULL;

	if (**p == 'x') {
		(*p)++;
		return hex_escape(p, rune);
	}
	if (**p == '0' || (**p >= '1' && **p <= '7' && (*p)[1] >= '0' && (*p)[1] <= '7')) {
		*rune = 0;
		for (int i = 0; i < 3 && **p >= '0' && **p <= '7'; i++)
			*rune = *rune * 8 + (uint32_t)(*(*p)++ - '0');
		return true;
	}
	if (control)
		*rune = (unsigned char)to[control - from];
	else if ((unsigned char)**p < 0x80 && ispunct((unsigned char)**p))
		*rune = (unsigned char)**p;
	else
		return false;
	(*p)++;
	return true;
}

static bool class_rune(const char **p, uint32_t *rune)
{
	if (!**p)
		return false;
	if (**p == '\\') {
		(*p)++;
		return char_escape(p, rune);
	}
	*p += ix_utf8_next(*p, strlen(*p), rune);
	return true;
}

/* "[:alpha:]" in a class: 1, 0 when it is none, -1 when nobody knows the name. */
static int named_class(const char **p, struct atom *atom)
{
	const char *end = (*p)[0] == '[' && (*p)[1] == ':' ? strstr(*p + 2, ":]") : NULL;
	bool negate = end && (*p)[2] == '^';
	const char *name = *p + 2 + negate;

	if (!end)
		return 0;
	for (size_t i = 0; i < IX_ARRAY_LEN(named); i++) {
		if (strlen(named[i].name) == (size_t)(end - name) && ix_starts(name, named[i].name)) {
			add_tested(atom, named[i].is, negate);
			*p = end + 2;
			return 1;
		}
	}
	return -1;
}

static bool class_item(const char **p, struct atom *atom)
{
	uint32_t low, high;
	int r = named_class(p, atom);

	if (r != 0)
		return r > 0;
	if (**p == '\\' && perl_class(*p + 1, atom)) {
		*p += 2;
		return true;
	}
	if (!class_rune(p, &low))
		return false;
	high = low;
	if ((*p)[0] == '-' && (*p)[1] != ']') {
		(*p)++;
		if (!class_rune(p, &high) || high < low)
			return false;
	}
	add_range(atom, low, high);
	return true;
}

/* Behind the bracket. */
static bool compile_class(const char **p, struct atom *atom)
{
	atom->kind = ATOM_CLASS;
	atom->negate = **p == '^';
	*p += atom->negate;
	do
		if (!class_item(p, atom))
			return false;
	while (**p != ']');
	(*p)++;
	return true;
}

static bool compile_escape(const char **p, struct atom *atom)
{
	if (perl_class(*p, atom)) {
		atom->kind = ATOM_CLASS;
		(*p)++;
		return true;
	}
	if (**p && strchr("AzbB", **p)) {
		atom->kind = **p == 'A' ? ATOM_BEGIN : **p == 'z' ? ATOM_END : ATOM_BOUNDARY;
		atom->negate = *(*p)++ == 'B';
		return true;
	}
	return char_escape(p, &atom->rune);
}

static bool compile_atom(const char **p, struct atom *atom)
{
	if (ix_starts(*p, "(.*/)?")) {
		atom->kind = ATOM_DIRS;
		*p += 6;
		return true;
	}
	switch (*(*p)++) {
	case '.':
		atom->kind = ATOM_ANY;
		return true;
	case '^':
		atom->kind = ATOM_BEGIN;
		return true;
	case '[':
		return compile_class(p, atom);
	case '\\':
		return compile_escape(p, atom);
	case '*':
	case '?':
		return false; /* nothing to repeat */
	default:
		(*p)--;
		*p += ix_utf8_next(*p, strlen(*p), &atom->rune);
		return true;
	}
}

static bool compile_atoms(const char *p, struct pattern *pattern)
{
	bool quoted = false; /* between \Q and \E */

	while (*p) {
		struct atom *atom;

		if (p[0] == '\\' && p[1] == (quoted ? 'E' : 'Q')) {
			quoted = !quoted;
			p += 2;
			continue;
		}
		IX_GROW(&pattern->atoms, pattern->count, &pattern->cap);
		atom = &pattern->atoms[pattern->count++];
		*atom = (struct atom){ 0 };
		if (quoted)
			p += ix_utf8_next(p, strlen(p), &atom->rune);
		else if (!compile_atom(&p, atom))
			return false;
		atom->star = !quoted && *p == '*';
		p += atom->star;
	}
	if (quoted) {
		/* The end of the expression, quoted too. */
		IX_GROW(&pattern->atoms, pattern->count, &pattern->cap);
		pattern->atoms[pattern->count++] = (struct atom){ .rune = '$' };
	}
	return true;
}

struct pattern *pattern_compile(const char *text)
{
	struct pattern *pattern = ix_calloc(1, sizeof(*pattern));
	ix_auto_buf expression = { 0 };

	pattern->kind = translate(text, &expression);
	pattern->text = pattern->kind == END         ? ix_strdup(text + 2)
			: pattern->kind == BEGINNING ? ix_strndup(text, strlen(text) - 2)
						     : ix_strdup(text);
	if (ix_path_match(text, ".") >= 0 && (pattern->kind != ATOMS || compile_atoms(ix_buf_str(&expression), pattern)))
		return pattern;
	pattern_free(pattern);
	return NULL;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	for (size_t i = 0; i < pattern->count; i++)
		free(pattern->atoms[i].ranges);
	free(pattern->atoms);
	free(pattern->text);
	free(pattern);
}

/* --- matching --- */

size_t pattern_states(const struct pattern *pattern)
{
	return 2 * (pattern->count + 1);
}

/* Between two characters; 0 is the beginning, and the end of what is matched, which a slash is too. */
struct gap {
	uint32_t before, behind;
};

static bool may_pass(const struct atom *atom, const struct gap *gap)
{
	switch (atom->kind) {
	case ATOM_DIRS:
		return true;
	case ATOM_BEGIN:
		return gap->before == 0;
	case ATOM_END:
		return gap->behind == 0 || gap->behind == '/';
	case ATOM_BOUNDARY:
		return ((gap->before < 128 && is_word((int)gap->before)) != (gap->behind < 128 && is_word((int)gap->behind))) !=
		       atom->negate;
	case ATOM_CHAR:
	case ATOM_ANY:
	case ATOM_CLASS:
		break;
	}
	return atom->star;
}

/* Positions that are reached from at without reading anything. */
static void reach(const struct pattern *pattern, unsigned char *on, size_t at, const struct gap *gap)
{
	while (!on[at]) {
		on[at] = 1;
		if (at == pattern->count || !may_pass(&pattern->atoms[at], gap))
			return;
		at++;
	}
}

static bool accepts(const struct atom *atom, uint32_t rune)
{
	bool hit = false;

	if (atom->kind == ATOM_CHAR)
		return atom->rune == rune;
	if (atom->kind == ATOM_ANY)
		return rune != '\n';
	for (size_t i = 0; i < atom->nranges && !hit; i++)
		hit = atom->ranges[i].low <= rune && rune <= atom->ranges[i].high;
	return atom->kind == ATOM_CLASS && hit != atom->negate;
}

static void step(const struct pattern *pattern, const unsigned char *on, unsigned char *next, const struct gap *gap)
{
	uint32_t rune = gap->before;

	for (size_t at = 0; at < pattern->count; at++) {
		const struct atom *atom = &pattern->atoms[at];

		if (!on[at])
			continue;
		if (atom->kind == ATOM_DIRS) {
			/* Inside the directories: stay here without passing on; a slash ends one, and the rest may begin. */
			next[at] |= rune != '\n';
			if (rune == '/')
				reach(pattern, next, at + 1, gap);
		} else if (accepts(atom, rune)) {
			reach(pattern, next, atom->star ? at : at + 1, gap);
		}
	}
}

static void match_atoms(const struct pattern *pattern, const char *path, bool *hits, unsigned char *on)
{
	unsigned char *next = on + pattern->count + 1;
	size_t left = strlen(path), len = ix_utf8_next(path, left, &(uint32_t){ 0 });
	struct gap gap = { 0 };

	memset(on, 0, pattern->count + 1);
	(void)ix_utf8_next(path, left, &gap.behind);
	reach(pattern, on, 0, &gap);
	while (left > 0) {
		unsigned char *swap = on;

		if (gap.behind == '/')
			*hits++ = on[pattern->count];
		path += len;
		left -= len;
		gap.before = gap.behind;
		gap.behind = 0;
		len = left > 0 ? ix_utf8_next(path, left, &gap.behind) : 0;
		memset(next, 0, pattern->count + 1);
		step(pattern, on, next, &gap);
		on = next;
		next = swap;
	}
	*hits = on[pattern->count];
}

/* A beginning of a path, against a pattern with nothing special in it but stars at an end. */
static bool match_text(const struct pattern *pattern, const char *path, size_t len)
{
	const char *text = pattern->text;
	size_t n = strlen(text);

	if (pattern->kind == WHOLE)
		return n == len && memcmp(path, text, n) == 0;
	if (pattern->kind == BEGINNING)
		return n <= len && memcmp(path, text, n) == 0;
	if (n <= len && memcmp(path + len - n, text, n) == 0)
		return true;
	return *text == '/' && n - 1 == len && memcmp(path, text + 1, len) == 0;
}

void pattern_match(const struct pattern *pattern, const char *path, bool *hits, unsigned char *states)
{
	const char *slash = path;

	if (pattern->kind == ATOMS) {
		match_atoms(pattern, path, hits, states);
		return;
	}
	for (; (slash = strchr(slash, '/')) != NULL; slash++)
		*hits++ = match_text(pattern, path, (size_t)(slash - path));
	*hits = match_text(pattern, path, strlen(path));
}
