/* The context and the Dockerfile of a lone build. */
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "graph/graph.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "remote/remote.h"
#include "store/store.h"
#include "workspace_int.h"

/* The newest file of an unpacked archive. */
static int64_t newest(const char *dir)
{
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int64_t time = 0;

	while (fts && (entry = fts_read(fts)) != NULL)
		if (entry->fts_level > 0 && entry->fts_statp && entry->fts_statp->st_mtim.tv_sec > time)
			time = entry->fts_statp->st_mtim.tv_sec;
	if (fts)
		fts_close(fts);
	return time;
}

/* Standard input is a tar archive, plain or compressed, or a Dockerfile without a context. */
static int from_stdin(struct workspace *ws, struct ix_err *err)
{
	struct lone *lone = &ws->lone;
	ix_auto_free char *dir = NULL;
	ix_auto_free char *path = NULL;
	ix_auto_close int fd = -1;
	ix_scoped(ix_reader_freep) struct ix_reader *in = ix_fd_reader_new(STDIN_FILENO);
	ix_scoped(ix_writer_freep) struct ix_writer *out = NULL;
	int r = context_temporary(ws, &dir, err);

	if (r < 0)
		return r;
	path = ix_asprintf("%s/stdin", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return ix_err_sys(err, "create %s", path);
	out = ix_fd_writer_new(fd);
	if (ix_copy(in, out, ws->cancel, err) < 0)
		return ix_err_wrap(err, "standard input");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "seek");
	if (!ix_tar_detect(fd))
		return ix_buf_read_fd(&lone->text, fd, err);
	r = context_unpack(ws, fd, &lone->dir, err);
	if (r < 0)
		return r;
	ws->context_time = newest(lone->dir);
	return 0;
}

/* A Dockerfile inside a context that is not the user's own directory is found beneath it. */
static int read_inside(struct lone *lone, const char *file, struct ix_err *err)
{
	ix_auto_close int root = open(lone->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_close int fd = root < 0 ? -1 : ix_open_in_root(root, file ? file : "Dockerfile", O_RDONLY, err);

	if (fd < 0 && !file && root >= 0) {
		fd = ix_open_in_root(root, "dockerfile", O_RDONLY, err);
		file = fd >= 0 ? "dockerfile" : NULL;
	}
	if (fd < 0)
		return ix_err_wrap(err, "failed to read dockerfile");
	lone->path = ix_path_join(lone->dir, file ? file : "Dockerfile");
	lone->shown = ix_strdup(file ? file : "Dockerfile");
	return ix_buf_read_fd(&lone->text, fd, err);
}

static int read_beside(struct lone *lone, const char *file, struct ix_err *err)
{
	ix_auto_free char *cwd = getcwd(NULL, 0);

	lone->path = file ? ix_path_resolve(cwd, file) : ix_path_join(lone->dir, "Dockerfile");
	if (!file && access(lone->path, F_OK) != 0) {
		char *lower = ix_path_join(lone->dir, "dockerfile");

		if (access(lower, F_OK) == 0) {
			free(lone->path);
			lone->path = lower;
		} else {
			free(lower);
		}
	}
	return ix_read_file(AT_FDCWD, lone->path, &lone->text, err) < 0 ? ix_err_wrap(err, "failed to read dockerfile") : 0;
}

static int fetch_dockerfile(struct workspace *ws, const char *url, struct ix_err *err)
{
	struct ix_remote remote;
	struct ix_remote_file file;
	int r = ix_remote_parse(ws->base.graph->arena, url, &remote, err);

	if (r < 0)
		return r;
	if (remote.kind != IX_REMOTE_HTTP)
		return ix_err_set(err, IX_EARG, "--file %s: a path, - or a http(s) URL of a file", url);
	r = ix_remote_file(ws->base.remotes, &remote, &file, err);
	if (r < 0)
		return r;
	ws->lone.path = ix_strdup(remote.name);
	ws->lone.shown = ix_strdup(url);
	return ix_blob_read(ws->base.store, &file.digest, &ws->lone.text, err);
}

static int read_dockerfile(struct workspace *ws, bool inside, struct ix_err *err)
{
	struct lone *lone = &ws->lone;
	const char *file = ws->base.request->lone_file;

	if (file && strcmp(file, "-") == 0) {
		lone->path = ix_strdup("Dockerfile");
		lone->shown = ix_strdup("Dockerfile");
		return ix_buf_read_fd(&lone->text, STDIN_FILENO, err) < 0 ? ix_err_wrap(err, "standard input") : 0;
	}
	if (file && strstr(file, "://"))
		return fetch_dockerfile(ws, file, err);
	return inside ? read_inside(lone, file, err) : read_beside(lone, file, err);
}

int lone_prepare(struct workspace *ws, struct ix_err *err)
{
	struct lone *lone = &ws->lone;
	const char *context = ws->base.request->lone_context;
	ix_auto_free char *cwd = getcwd(NULL, 0);
	bool inside = true;
	int r;

	if (lone->ready)
		return 0;
	lone->text = IX_BUF_INIT(IX_TEXT_MAX);
	if (strcmp(context, "-") == 0) {
		r = from_stdin(ws, err);
	} else {
		r = context_remote(ws, context, &lone->dir, &lone->text, err);
		if (r == 0) {
			inside = false;
			lone->dir = ix_path_resolve(cwd, context);
			r = context_need_directory(lone->dir, "build context", err);
		}
	}
	if (r < 0)
		return r;
	if (lone->dir && (r = read_dockerfile(ws, inside, err)) < 0)
		return r;
	if (!lone->path) {
		lone->path = ix_strdup("Dockerfile");
		lone->shown = ix_strdup("Dockerfile");
	}
	lone->ready = true;
	return 0;
}

void lone_release(struct lone *lone)
{
	free(lone->dir);
	free(lone->path);
	free(lone->shown);
	ix_buf_release(&lone->text);
}
