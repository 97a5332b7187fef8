#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

char *ix_path_clean(const char *path)
{
	bool rooted = path[0] == '/';
	char *out = ix_malloc(strlen(path) + 2);
	size_t len = 0, floor; /* floor: what ".." cannot remove */

	if (rooted)
		out[len++] = '/';
	floor = len;
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			if (len > floor) {
				while (len > floor && out[len - 1] != '/')
					len--;
				if (len > floor)
					len--;
			} else if (!rooted) {
				if (len > 0)
					out[len++] = '/';
				out[len++] = '.';
				out[len++] = '.';
				floor = len;
			}
		} else if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (len > 0 && out[len - 1] != '/')
				out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
		path += strspn(path, "/");
	}
	if (len == 0)
		out[len++] = '.';
	out[len] = '\0';
	return out;
}

char *ix_path_join(const char *a, const char *b)
{
	ix_auto_free char *both = NULL;

	if (!*a)
		return *b ? ix_path_clean(b) : ix_strdup("");
	both = ix_asprintf("%s/%s", a, b);
	return ix_path_clean(both);
}

char *ix_path_resolve(const char *a, const char *b)
{
	return b[0] == '/' ? ix_path_clean(b) : ix_path_join(a, b);
}

const char *ix_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

char *ix_path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	ix_auto_free char *dir = NULL;

	if (!slash)
		return ix_strdup(".");
	dir = ix_strndup(path, slash == path ? 1 : (size_t)(slash - path));
	return ix_path_clean(dir);
}

bool ix_path_within(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	if (strcmp(dir, ".") == 0)
		return path[0] != '/' && !ix_starts(path, "../") && strcmp(path, "..") != 0;
	if (strcmp(dir, "/") == 0)
		return path[0] == '/';
	return strncmp(dir, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A character of a class, which is never the last of the pattern. *p moves behind it. */
static bool class_char(const char **p, uint32_t *ret_rune)
{
	size_t len;

	if (**p == '-' || **p == ']')
		return false;
	*p += **p == '\\';
	if (!**p)
		return false;
	len = ix_utf8_next(*p, strlen(*p), ret_rune);
	if (*ret_rune == 0xfffd && len == 1)
		return false;
	*p += len;
	return **p != '\0';
}

/* One [class] at *pattern (after the bracket) against a character. 1, 0, or -1 for a bad class; *pattern moves behind it. */
static int match_class(const char **pattern, uint32_t rune)
{
	const char *p = *pattern;
	bool negate = *p == '^', hit = false;

	p += negate;
	for (unsigned ranges = 0; *p != ']' || ranges == 0; ranges++) {
		uint32_t low, high;

		if (!class_char(&p, &low))
			return -1;
		high = low;
		if (*p == '-') {
			p++;
			if (!class_char(&p, &high))
				return -1;
		}
		hit = hit || (low <= rune && rune <= high);
	}
	*pattern = p + 1;
	return hit != negate;
}

/* Is the pattern well formed from here on? */
static bool well_formed(const char *p)
{
	while (*p) {
		if (*p == '\\') {
			if (!*++p)
				return false;
			p++;
		} else if (*p == '[') {
			p++;
			if (match_class(&p, 0) < 0)
				return false;
		} else {
			p++;
		}
	}
	return true;
}

/* What is at *pattern, no star, against the name: how many bytes of it match, 0 for none. *pattern moves behind it. */
static size_t match_one(const char **pattern, const char *name)
{
	const char *p = (*pattern)++;
	uint32_t rune;
	size_t len = ix_utf8_next(name, strlen(name), &rune);

	if (*p == '[')
		return match_class(pattern, rune) > 0 ? len : 0;
	if (*p == '?')
		return *name != '/' ? len : 0;
	if (*p == '\\')
		p = (*pattern)++;
	return *p == *name ? 1 : 0;
}

int ix_path_match(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL; /* where to go on after the last '*' took one more byte */

	if (!well_formed(pattern))
		return -1;
	while (*name || *pattern) {
		const char *next = pattern;
		size_t len;

		if (*pattern == '*') {
			star = ++pattern;
			resume = name;
			continue;
		}
		len = *name && *next ? match_one(&next, name) : 0;
		if (len > 0) {
			pattern = next;
			name += len;
			continue;
		}
		if (!star || !*resume || *resume == '/')
			return 0;
		name = ++resume;
		pattern = star;
	}
	return 1;
}
