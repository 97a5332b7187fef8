/* What two layers that should be the same differ in. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/str.h"
#include "io/digest.h"
#include "layer/layer.h"

enum { CHUNK = 64 << 10 };

/* An entry without its contents. */
struct known {
	uint32_t mode, uid, gid, rdev_major, rdev_minor;
	uint64_t size;
	int64_t mtime_s;
	char *link;
	struct ix_digest contents, xattrs;
	bool met;
};

static int digest_contents(struct ix_tar_reader *tar, struct ix_hash *hash, char *chunk, struct ix_digest *ret_digest, struct ix_err *err)
{
	ssize_t n;

	while ((n = ix_tar_read(tar, chunk, CHUNK, err)) > 0)
		ix_hash_bytes(hash, chunk, (size_t)n);
	ix_hash_final(hash, ret_digest);
	return n < 0 ? (int)n : 0;
}

static void digest_xattrs(const struct ix_tar_entry *entry, struct ix_hash *hash, struct ix_digest *ret_digest)
{
	enum { NAME = 1, VALUE };

	for (size_t i = 0; i < entry->nxattrs; i++) {
		ix_hash_text(hash, NAME, entry->xattrs[i].name);
		ix_hash_field(hash, VALUE, entry->xattrs[i].value, entry->xattrs[i].len);
	}
	ix_hash_final(hash, ret_digest);
}

static int read_known(struct ix_tar_reader *tar, const struct ix_tar_entry *entry, struct ix_hash *hash, char *chunk,
		      struct known *ret_known, struct ix_err *err)
{
	*ret_known = (struct known){ .mode = entry->mode,
				     .uid = entry->uid,
				     .gid = entry->gid,
				     .rdev_major = entry->rdev_major,
				     .rdev_minor = entry->rdev_minor,
				     .size = entry->size,
				     .mtime_s = entry->mtime_s,
				     .link = ix_strdup(entry->link) };
	digest_xattrs(entry, hash, &ret_known->xattrs);
	return digest_contents(tar, hash, chunk, &ret_known->contents, err);
}

/* What is different, in words; NULL: nothing. Times come last: they alone may not matter. */
static const char *difference(const struct known *a, const struct known *b)
{
	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		return "another type of file";
	if (!ix_digest_eq(&a->contents, &b->contents) || a->size != b->size)
		return "other contents";
	if (!ix_streq(a->link, b->link))
		return "another link target";
	if (a->mode != b->mode)
		return "another mode";
	if (a->uid != b->uid || a->gid != b->gid)
		return "another owner";
	if (a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor)
		return "another device";
	if (!ix_digest_eq(&a->xattrs, &b->xattrs))
		return "other attributes";
	return a->mtime_s != b->mtime_s ? "another time" : NULL;
}

/* The first by path counts; a difference in times only when there is no other. */
static void note(struct ix_layer_difference *best, const char *path, const char *what)
{
	bool times = strcmp(what, "another time") == 0;

	if (best->what && ((!best->times_only && times) || (best->times_only == times && strcmp(best->path, path) <= 0)))
		return;
	free(best->path);
	*best = (struct ix_layer_difference){ .path = ix_strdup(path), .what = what, .times_only = times };
}

static int read_all(struct ix_reader *stream, struct ix_map *entries, struct ix_hash *hash, char *chunk, struct ix_err *err)
{
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(stream);
	const struct ix_tar_entry *entry;
	int r;

	while ((r = ix_tar_next(tar, &entry, err)) > 0) {
		struct known *known = ix_map_get(entries, entry->path);

		if (!known) {
			known = ix_calloc(1, sizeof(*known));
			ix_map_set(entries, entry->path, known);
		}
		free(known->link);
		r = read_known(tar, entry, hash, chunk, known, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int compare_all(struct ix_reader *stream, const struct ix_map *entries, struct ix_hash *hash, char *chunk,
		       struct ix_layer_difference *best, struct ix_err *err)
{
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(stream);
	const struct ix_tar_entry *entry;
	int r;

	while ((r = ix_tar_next(tar, &entry, err)) > 0) {
		struct known *before = ix_map_get(entries, entry->path), now;
		ix_auto_free char *path = ix_strdup(entry->path);
		const char *what = "it was not there before";

		r = read_known(tar, entry, hash, chunk, &now, err);
		if (r < 0) {
			free(now.link);
			return r;
		}
		if (before) {
			before->met = true;
			what = difference(before, &now);
		}
		free(now.link);
		if (what)
			note(best, path, what);
	}
	for (size_t i = 0; r == 0 && i < entries->count; i++)
		if (!((const struct known *)entries->entries[i].value)->met)
			note(best, entries->entries[i].key, "it is not there any more");
	return r;
}

int ix_layer_compare(struct ix_reader *a, struct ix_reader *b, struct ix_layer_difference *ret_difference, struct ix_err *err)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_auto_free char *chunk = ix_malloc(CHUNK);
	struct ix_layer_difference best = { 0 };
	struct ix_map entries = { 0 };
	int r = read_all(a, &entries, hash, chunk, err);

	if (r == 0)
		r = compare_all(b, &entries, hash, chunk, &best, err);
	for (size_t i = 0; i < entries.count; i++) {
		struct known *known = entries.entries[i].value;

		free(known->link);
		free(known);
	}
	ix_map_release(&entries);
	if (r < 0)
		free(best.path);
	else
		*ret_difference = best;
	return r;
}
