#include <string.h>

#include "syntax_int.h"

/* The grammar of image references, [host[:port]/]path[:tag][@digest], for mistakes that can be told without asking anybody. */

static bool lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
	return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Letters and digits in lower case, with one dot, one or two underscores or dashes between them. */
static bool path_element(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t start = i;

		while (i < len && lower_alnum(text[i]))
			i++;
		if (i == start)
			return false;
		if (i == len)
			return true;
		start = i;
		while (i < len && text[i] == text[start] && strchr("._-", text[i]))
			i++;
		if (i == start || i == len || (text[start] == '.' && i - start > 1) || (text[start] == '_' && i - start > 2))
			return false;
	}
	return false;
}

static bool path(const char *text, size_t len)
{
	for (;;) {
		const char *slash = memchr(text, '/', len);
		size_t n = slash ? (size_t)(slash - text) : len;

		if (!path_element(text, n))
			return false;
		if (!slash)
			return true;
		text += n + 1;
		len -= n + 1;
	}
}

static bool host(const char *text, size_t len)
{
	const char *colon = len > 0 && text[0] != '[' ? memchr(text, ':', len) : NULL;
	size_t n = colon ? (size_t)(colon - text) : len;

	if (len == 0 || text[0] == '[')
		return len > 2;
	for (size_t i = 0; i < n; i++)
		if (!alnum(text[i]) && !(strchr(".-", text[i]) && i > 0 && i + 1 < n && text[i - 1] != '.' && text[i + 1] != '.'))
			return false;
	for (size_t i = n + 1; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return n > 0 && (!colon || n + 1 < len);
}

static bool tag(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!alnum(text[i]) && text[i] != '_' && (i == 0 || !strchr(".-", text[i])))
			return false;
	return len > 0 && len <= 128;
}

static bool digest(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon && colon > text && strlen(colon + 1) >= 32 && strspn(colon + 1, "0123456789abcdefABCDEF") == strlen(colon + 1);
}

/* Is what is before the first slash a host? */
static bool names_host(const char *text, size_t len)
{
	if (memchr(text, '.', len) || memchr(text, ':', len) || (len == 9 && memcmp(text, "localhost", 9) == 0))
		return true;
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			return true;
	return false;
}

bool ix_df_reference_valid(const char *text)
{
	const char *at = strchr(text, '@'), *slash = strchr(text, '/'), *start = text, *colon;
	const char *end = at ? at : text + strlen(text);

	if (at && !digest(at + 1))
		return false;
	if (!at && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64)
		return false; /* an id */
	if (slash && slash < end && names_host(text, (size_t)(slash - text))) {
		if (!host(text, (size_t)(slash - text)))
			return false;
		start = slash + 1;
	}
	colon = memchr(start, ':', (size_t)(end - start));
	if (colon && !tag(colon + 1, (size_t)(end - colon) - 1))
		return false;
	return path(start, (size_t)((colon ? colon : end) - start));
}
