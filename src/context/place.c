#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "context_int.h"

/* Where something is put: paths whose ends, and whose links' ends, need not be there yet. */

enum { LINKS_MAX = 255 };

struct walk {
	const struct ix_context *context;
	struct ix_buf done; /* resolved so far: "a/b", no links in it */
	char *left;         /* what is left, owned */
	unsigned links;
};

static void walk_release(struct walk *walk)
{
	ix_buf_release(&walk->done);
	free(walk->left);
}

static void climb(struct ix_buf *done)
{
	const char *slash = done->len > 0 ? strrchr(done->data, '/') : NULL;

	if (done->len == 0)
		return;
	done->len = slash ? (size_t)(slash - done->data) : 0;
	done->data[done->len] = '\0';
}

/* What is at the end of what is resolved: its target when it is a link, NULL when it is not there or a directory. */
static int read_link(const struct walk *walk, char **ret_target, struct ix_err *err)
{
	ix_auto_close int fd = ix_open_beneath(walk->context->root_fd, ix_buf_str(&walk->done), O_PATH | O_NOFOLLOW, err);
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	*ret_target = NULL;
	if (fd < 0)
		return fd == -IX_ENOTFOUND ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat /%s", ix_buf_str(&walk->done));
	if (S_ISDIR(st.st_mode))
		return 0;
	if (!S_ISLNK(st.st_mode))
		return *walk->left ? ix_err_set(err, IX_EARG, "/%s is not a directory", ix_buf_str(&walk->done)) : 0;
	n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0 || (size_t)n == sizeof(target))
		return n < 0 ? ix_err_sys(err, "read link /%s", ix_buf_str(&walk->done)) : ix_err_set(err, IX_EFAIL, "too long a link");
	*ret_target = ix_strndup(target, (size_t)n);
	return 0;
}

/* The link at the end of what is resolved gives way to its target. */
static int follow(struct walk *walk, const char *target, struct ix_err *err)
{
	char *left;

	if (++walk->links > LINKS_MAX)
		return ix_err_set(err, IX_EARG, "too many links at /%s", ix_buf_str(&walk->done));
	if (*target == '/')
		ix_buf_reset(&walk->done);
	else
		climb(&walk->done);
	left = ix_asprintf("%s/%s", target, walk->left);
	free(walk->left);
	walk->left = left;
	return 0;
}

static int next_element(struct walk *walk, struct ix_err *err)
{
	size_t skip = strspn(walk->left, "/"), len = strcspn(walk->left + skip, "/");
	ix_auto_free char *element = ix_strndup(walk->left + skip, len);
	ix_auto_free char *target = NULL;
	int r;

	skip += len;
	skip += strspn(walk->left + skip, "/");
	memmove(walk->left, walk->left + skip, strlen(walk->left + skip) + 1);
	if (!*element || strcmp(element, ".") == 0)
		return 0;
	if (strcmp(element, "..") == 0) {
		climb(&walk->done);
		return 0;
	}
	ix_buf_printf(&walk->done, "%s%s", walk->done.len > 0 ? "/" : "", element);
	r = read_link(walk, &target, err);
	return r == 0 && target ? follow(walk, target, err) : r;
}

int ix_context_place(const struct ix_context *context, const char *path, char **ret_path, struct ix_err *err)
{
	ix_scoped(walk_release) struct walk walk = { .context = context, .left = ix_strdup(path) };

	while (*walk.left) {
		int r = next_element(&walk, err);

		if (r < 0)
			return r;
	}
	*ret_path = ix_strdup(ix_buf_str(&walk.done));
	return 0;
}
