#include "context_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"

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
