/* What the files of the context room share. */
#ifndef IX_CONTEXT_CONTEXT_INT_H
#define IX_CONTEXT_CONTEXT_INT_H

#include "base/str.h"
#include "context/context.h"

struct ix_context {
	char *label;
	int root_fd;
	bool owns_fd;
	struct ix_ignore *ignore; /* NULL: nothing is ignored */
	struct ix_stat_cache *cache;
	bool git_modes;
};

/* Is the clean relative path there as far as the ignore rules go? */
static inline bool context_visible(const struct ix_context *context, const char *path)
{
	return !context->ignore || path[0] == '\0' || !ix_ignore_match(context->ignore, path);
}

/* Can the path or anything below it be there? */
static inline bool context_may_show(const struct ix_context *context, const char *path)
{
	return context_visible(context, path) || ix_ignore_has_exceptions(context->ignore);
}

/* --- glob.c --- */

bool context_has_wildcard(const char *pattern);
/* The paths a pattern with wildcards matches, appended. */
int context_glob(const struct ix_context *context, const char *pattern, struct ix_strv *found, struct ix_err *err);

/* --- walk.c --- */

/* The path alone, appended to the entries. */
int context_add(const struct ix_context *context, const char *path, struct ix_selection *selection, size_t *cap, struct ix_err *err);
/* Forget entry i. */
void context_drop(struct ix_selection *selection, size_t i);
/* Leave out what the patterns of --exclude match among the entries from first on, below what was selected. excludes may be NULL. */
void context_drop_excluded(struct ix_selection *selection, size_t first, const struct ix_ignore *excludes);
/* Entries from first on in their order, with names that begin at offset bytes of their paths. */
void context_sort(struct ix_selection *selection, size_t first, size_t offset);
/* Everything below (and including) the path of the match, appended to the selection's entries, sorted. */
int context_walk(const struct ix_context *context, const char *path, struct ix_selection *selection, size_t *cap,
		 const struct ix_cancel *cancel, struct ix_err *err);

/* --- parents.c --- */

/* COPY --parents: a match for the root or each pivot, with what the pattern selects and the directories on the way. */
int context_select_parents(const struct ix_context *context, const char *pattern, const struct ix_select_opts *opts,
			   const struct ix_ignore *excludes, struct ix_selection *selection, struct ix_err *err);

/* --- file.c --- */

/* The file is not what was selected. Returns -IX_EFAIL. */
int context_changed(const struct ix_context *context, const struct ix_entry *entry, struct ix_err *err);
/* Open a regular file as it is now. */
int context_open(const struct ix_context *context, const struct ix_entry *entry, int *ret_fd, struct ix_err *err);

/* --- hash.c --- */

/* Digest of an open file, read from where it stands: contents, and the file capabilities when there are any. */
int context_hash_fd(int fd, const char *path, struct ix_digest *ret_digest, struct ix_err *err);

/* Digest every regular file of the selection, on several threads. opts->image: with the attributes that a copy from an image keeps. */
int context_hash(const struct ix_context *context, struct ix_selection *selection, const struct ix_select_opts *opts, struct ix_err *err);

#endif
