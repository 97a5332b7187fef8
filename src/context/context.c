#include "context_int.h"
#include "pattern_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"

static int read_ignore(const char *path, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(IX_TEXT_MAX);
	int r = ix_read_file(AT_FDCWD, path, &text, err);

	if (r < 0)
		return r;
	return ix_ignore_parse(path, ix_buf_str(&text), text.len, ret_ignore, err);
}

int ix_context_open(const char *path, const char *ignore_path, struct ix_stat_cache *cache, struct ix_context **ret_context,
		    struct ix_err *err)
{
	ix_scoped(ix_context_freep) struct ix_context *context = ix_calloc(1, sizeof(*context));
	int r;

	context->label = ix_strdup(path);
	context->owns_fd = true;
	context->cache = cache;
	context->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (context->root_fd < 0)
		return ix_err_sys(err, "build context %s", path);
	if (ignore_path && (r = read_ignore(ignore_path, &context->ignore, err)) < 0)
		return r;
	*ret_context = ix_steal(&context);
	return 0;
}

void ix_context_git_modes(struct ix_context *context)
{
	context->git_modes = true;
}

struct ix_context *ix_context_open_root(int root_fd, const char *label)
{
	struct ix_context *context = ix_calloc(1, sizeof(*context));

	context->label = ix_strdup(label);
	context->root_fd = root_fd;
	return context;
}

void ix_context_free(struct ix_context *context)
{
	if (!context)
		return;
	if (context->owns_fd)
		ix_closep(&context->root_fd);
	ix_ignore_free(context->ignore);
	free(context->label);
	free(context);
}

int ix_context_root_fd(const struct ix_context *context)
{
	return context->root_fd;
}

const char *ix_context_label(const struct ix_context *context)
{
	return context->label;
}

void ix_selection_release(struct ix_selection *selection)
{
	for (size_t i = 0; i < selection->nmatches; i++)
		free(selection->matches[i].path);
	for (size_t i = 0; i < selection->nentries; i++) {
		free(selection->entries[i].path);
		free(selection->entries[i].link);
	}
	free(selection->matches);
	free(selection->entries);
	*selection = (struct ix_selection){ 0 };
}

/* --- patterns --- */

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

int ix_context_real_path(const struct ix_context *context, const char *path, char **ret_path, struct ix_err *err)
{
	ix_auto_close int fd = ix_open_in_root(context->root_fd, path, O_PATH, err);
	char link[64], target[4097], base[4097];
	ssize_t n, m;

	if (fd < 0)
		return fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", context->root_fd);
	m = readlink(link, base, sizeof(base) - 1);
	if (n < 0 || m < 0)
		return ix_err_sys(err, "read link of %s", path);
	target[n] = base[m] = '\0';
	if (strcmp(base, "/") == 0)
		m = 0; /* a detached tree shows itself as "/" */
	if (strncmp(target, base, (size_t)m) != 0 || (target[m] != '/' && target[m] != '\0'))
		return ix_err_set(err, IX_EARG, "%s leads outside its root", path);
	*ret_path = ix_strdup(target[m] == '/' ? target + m + 1 : "");
	return 0;
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

/* A file that was named itself stays. */
void context_drop_excluded(struct ix_selection *selection, size_t first, const struct ix_ignore *excludes)
{
	size_t kept = first;

	for (size_t i = first; excludes && i < selection->nentries; i++) {
		struct ix_entry *entry = &selection->entries[i];

		if (*entry->name && ix_ignore_match(excludes, entry->name)) {
			free(entry->path);
			free(entry->link);
		} else {
			selection->entries[kept++] = *entry;
		}
	}
	if (excludes)
		selection->nentries = kept;
}

/* Does an ignored path have anything visible below it? Decided by the walk: the match then holds more than its own entry. */
static int add_match(const struct ix_context *context, const char *path, const struct ix_select_opts *opts,
		     const struct ix_ignore *excludes, struct ix_selection *selection, size_t *cap, bool *ret_added, struct ix_err *err)
{
	ix_auto_free char *real = NULL;
	size_t first = selection->nentries;
	bool visible;

	*ret_added = false;
	int r = ix_context_real_path(context, path, &real, err);
	if (r < 0)
		return r;
	visible = context_visible(context, path) && context_visible(context, real);
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

enum { TAG_MATCH = 1, TAG_NAME, TAG_MODE, TAG_LINK, TAG_DIGEST, TAG_RDEV, TAG_OWNER, TAG_SAME };

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
