#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/path.h"
#include "context/context.h"
#include "pattern_int.h"

struct rule {
	struct pattern *pattern;
	bool exception; /* it began with '!' */
};

struct ix_ignore {
	struct rule *rules;
	size_t count, cap;
	size_t states; /* room that the largest pattern needs */
};

enum { PATTERN_MAX = 4096 };

static size_t elements(const char *path)
{
	size_t n = 1;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/*
 * Rules are asked for a directory before what is in it. Of a rule that was asked and matched it is known below; of one that was not asked,
 * because it could not change anything, nothing is. So "*", "!d/a", "d" shows d/a: for d, the last rule was not asked.
 */
bool ix_ignore_match(const struct ix_ignore *ignore, const char *path)
{
	size_t depth = elements(path);
	ix_auto_free unsigned char *states = ix_malloc(ignore->states + 1);
	ix_auto_free bool *hits = ix_calloc(ignore->count * depth + 1, sizeof(*hits));
	ix_auto_free bool *above = ix_calloc(ignore->count + 1, sizeof(*above));
	bool ignored = false;

	for (size_t i = 0; i < ignore->count; i++)
		pattern_match(ignore->rules[i].pattern, path, hits + i * depth, states);
	for (size_t level = 0; level < depth; level++) {
		ignored = false;
		for (size_t i = 0; i < ignore->count; i++) {
			const struct rule *rule = &ignore->rules[i];

			above[i] = above[i] || (rule->exception == ignored && hits[i * depth + level]);
			if (above[i])
				ignored = !rule->exception;
		}
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

/* rooted: a slash at its beginning is the context's root, as in files; among patterns it matches nothing. */
static int add_rule(struct ix_ignore *ignore, const char *name, unsigned line, char *text, bool rooted, struct ix_err *err)
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
	pattern = clean + (rooted && clean[0] == '/' && clean[1] != '\0');
	rule.pattern = pattern_compile(pattern);
	if (!rule.pattern)
		return ix_err_set(err, IX_EARG, "%s:%u:1: malformed pattern '%s'", name, line, text);
	IX_GROW(&ignore->rules, ignore->count, &ignore->cap);
	ignore->rules[ignore->count++] = rule;
	if (pattern_states(rule.pattern) > ignore->states)
		ignore->states = pattern_states(rule.pattern);
	return 0;
}

int ix_ignore_parse(const char *name, const char *text, size_t len, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = ix_calloc(1, sizeof(*ignore));
	const char *end = text + len;
	unsigned line = 0;
	int r;

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
		if (used > 0 && (r = add_rule(ignore, name, line, start, true, err)) < 0)
			return r;
	}
	*ret_ignore = ix_steal(&ignore);
	return 0;
}

int ix_ignore_new(const char *const *patterns, size_t count, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = ix_calloc(1, sizeof(*ignore));
	int r;

	for (size_t i = 0; i < count; i++) {
		ix_auto_free char *copy = ix_strdup(patterns[i]);

		if (*copy && (r = add_rule(ignore, "--exclude", (unsigned)i + 1, copy, false, err)) < 0)
			return r;
	}
	*ret_ignore = ix_steal(&ignore);
	return 0;
}

void ix_ignore_free(struct ix_ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->count; i++)
		pattern_free(ignore->rules[i].pattern);
	free(ignore->rules);
	free(ignore);
}
