#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/compress.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "remote/remote.h"
#include "store/store.h"
#include "workspace_int.h"

/*
 * Where build contexts come from: directories, images, archives on standard input or by URL, repositories. Whatever is not a directory of this
 * machine becomes one in the store for as long as the command runs.
 */

/* --- archives and URLs --- */

int context_temporary(struct workspace *ws, char **ret_dir, struct ix_err *err)
{
	int r = ix_store_tmpdir(ws->base.store, ret_dir, err);

	if (r < 0)
		return r;
	ix_strv_add(&ws->dirs, *ret_dir);
	return chmod(*ret_dir, 0755) < 0 ? ix_err_sys(err, "mode of %s", *ret_dir) : 0;
}

int context_unpack(struct workspace *ws, int fd, char **ret_dir, struct ix_err *err)
{
	struct ix_unpack_opts how = { .userns = true, .no_owners = true, .cancel = ws->cancel };
	ix_scoped(ix_reader_freep) struct ix_reader *file = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar = NULL;
	ix_auto_free char *dir = NULL;
	ix_auto_close int dir_fd = -1;
	struct stat st;
	int r = context_temporary(ws, &dir, err);

	if (r < 0)
		return r;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return ix_err_sys(err, "open %s", dir);
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat the context");
	ix_unpack_limits((uint64_t)st.st_size, &how.max_entries, &how.max_bytes);
	file = ix_fd_reader_new(fd);
	tar = ix_decompress_reader_new(file);
	if (ix_layer_unpack(tar, dir_fd, &how, err) < 0)
		return ix_err_wrap(err, "unpack the context");
	*ret_dir = ix_steal(&dir);
	return 0;
}

static int below(const char *root, const char *subdir, char **ret_path, struct ix_err *err)
{
	ix_auto_close int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_close int fd = -1;

	if (root_fd < 0)
		return ix_err_sys(err, "open %s", root);
	fd = ix_open_beneath(root_fd, *subdir ? subdir : ".", O_RDONLY | O_DIRECTORY, err);
	if (fd < 0)
		return fd;
	*ret_path = *subdir ? ix_asprintf("%s/%s", root, subdir) : ix_strdup(root);
	return 0;
}

static int fetch_archive(struct workspace *ws, const struct ix_remote *remote, char **ret_dir, struct ix_buf *ret_text, struct ix_err *err)
{
	struct ix_remote_file file;
	ix_auto_close int fd = -1;
	int r;

	if ((r = ix_remote_file(ws->base.remotes, remote, &file, err)) < 0 ||
	    (r = ix_blob_open(ws->base.store, &file.digest, &fd, NULL, err)) < 0)
		return r;
	ws->context_time = file.mtime_s;
	if (ix_tar_detect(fd))
		return context_unpack(ws, fd, ret_dir, err);
	if (!ret_text)
		return ix_err_set(err, IX_EARG, "%s is not a tar archive", remote->url);
	return ix_buf_read_fd(ret_text, fd, err);
}

static bool request_truth(const struct ix_request *request, const char *name)
{
	const char *value = ix_request_arg(request, name);

	return value && (strcmp(value, "1") == 0 || ix_strcaseeq(value, "true"));
}

int context_remote(struct workspace *ws, const char *text, char **ret_dir, struct ix_buf *ret_text, struct ix_err *err)
{
	struct ix_remote remote;
	ix_auto_free char *root = NULL;
	struct stat st;
	int r = ix_remote_parse(ws->base.graph->arena, text, &remote, err);

	if (r < 0)
		return r;
	if (remote.kind == IX_REMOTE_NONE)
		return 0;
	if (remote.kind == IX_REMOTE_HTTP) {
		r = fetch_archive(ws, &remote, ret_dir, ret_text, err);
		return r < 0 ? r : 1;
	}
	remote.keep_git_dir = remote.keep_git_dir || request_truth(ws->base.request, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
	if ((r = ix_remote_checkout(ws->base.remotes, &remote, &root, err)) < 0 || (r = below(root, remote.subdir, ret_dir, err)) < 0)
		return r;
	if (stat(*ret_dir, &st) == 0)
		ws->context_time = st.st_mtim.tv_sec;
	return 1;
}

/* --- directories --- */

const struct ix_dir *context_dir(struct workspace *ws, char *path_take, const char *dockerfile, const char *label)
{
	struct ix_dir *dir = ix_arena_alloc(ws->base.graph->arena, sizeof(*dir));
	ix_auto_free char *beside = dockerfile ? ix_asprintf("%s.dockerignore", dockerfile) : NULL;
	ix_auto_free char *inside = ix_asprintf("%s/.dockerignore", path_take);

	dir->path = workspace_keep(ws, path_take);
	dir->label = ix_arena_strdup(ws->base.graph->arena, label);
	/* The file beside the Dockerfile wins. */
	if (beside && access(beside, F_OK) == 0)
		dir->ignore_path = ix_arena_strdup(ws->base.graph->arena, beside);
	else if (access(inside, F_OK) == 0)
		dir->ignore_path = ix_arena_strdup(ws->base.graph->arena, inside);
	return dir;
}

int context_need_directory(const char *path, const char *what, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? ix_err_sys(err, "%s %s", what, path) : 0;
}
