/* Patterns of COPY with wildcards: the paths they match. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/scope.h"
#include "base/str.h"
#include "context_int.h"
#include "pattern_int.h"

bool context_has_wildcard(const char *pattern)
{
	/* An escape alone makes none: such a path is taken as it is written. */
	for (; *pattern; pattern++) {
		if (*pattern == '\\' && pattern[1])
			pattern++;
		else if (strchr("*?[", *pattern))
			return true;
	}
	return false;
}

/* Directory by directory, as they are walked: "d" with all in it goes before "d.x". */
static int compare_places(const void *a, const void *b)
{
	const unsigned char *x = *(const unsigned char *const *)a, *y = *(const unsigned char *const *)b;

	while (*x && *x == *y)
		x++, y++;
	return (*x == '/' ? 0 : *x) - (*y == '/' ? 0 : *y);
}

/* The names in a directory that the element matches, below its path. Links are not followed. */
static void glob_one(const struct ix_context *context, const char *dir_path, const char *element, struct ix_strv *found)
{
	struct ix_err ignored; /* what is no directory has nothing below it */
	int fd = ix_open_beneath(context->root_fd, dir_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, &ignored);
	ix_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && ix_path_match(element, entry->d_name) > 0)
			ix_strv_addf(found, "%s%s%s", dir_path, dir_path[0] ? "/" : "", entry->d_name);
}

/* Element by element, breadth first. */
static void glob_elements(const struct ix_context *context, const char *base, const char *pattern, struct ix_strv *found)
{
	ix_auto_strv level = { 0 };

	ix_strv_add(&level, base);
	while (*pattern) {
		size_t n = strcspn(pattern, "/");
		ix_auto_free char *element = ix_strndup(pattern, n);
		struct ix_strv next = { 0 };

		pattern += n + (pattern[n] == '/');
		for (size_t i = 0; i < level.count; i++)
			glob_one(context, level.items[i], element, &next);
		ix_strv_release(&level);
		level = next;
	}
	ix_strv_copy(found, &level);
}

/* The directories before the first wildcard, which have to be there, and how much of the pattern they are, with their slash. */
static int glob_base(const struct ix_context *context, const char *pattern, char **ret_base, size_t *ret_skip, struct ix_err *err)
{
	ix_auto_free char *base = NULL;
	size_t skip = 0;
	int r;

	for (;;) {
		size_t len = strcspn(pattern + skip, "/");
		ix_auto_free char *element = ix_strndup(pattern + skip, len);

		if (context_has_wildcard(element) || !pattern[skip + len])
			break;
		skip += len + 1;
	}
	base = ix_strndup(pattern, skip > 0 ? skip - 1 : 0);
	*ret_skip = skip;
	r = skip > 0 ? ix_context_real_path(context, base, ret_base, err) : 0;
	if (skip == 0)
		*ret_base = ix_strdup("");
	return r == -IX_ENOTFOUND ? ix_err_set(err, IX_ENOTFOUND, "\"/%s\": not found", base) : r;
}

/* A class may match a slash: whole paths are compared, and below what matches nothing is looked for. */
static int glob_paths(const struct ix_context *context, const char *base, const char *pattern, struct ix_strv *found, struct ix_err *err)
{
	size_t cap = 0, len = *base ? strlen(base) + 1 : 0;
	ix_auto_selection below = { 0 };
	const char *last = NULL;
	int r = context_walk(context, base, &below, &cap, NULL, err);

	for (size_t i = 0; i < below.nentries && r == 0; i++) {
		const char *path = below.entries[i].path;

		if (strlen(path) <= len || (last && ix_path_within(last, path)) || ix_path_match(pattern, path + len) <= 0)
			continue;
		ix_strv_add(found, path);
		last = path;
	}
	return r;
}

int context_glob(const struct ix_context *context, const char *pattern, struct ix_strv *found, struct ix_err *err)
{
	ix_auto_free char *base = NULL;
	struct pattern *compiled;
	size_t skip;
	int r;

	if (ix_path_match(pattern, "") < 0)
		return ix_err_set(err, IX_EARG, "malformed pattern '%s'", pattern);
	/* Files of this machine are sent by the rules of ignore files first, so what they refuse is refused. */
	if (context->owns_fd) {
		compiled = pattern_compile(pattern);
		if (!compiled)
			return ix_err_set(err, IX_EARG, "malformed pattern '%s'", pattern);
		pattern_free(compiled);
	}
	r = glob_base(context, pattern, &base, &skip, err);
	if (r < 0)
		return r;
	if (strchr(pattern, '['))
		r = glob_paths(context, base, pattern + skip, found, err);
	else
		glob_elements(context, base, pattern + skip, found);
	if (found->count > 0)
		qsort(found->items, found->count, sizeof(char *), compare_places);
	return r;
}
