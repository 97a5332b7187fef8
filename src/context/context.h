/*
 * A tree of files that COPY, ADD and bind mounts take from: a directory of this machine with its ignore rules, or the root of an image. It
 * selects, orders and digests files; it never writes into the tree and never leaves its root, whatever links the tree holds.
 */
#ifndef IX_CONTEXT_CONTEXT_H
#define IX_CONTEXT_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cancel.h"
#include "base/err.h"
#include "io/digest.h"

/*
 * Digests of files known by (device, inode, size, mtime, ctime): a flat sorted file that is mapped, not read. An entry is made only for a
 * file that was older than two seconds when it was hashed, so a file changed within the clock's granularity is never taken for its old self.
 * One per process; thread-safe.
 */
struct ix_stat_cache;
/* path may not exist yet; a damaged file is taken for an empty one. */
struct ix_stat_cache *ix_stat_cache_open(const char *path);
/* Write what was learned (best effort: a cache that cannot be written costs time, not correctness) and free. */
void ix_stat_cache_close(struct ix_stat_cache *cache);

/* Ignore rules: the .dockerignore language (Dockerfile reference; moby patternmatcher). */
struct ix_ignore;
/* Text of an ignore file, name for messages. A malformed pattern is IX_EARG with its line. */
int ix_ignore_parse(const char *name, const char *text, size_t len, struct ix_ignore **ret_ignore, struct ix_err *err);
/* The same from patterns, one for each rule: --exclude. */
int ix_ignore_new(const char *const *patterns, size_t count, struct ix_ignore **ret_ignore, struct ix_err *err);
void ix_ignore_free(struct ix_ignore *ignore);
IX_DEFINE_FREEP(struct ix_ignore, ix_ignore_free)
/* Is the path (clean, relative, no leading slash) ignored? Takes its parents into account. */
bool ix_ignore_match(const struct ix_ignore *ignore, const char *path);
/* Is there any '!' rule? Without one nothing below an ignored directory can be visible. */
bool ix_ignore_has_exceptions(const struct ix_ignore *ignore);

struct ix_context;
/* A directory. ignore_path: absolute path of the ignore file or NULL. cache may be NULL. */
int ix_context_open(const char *path, const char *ignore_path, struct ix_stat_cache *cache, struct ix_context **ret_context,
		    struct ix_err *err);
/* Permissions as git checks them out under umask 022: files 0755 where their owner may execute them, otherwise 0644; directories 0755. */
void ix_context_git_modes(struct ix_context *context);
/* An image's root by descriptor (borrowed; it outlives the context). No ignore rules, no cache. */
struct ix_context *ix_context_open_root(int root_fd, const char *label);
void ix_context_free(struct ix_context *context);
IX_DEFINE_FREEP(struct ix_context, ix_context_free)

struct ix_entry {
	char *path;       /* in the context: "src/app.js"; "" is its root */
	const char *name; /* points into path: relative to the selected source; "" for the source itself */
	uint32_t mode;    /* type and permission bits */
	uint32_t uid, gid;
	uint64_t size; /* regular files */
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
	bool fresh;    /* changed so shortly before it was looked at that its times need not tell another change */
	uint64_t rdev; /* device nodes */
	uint64_t dev, ino;
	uint32_t nlink;
	bool socket;             /* it is one, and taken for an empty file */
	char *link;              /* symbolic link's target, or NULL */
	struct ix_digest digest; /* regular files, when asked for: of the contents, and of the file capabilities when there are any */
};

/* One path that a source pattern selected, with everything below it, sorted by path bytes, parents before children. */
struct ix_match {
	char *path; /* clean, relative to the root; "" is the root itself */
	bool is_dir;
	size_t first, count; /* its entries */
};

struct ix_selection {
	struct ix_match *matches; /* sorted by path */
	size_t nmatches;
	struct ix_entry *entries;
	size_t nentries;
	struct ix_digest digest; /* when asked for (docs/identity.md, "A tree of files") */
	uint64_t bytes;
};
void ix_selection_release(struct ix_selection *selection);
#define ix_auto_selection ix_scoped(ix_selection_release) struct ix_selection

struct ix_select_opts {
	bool digest;                 /* compute entry digests and the selection's */
	bool image;                  /* the digest counts what only a copy from an image keeps: owners, user attributes */
	bool types;                  /* permissions do not count: all of it gets others (--chmod) */
	bool contents;               /* of a selected directory only what is in it counts, not its own permissions */
	const char *const *excludes; /* --exclude: patterns of the ignore language for what is below the selected path */
	size_t nexcludes;
	bool parents; /* --parents: what is selected keeps its directories, from the root or from a pivot "/./"; "**" is any number of them */
	const struct ix_cancel *cancel;
};

/*
 * What one COPY source selects: pattern as in the Dockerfile, expanded. Leading "/" and ".." are dropped; wildcards by ix_path_match for each
 * path element. The final element of a match and links on the way are followed inside the root; links below a selected directory stay links.
 * A pattern without wildcards that matches nothing is IX_ENOTFOUND: "/x: not found in context"; one with wildcards that matches nothing gives
 * no matches. Ignored files are not there.
 */
int ix_context_select(struct ix_context *context, const char *pattern, const struct ix_select_opts *opts,
		      struct ix_selection *ret_selection, struct ix_err *err);
/* Where a path is after following its links, as if chrooted in the root: relative, "" for the root. -IX_ENOTFOUND when there is nothing. */
int ix_context_real_path(const struct ix_context *context, const char *path, char **ret_path, struct ix_err *err);
/* The same for what is to be put there: neither it nor what links point at has to exist. A file on the way is IX_EARG. */
int ix_context_place(const struct ix_context *context, const char *path, char **ret_path, struct ix_err *err);
/*
 * The one door through which contents of files are read. What is read is what was selected: a file of this machine that looks otherwise, or was
 * changed just before it was hashed, is hashed again, and another digest is IX_EFAIL ("changed while the build was running"). A write while it
 * is read is seen when it is closed. Files of images do not change.
 */
struct ix_context_file {
	int fd; /* -1: not open */
	uint64_t size;
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
};
int ix_context_open_entry(const struct ix_context *context, const struct ix_entry *entry, struct ix_context_file *ret_file,
			  struct ix_err *err);
int ix_context_close_entry(const struct ix_context *context, const struct ix_entry *entry, struct ix_context_file *file,
			   struct ix_err *err);
void ix_context_file_release(struct ix_context_file *file); /* for those who did not read to the end */
#define ix_auto_context_file ix_scoped(ix_context_file_release) struct ix_context_file

#endif
