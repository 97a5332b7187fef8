/* COPY and ADD in progress. */
#ifndef IX_ENGINE_COPY_INT_H
#define IX_ENGINE_COPY_INT_H

#include "base/map.h"
#include "context/context.h"
#include "engine_int.h"

/* One thing that goes into the layer. */
struct out {
	char *path;
	struct ix_tar_entry entry;
	const struct ix_entry *from; /* a file of the source; NULL for made-up directories and heredocs */
	char *text;                  /* a heredoc's text */
	struct out *same_as;         /* an earlier name of the same file */
	bool written;                /* its contents are in the layer */
};

struct copy {
	struct build *build;
	const struct ix_step *step;
	int root_fd; /* the stage's root as it is before the step */
	struct ix_context *root;
	struct image source_image;
	int source_fd;
	struct ix_context *source;       /* where files are read from */
	struct ix_selection *selections; /* those made here; the state has the others */
	size_t nselections;

	char *dest; /* real path in the root, relative */
	const char *shown_dest;
	bool dest_is_dir; /* it was written with a slash at its end */
	bool dest_exists; /* it is a directory of the image below */
	bool has_owner, has_mode;
	uint32_t uid, gid, mode;
	int64_t newest_s;        /* time of the newest source, for directories made on the way */
	struct ix_map by_path;   /* path -> struct out */
	struct ix_strv archives; /* ADD: tar files to unpack, paths in the source */
};

/* A fresh entry for a path, replacing an earlier one. */
struct out *copy_put(struct copy *copy, const char *path);
int copy_write(struct copy *copy, struct ix_layer_writer *layer, struct ix_err *err);
/* ADD with archives: everything is unpacked onto the root, and the changes become the layer. */
int copy_archives(struct copy *copy, struct ix_step_result *ret_result, struct ix_err *err);
/* "user[:group]" by the root's passwd and group. */
int copy_lookup_owner(int root_fd, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct ix_err *err);
/* A text with variables and its quotes kept: heredocs. */
int build_expand_text(struct build *build, const struct ix_step *step, const char *text, char **ret_text, struct ix_err *err);

#endif
