#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fsutil.h"
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

/* The line of /etc/passwd or /etc/group whose first field is name: its fields first and, when wanted, second. */
static int find_name(int root_fd, const char *file, const char *name, unsigned first, uint32_t *ret_first, unsigned second,
		     uint32_t *ret_second, struct ix_err *err)
{
	ix_auto_close int fd = ix_open_in_root(root_fd, file, O_RDONLY, err);
	ix_auto_buf text = IX_BUF_INIT(PASSWD_MAX);
	uint64_t a, b = 0;

	if (fd < 0 && fd != -IX_ENOTFOUND)
		return fd;
	if (fd >= 0 && ix_buf_read_fd(&text, fd, err) < 0)
		return ix_err_wrap(err, "/%s", file);
	for (const char *line = ix_buf_str(&text); *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		ix_auto_free char *key = field(line, len, 0);
		ix_auto_free char *one = field(line, len, first);
		ix_auto_free char *two = ret_second ? field(line, len, second) : NULL;

		if (!key || strcmp(key, name) != 0)
			continue;
		if (!one || !ix_parse_u64(one, UINT32_MAX - 1, &a) || (ret_second && (!two || !ix_parse_u64(two, UINT32_MAX - 1, &b))))
			return ix_err_set(err, IX_EFAIL, "/%s: the line of '%s' is malformed", file, name);
		*ret_first = (uint32_t)a;
		if (ret_second)
			*ret_second = (uint32_t)b;
		return 0;
	}
	return ix_err_set(err, IX_ENOTFOUND, "'%s' is not in the image's /%s", name, file);
}

int copy_lookup_owner(int root_fd, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct ix_err *err)
{
	const char *colon = strchr(text, ':');
	ix_auto_free char *user = ix_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	const char *group = colon ? colon + 1 : NULL;
	uint64_t n;

	if (!*user || (group && !*group))
		return ix_err_set(err, IX_EARG, "'%s' is not user[:group]", text);
	if (ix_parse_u64(user, UINT32_MAX - 1, &n))
		*ret_uid = *ret_gid = (uint32_t)n; /* a lone uid stands for the gid too */
	else if (find_name(root_fd, "etc/passwd", user, 2, ret_uid, 3, ret_gid, err) < 0)
		return -(int)err->code;
	if (!group)
		return 0;
	if (ix_parse_u64(group, UINT32_MAX - 1, &n)) {
		*ret_gid = (uint32_t)n;
		return 0;
	}
	return find_name(root_fd, "etc/group", group, 2, ret_gid, 0, NULL, err);
}
