/* COPY and ADD in progress. */
#ifndef IX_LOCAL_COPY_INT_H
#define IX_LOCAL_COPY_INT_H

#include "base/map.h"
#include "context/context.h"
#include "layer/layer.h"
#include "local_int.h"

/* One thing that goes into the layer. */
struct out {
	char *path;
	struct ix_tar_entry entry;
	const struct ix_entry *from; /* a file of a source; NULL for made-up directories, heredocs and blobs */
	struct ix_context *context;  /* of from */
	char *text;                  /* a heredoc's text */
	bool is_blob;                /* a fetched file: its bytes are a blob of the store */
	struct ix_digest blob;
	struct out *same_as; /* an earlier name of the same file */
	bool written;        /* its contents are in the layer */
};

/* ADD: a tar file to unpack. */
struct archive {
	struct ix_context *context; /* from is a file of it; or it is a blob */
	const struct ix_entry *from;
	bool is_blob;
	struct ix_digest blob;
	char *name; /* for messages */
};

struct copy {
	struct task *task;
	const struct ix_step *step;
	int root_fd; /* the stage's root as it is before the step */
	struct ix_context *root;
	struct ix_image source_image;
	int source_fd;
	struct ix_context *source;    /* where files are read from, unless they are fetched */
	struct ix_context **contexts; /* of what was fetched */
	size_t ncontexts;
	struct ix_selection *selections; /* those made here, by source word; the state has the others */
	size_t nselections;

	char *dest;       /* real path in the root, relative */
	bool dest_is_dir; /* it was written with a slash at its end */
	bool dest_exists; /* it is a directory of the image below */
	bool has_owner;
	uint32_t uid, gid;
	int64_t newest_s;      /* time of the newest source, for directories made on the way */
	struct ix_map by_path; /* path -> struct out */
	struct archive *archives;
	size_t narchives;
	bool matched; /* a source names something */
};

/* A date that zip and other formats with a later epoch can hold: 1980-01-02. Text in a Dockerfile has no time of its own. */
enum { HEREDOC_TIME = 315619200 };

void copy_release(struct copy *copy);
/* The destination with its links followed as inside the root, those too that point at nothing yet: what they name is made. Relative to the
 * root, "" for the root itself. */
int copy_resolve_dest(struct copy *copy, const char *path, char **ret_real, bool *ret_is_dir, struct ix_err *err);
/* Directories on the way to what was put. */
int copy_add_parents(struct copy *copy, struct ix_err *err);
/* A fresh entry for a path, replacing an earlier one. */
struct out *copy_put(struct copy *copy, const char *path);
struct archive *copy_archive(struct copy *copy);
/* Takes the context, for as long as the copy lasts. */
void copy_keep_context(struct copy *copy, struct ix_context *context_take);
/* Where a single file of that name goes. Caller frees. */
char *copy_target(const struct copy *copy, const char *name);
/* Put everything that was selected, archives apart where ADD unpacks them. files outlives the copy. */
int copy_list(struct copy *copy, struct ix_context *context, const struct ix_selection *files, struct ix_err *err);
/* Write everything that was put. */
int copy_write(struct copy *copy, struct ix_layer_writer *layer, struct ix_err *err);
/* The same as a layer of its own, in the store. */
int copy_write_layer(struct copy *copy, struct ix_step_result *ret_result, struct ix_err *err);
/* A source that is fetched. files: where to keep what was selected. */
int copy_fetched(struct copy *copy, const struct ix_remote *remote, struct ix_selection *files, struct ix_err *err);
/* ADD with archives: everything is unpacked onto the root, and the changes become the layer. */
int copy_archives(struct copy *copy, struct ix_step_result *ret_result, struct ix_err *err);
/* "user[:group]" by the root's passwd and group; a name that is not there is 0, or as group the user's own. empty: of
 * an image without layers, where only root and numbers are. */
int copy_lookup_owner(int root_fd, bool empty, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct ix_err *err);

#endif
