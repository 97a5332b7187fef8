#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "copy_int.h"

enum { PASSWD_MAX = 8 << 20 };

/* Field n (0-based) of a colon-separated line, or NULL. */
static char *field(const char *line, size_t len, unsigned n)
{
	const char *end = line + len;

	while (n-- > 0) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return NULL;
		line++;
	}
	{
		const char *colon = memchr(line, ':', (size_t)(end - line));

		return ix_strndup(line, (size_t)((colon ? colon : end) - line));
	}
}

static uint32_t number(const char *text)
{
	uint64_t n;

	return text && ix_parse_u64(text, UINT32_MAX, &n) ? (uint32_t)n : 0;
}

/* The line of /etc/passwd or /etc/group whose first field is name: the numbers of its fields first and second, 0 for what is malformed. *found:
 * there is one. A file that is not there has no lines. */
static int find_name(int root_fd, const char *file, const char *name, unsigned first, uint32_t *ret_first, unsigned second,
		     uint32_t *ret_second, bool *found, struct ix_err *err)
{
	ix_auto_close int fd = ix_open_in_root(root_fd, file, O_RDONLY, err);
	ix_auto_buf text = IX_BUF_INIT(PASSWD_MAX);

	*found = false;
	if (fd < 0)
		return fd == -IX_ENOTFOUND || err->sys == ENOTDIR ? 0 : fd;
	if (ix_buf_read_fd(&text, fd, err) < 0)
		return ix_err_wrap(err, "/%s", file);
	for (const char *line = ix_buf_str(&text); *line && !*found; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		ix_auto_free char *key = field(line, len, 0);

		*found = key && strcmp(key, name) == 0;
		if (*found) {
			ix_auto_free char *one = field(line, len, first);
			ix_auto_free char *two = field(line, len, second);

			*ret_first = number(one);
			*ret_second = number(two);
		}
	}
	return 0;
}

/* In an image without any layer docker looks nobody up. */
static int known_to_nothing(const char *name, struct ix_err *err)
{
	if (strcmp(name, "root") == 0)
		return 0;
	return ix_err_set(err, IX_EFAIL, "'%s' is not known: there is no /etc/passwd or /etc/group in an empty image", name);
}

int copy_lookup_owner(int root_fd, bool empty, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct ix_err *err)
{
	const char *group = strchr(text, ':');
	ix_auto_free char *user = ix_strndup(text, group ? (size_t)(group - text) : strlen(text));
	uint32_t ignored, gid;
	bool found;
	uint64_t n;
	int r;

	/* As docker has it: a name that nobody knows is root's, and nothing is a name too, as is a number above 2147483647. */
	*ret_uid = *ret_gid = 0;
	if (ix_parse_u64(user, INT32_MAX, &n)) {
		*ret_uid = *ret_gid = (uint32_t)n; /* a lone uid stands for the gid too */
	} else if (*user) {
		r = empty ? known_to_nothing(user, err) : find_name(root_fd, "etc/passwd", user, 2, ret_uid, 3, ret_gid, &found, err);
		if (r < 0)
			return r;
	}
	if (!group)
		return 0;
	group++;
	if (!*group || ix_parse_u64(group, INT32_MAX, &n)) {
		*ret_gid = *group ? (uint32_t)n : 0;
		return 0;
	}
	if (empty)
		return known_to_nothing(group, err);
	r = find_name(root_fd, "etc/group", group, 2, &gid, 0, &ignored, &found, err);
	if (r == 0 && found)
		*ret_gid = gid;
	return r;
}
