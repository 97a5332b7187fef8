#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "context/context.h"

/*
 * A pattern is a list of tokens matched by simulating its automaton: one bit for each position in the pattern, so the cost is bounded by
 * pattern length times path length whatever the pattern. The language is that of moby's patternmatcher: "**" crosses slashes, and a "**"
 * followed by a slash also stands for no directory at all.
 */
enum token_kind { T_LITERAL, T_ONE, T_CLASS, T_STAR, T_GLOBSTAR, T_DIRS };

struct token {
	enum token_kind kind;
	unsigned char literal;
	bool negate;
	unsigned char set[32]; /* T_CLASS: one bit for each byte */
};

struct rule {
	struct token *tokens;
	size_t count;
	bool exception; /* it began with '!' */
};

struct ix_ignore {
	struct rule *rules;
	size_t count, cap;
	size_t longest; /* tokens in the longest rule */
};

enum { PATTERN_MAX = 4096 };

/* [abc], [a-z], [^...]: p points behind the bracket. Returns behind the class, NULL when it is malformed. */
static const char *parse_class(const char *p, struct token *token)
{
	bool any = false;

	token->kind = T_CLASS;
	if (*p == '^' || *p == '!') {
		token->negate = true;
		p++;
	}
	while (*p && (*p != ']' || !any)) {
		unsigned low, high;

		if (*p == '\\' && !*++p)
			return NULL;
		low = high = (unsigned char)*p++;
		if (*p == '-' && p[1] && p[1] != ']') {
			p++;
			if (*p == '\\' && !*++p)
				return NULL;
			high = (unsigned char)*p++;
		}
		if (high < low)
			return NULL;
		for (; low <= high; low++)
			token->set[low / 8] |= (unsigned char)(1u << (low % 8));
		any = true;
	}
	return *p == ']' ? p + 1 : NULL;
}

static bool compile(const char *p, struct rule *rule)
{
	rule->tokens = ix_calloc(strlen(p) + 1, sizeof(*rule->tokens));
	while (*p) {
		struct token *token = &rule->tokens[rule->count++];

		if (p[0] == '*' && p[1] == '*') {
			p += 2;
			token->kind = T_GLOBSTAR;
			if (*p == '/') {
				token->kind = T_DIRS;
				p++;
			}
		} else if (*p == '*') {
			token->kind = T_STAR;
			p++;
		} else if (*p == '?') {
			token->kind = T_ONE;
			p++;
		} else if (*p == '[') {
			p = parse_class(p + 1, token);
			if (!p)
				return false;
		} else {
			if (*p == '\\' && !*++p)
				return false;
			token->kind = T_LITERAL;
			token->literal = (unsigned char)*p++;
		}
	}
	return true;
}

/* Positions reachable from at without reading a byte. */
static void reach(const struct rule *rule, unsigned char *on, size_t at)
{
	while (!on[at]) {
		on[at] = 1;
		if (at == rule->count || rule->tokens[at].kind < T_STAR)
			return;
		at++;
	}
}

static bool accepts(const struct token *token, unsigned char c)
{
	if (token->kind == T_LITERAL)
		return token->literal == c;
	if (c == '/')
		return false;
	return token->kind == T_ONE || ((token->set[c / 8] >> (c % 8) & 1) != 0) != token->negate;
}

static void step(const struct rule *rule, const unsigned char *on, unsigned char *next, unsigned char c)
{
	for (size_t at = 0; at < rule->count; at++) {
		const struct token *token = &rule->tokens[at];

		if (!on[at])
			continue;
		switch (token->kind) {
		case T_STAR:
			if (c != '/')
				reach(rule, next, at);
			break;
		case T_GLOBSTAR:
			reach(rule, next, at);
			break;
		case T_DIRS:
			/* Inside the directories: stay here without passing on; a slash ends one, and the rest may begin. */
			next[at] = 1;
			if (c == '/')
				reach(rule, next, at + 1);
			break;
		case T_LITERAL:
		case T_ONE:
		case T_CLASS:
			if (accepts(token, c))
				reach(rule, next, at + 1);
			break;
		}
	}
}

/* Does the rule match path or one of its parents? */
static bool rule_matches(const struct rule *rule, const char *path, unsigned char *on, unsigned char *next)
{
	memset(on, 0, rule->count + 1);
	reach(rule, on, 0);
	for (const char *c = path; *c; c++) {
		unsigned char *swap = on;

		if (*c == '/' && on[rule->count])
			return true;
		memset(next, 0, rule->count + 1);
		step(rule, on, next, (unsigned char)*c);
		on = next;
		next = swap;
	}
	return on[rule->count];
}

bool ix_ignore_match(const struct ix_ignore *ignore, const char *path)
{
	ix_auto_free unsigned char *states = ix_malloc(2 * (ignore->longest + 1));
	bool ignored = false;

	for (size_t i = 0; i < ignore->count; i++) {
		const struct rule *rule = &ignore->rules[i];

		if (rule->exception == ignored && rule_matches(rule, path, states, states + ignore->longest + 1))
			ignored = !rule->exception;
	}
	return ignored;
}

bool ix_ignore_has_exceptions(const struct ix_ignore *ignore)
{
	for (size_t i = 0; i < ignore->count; i++)
		if (ignore->rules[i].exception)
			return true;
	return false;
}

static int add_rule(struct ix_ignore *ignore, const char *name, unsigned line, char *text, struct ix_err *err)
{
	struct rule rule = { 0 };
	ix_auto_free char *clean = NULL;
	const char *pattern;

	if (*text == '!') {
		rule.exception = true;
		text++;
		text += strspn(text, " \t");
	}
	if (!*text)
		return ix_err_set(err, IX_EARG, "%s:%u:1: '!' without a pattern", name, line);
	if (strlen(text) > PATTERN_MAX)
		return ix_err_set(err, IX_ELIMIT, "%s:%u:1: pattern is longer than %d bytes", name, line, PATTERN_MAX);
	clean = ix_path_clean(text);
	pattern = clean + (clean[0] == '/' && clean[1] != '\0');
	if (!compile(pattern, &rule)) {
		free(rule.tokens);
		return ix_err_set(err, IX_EARG, "%s:%u:1: malformed pattern '%s'", name, line, text);
	}
	IX_GROW(&ignore->rules, ignore->count, &ignore->cap);
	ignore->rules[ignore->count++] = rule;
	if (rule.count > ignore->longest)
		ignore->longest = rule.count;
	return 0;
}

int ix_ignore_parse(const char *name, const char *text, size_t len, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = ix_calloc(1, sizeof(*ignore));
	const char *end = text + len;
	unsigned line = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline ? newline : end) - text);
		ix_auto_free char *copy = ix_strndup(text, n);
		char *start = copy;
		size_t used;

		line++;
		text += n + (newline != NULL);
		if (memchr(copy, '\0', n))
			return ix_err_set(err, IX_EARG, "%s:%u:1: NUL byte", name, line);
		if (copy[0] == '#')
			continue;
		start += strspn(start, " \t\r");
		used = strlen(start);
		while (used > 0 && strchr(" \t\r", start[used - 1]))
			start[--used] = '\0';
		if (used > 0 && add_rule(ignore, name, line, start, err) < 0)
			return -(int)err->code;
	}
	*ret_ignore = ix_steal(&ignore);
	return 0;
}

int ix_ignore_new(const char *const *patterns, size_t count, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = ix_calloc(1, sizeof(*ignore));

	for (size_t i = 0; i < count; i++) {
		ix_auto_free char *copy = ix_strdup(patterns[i]);

		if (*copy && add_rule(ignore, "--exclude", (unsigned)i + 1, copy, err) < 0)
			return -(int)err->code;
	}
	*ret_ignore = ix_steal(&ignore);
	return 0;
}

void ix_ignore_free(struct ix_ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->count; i++)
		free(ignore->rules[i].tokens);
	free(ignore->rules);
	free(ignore);
}
