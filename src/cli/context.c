#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "cli_int.h"
#include "layer/layer.h"

/*
 * Where build contexts come from: directories, images, archives on standard input or by URL, repositories. Whatever is not a directory of this
 * machine becomes one in the store for as long as the command runs.
 */

/* --- archives and URLs --- */

static int temporary_dir(struct session *session, char **ret_dir, struct ix_err *err)
{
	int r = ix_store_tmpdir(session->store, ret_dir, err);

	if (r < 0)
		return r;
	ix_strv_add(&session->dirs, *ret_dir);
	return chmod(*ret_dir, 0755) < 0 ? ix_err_sys(err, "mode of %s", *ret_dir) : 0;
}

static int unpack(struct session *session, int fd, char **ret_dir, struct ix_err *err)
{
	const struct ix_unpack_opts how = { .userns = true, .no_owners = true, .cancel = session->cancel };
	ix_scoped(ix_reader_freep) struct ix_reader *file = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar = NULL;
	ix_auto_free char *dir = NULL;
	ix_auto_close int dir_fd = -1;
	int r = temporary_dir(session, &dir, err);

	if (r < 0)
		return r;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return ix_err_sys(err, "open %s", dir);
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

static int fetch_archive(struct session *session, const struct ix_remote *remote, char **ret_dir, struct ix_buf *ret_text,
			 struct ix_err *err)
{
	struct ix_remote_file file;
	ix_auto_close int fd = -1;
	int r;

	if ((r = ix_remote_file(session->remotes, remote, &file, err)) < 0 ||
	    (r = ix_blob_open(session->store, &file.digest, &fd, NULL, err)) < 0)
		return r;
	session->context_time = file.mtime_s;
	if (ix_tar_detect(fd))
		return unpack(session, fd, ret_dir, err);
	if (!ret_text)
		return ix_err_set(err, IX_EARG, "%s is not a tar archive", remote->url);
	return ix_buf_read_fd(ret_text, fd, err);
}

static bool request_truth(const struct build_request *request, const char *name)
{
	const char *value = request_arg(request, name);

	return value && (strcmp(value, "1") == 0 || ix_strcaseeq(value, "true"));
}

int remote_context(struct session *session, const char *text, char **ret_dir, struct ix_buf *ret_text, struct ix_err *err)
{
	struct ix_remote remote;
	ix_auto_free char *root = NULL;
	struct stat st;
	int r = ix_remote_parse(session->graph->arena, text, &remote, err);

	if (r < 0)
		return r;
	if (remote.kind == IX_REMOTE_NONE)
		return 0;
	if (remote.kind == IX_REMOTE_HTTP) {
		r = fetch_archive(session, &remote, ret_dir, ret_text, err);
		return r < 0 ? r : 1;
	}
	remote.keep_git_dir = remote.keep_git_dir || request_truth(session->request, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
	if ((r = ix_remote_checkout(session->remotes, &remote, &root, err)) < 0 || (r = below(root, remote.subdir, ret_dir, err)) < 0)
		return r;
	if (stat(*ret_dir, &st) == 0)
		session->context_time = st.st_mtim.tv_sec;
	return 1;
}

/* --- named contexts --- */

const struct ix_dir *session_dir(struct session *session, char *path_take, const char *dockerfile, const char *label)
{
	struct ix_dir *dir = ix_arena_alloc(session->graph->arena, sizeof(*dir));
	ix_auto_free char *beside = dockerfile ? ix_asprintf("%s.dockerignore", dockerfile) : NULL;
	ix_auto_free char *inside = ix_asprintf("%s/.dockerignore", path_take);

	dir->path = session_keep(session, path_take);
	dir->label = ix_arena_strdup(session->graph->arena, label);
	/* The file beside the Dockerfile wins. */
	if (beside && access(beside, F_OK) == 0)
		dir->ignore_path = ix_arena_strdup(session->graph->arena, beside);
	else if (access(inside, F_OK) == 0)
		dir->ignore_path = ix_arena_strdup(session->graph->arena, inside);
	return dir;
}

int need_directory(const char *path, const char *what, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? ix_err_sys(err, "%s %s", what, path) : 0;
}

/* A named context's value: docker-image://, oci-layout://, stage:NAME or a directory relative to base. */
int session_context(struct session *session, const char *value, const char *base, const char *platform, struct ix_source *ret_source,
		    struct ix_err *err)
{
	bool failed = false;
	char *path = NULL;

	*ret_source = (struct ix_source){ .platform = platform };
	if (strcmp(value, "docker-image://scratch") == 0)
		return 0;
	if (ix_starts(value, "docker-image://")) {
		ret_source->kind = IX_SOURCE_IMAGE;
		ret_source->text = ix_arena_strdup(session->graph->arena, value + 15);
		return 0;
	}
	if (ix_starts(value, "oci-layout://")) {
		ix_auto_free char *dir = ix_strdup(value + 13);
		char *at = strchr(dir, '@'), *colon = strrchr(dir, ':');

		ret_source->kind = IX_SOURCE_LAYOUT;
		if (at || (colon && !strchr(colon, '/'))) {
			char *cut = at ? at : colon;

			*cut = '\0';
			ret_source->layout_ref = ix_arena_strdup(session->graph->arena, cut + 1);
		}
		ret_source->text = session_keep(session, ix_path_resolve(base, dir));
		return 0;
	}
	if (ix_starts(value, "stage:") && session->project) {
		ret_source->kind = IX_SOURCE_STAGE;
		ret_source->stage = session_stage(session, value + 6, &failed, err);
		if (ret_source->stage)
			return 0;
		return failed ? ix_err_code(err) : ix_project_unknown_stage(session->project, value + 6, err);
	}
	switch (remote_context(session, value, &path, NULL, err)) {
	case 0:
		if (strstr(value, "://"))
			return ix_err_set(err, IX_EARG, "context '%s': docker-image://, oci-layout://, a URL or a directory", value);
		path = ix_path_resolve(base, value);
		break;
	case 1:
		break;
	default:
		return ix_err_code(err);
	}
	int r = need_directory(path, "context", err);
	if (r < 0) {
		free(path);
		return r;
	}
	ret_source->kind = IX_SOURCE_DIR;
	ret_source->dir = session_dir(session, path, NULL, value);
	return 0;
}

struct opened_context {
	const char *value;
	struct ix_source source;
	struct opened_context *next;
};

bool session_is_remote(struct session *session, const char *value)
{
	struct ix_remote remote;
	struct ix_err ignored; /* what is malformed is told where it is looked at */

	return ix_remote_parse(session->graph->arena, value, &remote, &ignored) == 0 && remote.kind != IX_REMOTE_NONE;
}

int session_open_context(void *data, const struct ix_named_context *context, struct ix_source *ret_source, struct ix_err *err)
{
	struct session *session = data;
	struct opened_context *opened;
	int r;

	for (opened = session->opened; opened; opened = opened->next) {
		if (strcmp(opened->value, context->pending) == 0) {
			*ret_source = opened->source;
			return 0;
		}
	}
	r = session_context(session, context->pending, "/", context->source.platform, ret_source, err);
	if (r < 0)
		return ix_err_wrap(err, "context '%s'", context->name);
	opened = ix_arena_alloc(session->graph->arena, sizeof(*opened));
	*opened = (struct opened_context){ context->pending, *ret_source, session->opened };
	session->opened = opened;
	return 0;
}

/* --- the context and Dockerfile of a lone build --- */

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
static int from_stdin(struct session *session, struct ix_err *err)
{
	struct lone *lone = &session->lone;
	ix_auto_free char *dir = NULL;
	ix_auto_free char *path = NULL;
	ix_auto_close int fd = -1;
	ix_scoped(ix_reader_freep) struct ix_reader *in = ix_fd_reader_new(STDIN_FILENO);
	ix_scoped(ix_writer_freep) struct ix_writer *out = NULL;
	int r = temporary_dir(session, &dir, err);

	if (r < 0)
		return r;
	path = ix_asprintf("%s/stdin", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return ix_err_sys(err, "create %s", path);
	out = ix_fd_writer_new(fd);
	if (ix_copy(in, out, session->cancel, err) < 0)
		return ix_err_wrap(err, "standard input");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "seek");
	if (!ix_tar_detect(fd))
		return ix_buf_read_fd(&lone->text, fd, err);
	r = unpack(session, fd, &lone->dir, err);
	if (r < 0)
		return r;
	session->context_time = newest(lone->dir);
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

static int fetch_dockerfile(struct session *session, const char *url, struct ix_err *err)
{
	struct ix_remote remote;
	struct ix_remote_file file;
	int r = ix_remote_parse(session->graph->arena, url, &remote, err);

	if (r < 0)
		return r;
	if (remote.kind != IX_REMOTE_HTTP)
		return ix_err_set(err, IX_EARG, "--file %s: a path, - or a http(s) URL of a file", url);
	r = ix_remote_file(session->remotes, &remote, &file, err);
	if (r < 0)
		return r;
	session->lone.path = ix_strdup(remote.name);
	session->lone.shown = ix_strdup(url);
	return ix_blob_read(session->store, &file.digest, &session->lone.text, err);
}

static int read_dockerfile(struct session *session, bool inside, struct ix_err *err)
{
	struct lone *lone = &session->lone;
	const char *file = session->request->lone_file;

	if (file && strcmp(file, "-") == 0) {
		lone->path = ix_strdup("Dockerfile");
		lone->shown = ix_strdup("Dockerfile");
		return ix_buf_read_fd(&lone->text, STDIN_FILENO, err) < 0 ? ix_err_wrap(err, "standard input") : 0;
	}
	if (file && strstr(file, "://"))
		return fetch_dockerfile(session, file, err);
	return inside ? read_inside(lone, file, err) : read_beside(lone, file, err);
}

int lone_prepare(struct session *session, struct ix_err *err)
{
	struct lone *lone = &session->lone;
	const char *context = session->request->lone_context;
	ix_auto_free char *cwd = getcwd(NULL, 0);
	bool inside = true;
	int r;

	if (lone->ready)
		return 0;
	lone->text = IX_BUF_INIT(IX_TEXT_MAX);
	if (strcmp(context, "-") == 0) {
		r = from_stdin(session, err);
	} else {
		r = remote_context(session, context, &lone->dir, &lone->text, err);
		if (r == 0) {
			inside = false;
			lone->dir = ix_path_resolve(cwd, context);
			r = need_directory(lone->dir, "build context", err);
		}
	}
	if (r < 0)
		return r;
	if (lone->dir && (r = read_dockerfile(session, inside, err)) < 0)
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
