/* What a COPY takes: the entries of each match, and the digest of all. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/path.h"
#include "base/scope.h"
#include "base/str.h"
#include "context_int.h"
#include "io/digest.h"

enum { TAG_MATCH = 1, TAG_NAME, TAG_MODE, TAG_LINK, TAG_DIGEST, TAG_RDEV, TAG_OWNER, TAG_SAME };

/* Does an ignored path have anything visible below it? Decided by the walk: the match then holds more than its own entry. */
static int add_match(const struct ix_context *context, const char *path, const struct ix_select_opts *opts,
		     const struct ix_ignore *excludes, struct ix_selection *selection, size_t *cap, bool *ret_added, struct ix_err *err)
{
	ix_auto_free char *real = NULL;
	size_t first = selection->nentries;
	bool visible;

	*ret_added = false;
	int r = ix_context_real_path(context, path, &real, err);
	visible = context_visible(context, path);
	if (r == -IX_ENOTFOUND && !visible)
		return 0;
	if (r < 0)
		return r;
	/* A link that is ignored leads nowhere, whatever it points at. */
	if (!visible && strcmp(path, real) != 0)
		return 0;
	visible = visible && context_visible(context, real);
	r = context_walk(context, real, selection, cap, opts->cancel, err);
	if (r < 0)
		return r;
	context_drop_excluded(selection, first, excludes);
	if (!visible && selection->nentries - first <= 1) {
		context_drop(selection, first);
		return 0;
	}
	selection->matches = ix_realloc_array(selection->matches, selection->nmatches + 1, sizeof(*selection->matches));
	selection->matches[selection->nmatches++] = (struct ix_match){
		.path = ix_strdup(path),
		.is_dir = S_ISDIR(selection->entries[first].mode),
		.first = first,
		.count = selection->nentries - first,
	};
	*ret_added = true;
	return 0;
}

static void digest_entry(struct ix_hash *hash, const struct ix_entry *entry, uint32_t mode, bool owners)
{
	ix_hash_text(hash, TAG_NAME, entry->name);
	ix_hash_u64(hash, TAG_MODE);
	ix_hash_u64(hash, mode);
	if (entry->link)
		ix_hash_text(hash, TAG_LINK, entry->link);
	if (S_ISREG(entry->mode))
		ix_hash_digest(hash, TAG_DIGEST, &entry->digest);
	if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode)) {
		ix_hash_u64(hash, TAG_RDEV);
		ix_hash_u64(hash, entry->rdev);
	}
	if (owners) {
		ix_hash_u64(hash, TAG_OWNER);
		ix_hash_u64(hash, (uint64_t)entry->uid << 32 | entry->gid);
	}
}

/* Which names of a match are one file: each by the place of the first. */
static void digest_links(struct ix_hash *hash, const struct ix_selection *selection, const struct ix_match *match)
{
	struct ix_map seen = { 0 };

	for (size_t i = 0; i < match->count; i++) {
		const struct ix_entry *entry = &selection->entries[match->first + i];
		char inode[48];
		const struct ix_entry *first;

		if (!S_ISREG(entry->mode) || entry->nlink < 2)
			continue;
		snprintf(inode, sizeof(inode), "%llx:%llx", (unsigned long long)entry->dev, (unsigned long long)entry->ino);
		first = ix_map_get(&seen, inode);
		if (!first) {
			ix_map_set(&seen, inode, (void *)(uintptr_t)entry);
			continue;
		}
		ix_hash_text(hash, TAG_SAME, entry->name);
		ix_hash_text(hash, TAG_SAME, first->name);
	}
	ix_map_release(&seen);
}

static void digest_match(struct ix_hash *hash, const struct ix_selection *selection, const struct ix_match *match,
			 const struct ix_select_opts *opts)
{
	/* The name a file is copied under is its last element; a directory's own name does not matter. */
	ix_hash_text(hash, TAG_MATCH, match->is_dir ? "" : ix_path_base(match->path));
	ix_hash_u64(hash, match->count);
	for (size_t i = 0; i < match->count; i++) {
		const struct ix_entry *entry = &selection->entries[match->first + i];
		/* A link's permission bits mean nothing. */
		bool itself = opts->contents && match->is_dir && !entry->name[0];
		bool type_alone = opts->types || itself || S_ISLNK(entry->mode);

		digest_entry(hash, entry, type_alone ? entry->mode & S_IFMT : entry->mode, opts->image && !itself);
	}
	digest_links(hash, selection, match);
}

static void digest_selection(struct ix_selection *selection, const struct ix_select_opts *opts)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	for (size_t i = 0; i < selection->nmatches; i++)
		digest_match(hash, selection, &selection->matches[i], opts);
	ix_hash_final(hash, &selection->digest);
}

static int select_paths(struct ix_context *context, const char *pattern, const struct ix_select_opts *opts,
			const struct ix_ignore *excludes, struct ix_selection *selection, struct ix_err *err)
{
	ix_auto_free char *rooted = ix_asprintf("/%s", pattern);
	ix_auto_free char *clean = ix_path_clean(rooted); /* ".." cannot climb above "/" */
	ix_auto_strv paths = { 0 };
	size_t cap = 0;
	bool added, wild = context_has_wildcard(clean);
	int r;

	if (!wild)
		ix_strv_add(&paths, clean + 1);
	else if ((r = context_glob(context, clean + 1, &paths, err)) < 0)
		return r;
	for (size_t i = 0; i < paths.count; i++) {
		/* What a wildcard finds and is ignored is not there, wherever it may lead. */
		r = wild && !context_may_show(context, paths.items[i])
			    ? 0
			    : add_match(context, paths.items[i], opts, excludes, selection, &cap, &added, err);
		if (r == -IX_ENOTFOUND || (r == 0 && !added && !wild))
			return ix_err_set(err, IX_ENOTFOUND, "\"/%s\": not found%s", paths.items[i],
					  r == 0 ? " (it is excluded by the ignore file)" : "");
		if (r < 0)
			return r;
	}
	return 0;
}

int ix_context_select(struct ix_context *context, const char *pattern, const struct ix_select_opts *opts,
		      struct ix_selection *ret_selection, struct ix_err *err)
{
	ix_auto_selection selection = { 0 };
	ix_scoped(ix_ignore_freep) struct ix_ignore *excludes = NULL;
	int r;

	if (opts->nexcludes > 0 && (r = ix_ignore_new(opts->excludes, opts->nexcludes, &excludes, err)) < 0)
		return r;
	if (opts->parents) {
		r = context_select_parents(context, pattern, opts, excludes, &selection, err);
	} else {
		r = select_paths(context, pattern, opts, excludes, &selection, err);
	}
	if (r < 0)
		return r;
	if (opts->digest) {
		r = context_hash(context, &selection, opts, err);
		if (r < 0)
			return r;
		digest_selection(&selection, opts);
	}
	*ret_selection = selection;
	selection = (struct ix_selection){ 0 };
	return 0;
}
