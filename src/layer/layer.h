/*
 * Directory trees as layers: tar changesets with whiteouts and attributes (OCI image-spec, "Image Layer Filesystem Changeset"), written
 * deterministically and unpacked safely. It knows nothing of stores and images.
 *
 * Unpacked layers are directories ready to be an overlayfs lower: whiteouts are 0/0 character devices, opaque directories carry
 * trusted.overlay.opaque (user.overlay.opaque in a user namespace).
 */
#ifndef IX_LAYER_LAYER_H
#define IX_LAYER_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "io/compress.h"
#include "io/digest.h"
#include "io/stream.h"

struct ix_xattr {
	char *name;
	char *value;
	size_t len;
};

struct ix_tar_entry {
	char *path;    /* clean, relative: "usr/bin/env"; "" is the root */
	uint32_t mode; /* type and permission bits */
	uint32_t uid, gid;
	uint64_t size; /* of the contents that follow; 0 for all but regular files */
	int64_t mtime_s;
	uint32_t mtime_ns;
	char *link; /* target of a symbolic link, or path of the file a hard link repeats */
	bool hardlink;
	uint32_t rdev_major, rdev_minor;
	struct ix_xattr *xattrs; /* sorted by name */
	size_t nxattrs;
};
void ix_tar_entry_release(struct ix_tar_entry *entry);
/* Extended attributes of an open file or, for links, of /proc/self/fd paths: those that layers carry (security.capability, user.*). */
int ix_xattrs_read(int fd, const char *what, struct ix_tar_entry *entry, struct ix_err *err);

struct ix_layer_opts {
	enum ix_compression compression;
	int level;             /* 0: default */
	int64_t epoch;         /* times later than this are clamped to it; -1: none */
	struct ix_writer *tar; /* gets the tar as well (borrowed), finished with the layer; NULL: nobody else does */
};

struct ix_layer_info {
	struct ix_digest digest; /* of the blob */
	uint64_t size;
	struct ix_digest diff_id; /* of the tar */
	struct ix_digest content; /* of what the tar says but for times: two runs of the same step that made the same files agree in it */
	uint64_t tar_size;
};

/* Writing: entries in the order given; the caller sorts, and puts parents first. blob is borrowed and not finished by it. */
struct ix_layer_writer;
struct ix_layer_writer *ix_layer_begin(struct ix_writer *blob, const struct ix_layer_opts *opts);
/* One entry; exactly entry->size bytes of contents are read from fd (-1 when size is 0). A file that shrank meanwhile is IX_EFAIL. */
int ix_layer_add(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, int fd, const struct ix_cancel *cancel,
		 struct ix_err *err);
/* The same with the contents in memory. */
int ix_layer_add_bytes(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, const void *bytes, struct ix_err *err);
int ix_layer_finish(struct ix_layer_writer *layer, struct ix_layer_info *ret_info, struct ix_err *err);
void ix_layer_writer_free(struct ix_layer_writer *layer);
IX_DEFINE_FREEP(struct ix_layer_writer, ix_layer_writer_free)

/*
 * The changes in an overlay upper directory as a layer. lower_fd is the merged tree below (-1: none): directories that are only there because
 * overlayfs copied them up, unchanged, and have no changed entries are left out. *ret_entries is their number; 0: nothing changed.
 * The upper directory is left as unpacking the layer would make it: what is left out is removed from it, times are whole seconds.
 */
int ix_layer_pack_upper(struct ix_layer_writer *layer, int upper_fd, int lower_fd, const struct ix_cancel *cancel, size_t *ret_entries,
			struct ix_err *err);
/* A whole tree as a tar, without interpretation of whiteouts: for exports. */
int ix_layer_pack_tree(struct ix_layer_writer *layer, int root_fd, const struct ix_cancel *cancel, struct ix_err *err);

/*
 * How much a layer may unpack to, far above what honest ones do: 5,000,000 entries; 16 GiB or 2000 times what it is compressed, whichever is more, up
 * to 256 GiB. IX_MAX_LAYER_FILES and IX_MAX_LAYER_SIZE in the environment say otherwise.
 */
void ix_unpack_limits(uint64_t compressed, uint64_t *ret_entries, uint64_t *ret_bytes);

struct ix_unpack_opts {
	bool overlay;   /* whiteouts become overlay whiteouts; otherwise names beginning with ".wh." are ordinary */
	bool userns;    /* user.overlay.* instead of trusted.overlay.*; device nodes that cannot be made are left out */
	bool keep_root; /* an entry for the root itself does not change it */
	bool one_owner; /* everything belongs to uid and gid */
	uint32_t uid, gid;
	bool no_owners; /* owners are not set: the files belong to whoever unpacks (export to a directory) */
	struct ix_strv
		*made; /* out, or NULL: directories that the tar does not speak of, made because something is in them; parents first */
	uint64_t max_entries, max_bytes; /* of contents, and of what follows the archive; 0: unlimited */
	const struct ix_cancel *cancel;
};
/*
 * Unpack an uncompressed tar beneath root_fd. No entry can leave it: parents are resolved as if chrooted there, existing files are replaced,
 * never followed. Reads to the end of the stream, so that a digest over it is complete.
 */
/* -IX_ELIMIT names the limit and what raises it. */
int ix_layer_unpack(struct ix_reader *tar, int root_fd, const struct ix_unpack_opts *opts, struct ix_err *err);

/* Give a directory the owner, mode, attributes and time of another. */
int ix_layer_copy_dir(int from_fd, int to_fd, const char *path, struct ix_err *err);
/* Would that change nothing but the time? */
bool ix_layer_same_dir(int a_fd, int b_fd);
/* Does a directory of an unpacked layer hide what is below it? */
bool ix_layer_is_opaque(int fd);

/* Reading a tar entry by entry. */
struct ix_tar_reader;
struct ix_tar_reader *ix_tar_reader_new(struct ix_reader *stream); /* borrowed */
void ix_tar_reader_free(struct ix_tar_reader *tar);
IX_DEFINE_FREEP(struct ix_tar_reader, ix_tar_reader_free)
/* 1 and the next entry (owned by tar until the next call), 0 at the end. What was left of the last one's contents is skipped. */
int ix_tar_next(struct ix_tar_reader *tar, const struct ix_tar_entry **ret_entry, struct ix_err *err);
/* Contents of the current entry: bytes read, 0 at its end. */
ssize_t ix_tar_read(struct ix_tar_reader *tar, void *bytes, size_t len, struct ix_err *err);

/* The first difference of two layers by path, one in anything but times before those in times alone; what NULL: none. The caller frees path. */
struct ix_layer_difference {
	char *path;
	const char *what; /* "other contents", "another mode", ... */
	bool times_only;
};
int ix_layer_compare(struct ix_reader *a, struct ix_reader *b, struct ix_layer_difference *ret_difference, struct ix_err *err);

/* The first difference of two unpacked layers in what the layer says: a check that they are one and the same. The caller frees path. */
int ix_layer_compare_dirs(int a_fd, int b_fd, struct ix_layer_difference *ret_difference, struct ix_err *err);

/* Fill the empty directory to with what is in from, names in descending order, so that file systems which list entries as they were made list
 * them otherwise. Files become hard links; both are on one file system. */
int ix_layer_copy_reversed(const char *from, const char *to, struct ix_err *err);

/* Is the beginning of a file that of a tar archive, plain or compressed? Reads from offset 0 without moving fd. */
bool ix_tar_detect(int fd);

/* An entry of another archive with its contents, which tar is about to give. */
int ix_layer_add_tar(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, struct ix_tar_reader *tar,
		     const struct ix_cancel *cancel, struct ix_err *err);

#endif
