#include "context_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "base/scope.h"
#include "base/str.h"

/*
 * COPY --parents: what a pattern matches keeps the directories it stands in, from the root or from a pivot written "/./". The pattern may hold
 * "**" for any number of directories. Links are matched, but not walked through.
 */

struct parents {
	const struct ix_context *context;
	const struct ix_select_opts *opts;
	struct ix_selection *selection;
	size_t cap;
	char *pivot; /* clean, relative to the root; "" for the root */
	struct ix_strv found;
};

enum { FOUND_MAX = 1000000 };

static char *below(const char *dir, const char *name)
{
	return *dir ? ix_asprintf("%s/%s", dir, name) : ix_strdup(name);
}

static int list_dir(const struct ix_context *context, const char *path, struct ix_strv *names, struct ix_err *err)
{
	int fd = ix_open_beneath(context->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);
	ix_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ix_strv_add(names, entry->d_name);
	ix_strv_sort(names);
	return dir != NULL;
}

/* One directory to look into with the elements of the pattern that are left. The stack is explicit: depth comes from outside. */
struct todo {
	char *path;
	const char *rest;
};
struct stack {
	struct todo *items;
	size_t count, cap;
};

static void push(struct stack *stack, char *path_take, const char *rest)
{
	IX_GROW(&stack->items, stack->count, &stack->cap);
	stack->items[stack->count++] = (struct todo){ path_take, rest };
}

static int expand_one(struct parents *self, struct stack *stack, const struct todo *todo, struct ix_err *err)
{
	size_t len = strcspn(todo->rest, "/");
	const char *next = todo->rest + len + (todo->rest[len] == '/');
	ix_auto_free char *element = ix_strndup(todo->rest, len);
	bool any_depth = strcmp(element, "**") == 0;
	ix_auto_strv names = { 0 };

	if (!list_dir(self->context, todo->path, &names, err))
		return 0; /* not a directory: nothing below it matches */
	if (any_depth && *next)
		push(stack, ix_strdup(todo->path), next); /* no directory at all */
	for (size_t i = 0; i < names.count; i++) {
		int match = any_depth ? 1 : ix_path_match(element, names.items[i]);

		if (match < 0)
			return ix_err_set(err, IX_EARG, "malformed pattern '%s'", element);
		if (!match)
			continue;
		if (self->found.count + stack->count > FOUND_MAX)
			return ix_err_set(err, IX_ELIMIT, "the pattern matches more than %d paths", FOUND_MAX);
		if (any_depth && *next)
			push(stack, below(todo->path, names.items[i]), todo->rest);
		else if (*next)
			push(stack, below(todo->path, names.items[i]), next);
		else
			ix_strv_take(&self->found, below(todo->path, names.items[i]));
	}
	return 0;
}

static int find(struct parents *self, const char *pattern, struct ix_err *err)
{
	struct stack stack = { 0 };
	int r = 0;

	if (!*pattern)
		ix_strv_add(&self->found, self->pivot);
	else
		push(&stack, ix_strdup(self->pivot), pattern);
	while (stack.count > 0) {
		struct todo todo = stack.items[--stack.count];

		if (r == 0)
			r = expand_one(self, &stack, &todo, err);
		free(todo.path);
	}
	free(stack.items);
	ix_strv_sort(&self->found);
	return r;
}

/* The directories between the pivot and the path. */
static int add_ancestors(struct parents *self, const char *path, struct ix_map *added, struct ix_err *err)
{
	size_t start = strlen(self->pivot);
	int r;

	for (const char *slash = strchr(path + start + (start > 0), '/'); slash; slash = strchr(slash + 1, '/')) {
		ix_auto_free char *dir = ix_strndup(path, (size_t)(slash - path));

		if (ix_map_get(added, dir))
			continue;
		ix_map_set(added, dir, self);
		r = context_add(self->context, dir, self->selection, &self->cap, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect(struct parents *self, struct ix_err *err)
{
	ix_auto_map added = { 0 };
	const char *last = NULL;
	int r = context_add(self->context, self->pivot, self->selection, &self->cap, err);

	if (r < 0)
		return r;
	ix_map_set(&added, self->pivot, self);
	for (size_t i = 0; i < self->found.count; i++) {
		const char *path = self->found.items[i];
		size_t first = self->selection->nentries;

		/* What is below an earlier match is there already. */
		if ((last && (ix_path_within(last, path))) || !context_may_show(self->context, path))
			continue;
		if (strcmp(path, self->pivot) != 0 && (r = add_ancestors(self, path, &added, err)) < 0)
			return r;
		r = context_walk(self->context, path, self->selection, &self->cap, self->opts->cancel, err);
		if (r < 0)
			return r;
		if (ix_map_get(&added, path) || !context_visible(self->context, path))
			context_drop(self->selection, first); /* listed as an ancestor already, or there only for what is below it */
		last = path;
	}
	return 0;
}

/* What the pattern selects below one pivot. Without a match there is the pivot alone, so that what it is copied to is made. */
static int select_below(struct parents *self, const char *pivot, const char *pattern, const struct ix_ignore *excludes, struct ix_err *err)
{
	struct ix_selection *selection = self->selection;
	size_t first = selection->nentries;
	int r;

	free(self->pivot);
	self->pivot = ix_strdup(pivot);
	ix_strv_release(&self->found);
	r = find(self, pattern, err);
	if (r == 0 && self->found.count == 0 && !context_has_wildcard(pattern))
		return ix_err_set(err, IX_ENOTFOUND, "\"/%s%s%s\": not found", pivot, *pivot ? "/./" : "", pattern);
	if (r == 0)
		r = collect(self, err);
	if (r < 0)
		return r;
	context_sort(selection, first, *pivot ? strlen(pivot) + 1 : 0);
	context_drop_excluded(selection, first, excludes);
	selection->matches = ix_realloc_array(selection->matches, selection->nmatches + 1, sizeof(*selection->matches));
	selection->matches[selection->nmatches++] =
		(struct ix_match){ .path = ix_strdup(pivot), .is_dir = true, .first = first, .count = selection->nentries - first };
	return 0;
}

int context_select_parents(const struct ix_context *context, const char *pattern, const struct ix_select_opts *opts,
			   const struct ix_ignore *excludes, struct ix_selection *selection, struct ix_err *err)
{
	struct parents self = { .context = context, .opts = opts, .selection = selection };
	const char *cut = strstr(pattern, "/./");
	ix_auto_free char *rooted = ix_asprintf("/%s", cut ? cut + 3 : pattern);
	ix_auto_free char *clean = ix_path_clean(rooted);
	ix_auto_free char *before = cut ? ix_asprintf("/%.*s", (int)(cut - pattern), pattern) : ix_strdup("/");
	ix_auto_free char *pivot = ix_path_clean(before);
	ix_auto_strv pivots = { 0 };
	int r = 0;

	if (context_has_wildcard(pivot))
		r = context_glob(context, pivot + 1, &pivots, err);
	else
		ix_strv_add(&pivots, pivot + 1);
	for (size_t i = 0; i < pivots.count && r == 0; i++)
		r = select_below(&self, pivots.items[i], clean + 1, excludes, err);
	free(self.pivot);
	ix_strv_release(&self.found);
	return r;
}
