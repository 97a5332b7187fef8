#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsutil.h"
#include "sandbox_int.h"

enum { FILE_MAX = 8 << 20 };

/* Splits a line into at most n colon-separated fields, in place. */
static size_t split(char *line, char **fields, size_t n)
{
	size_t count = 0;

	while (count < n && line)
		fields[count++] = strsep(&line, ":");
	return count;
}

static int read_table(const char *path, struct ix_buf *text, struct ix_err *err)
{
	int r = ix_read_file(AT_FDCWD, path, text, err);

	return r == -IX_ENOTFOUND ? 0 : r;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t value;

	if (!ix_parse_u64(text, UINT32_MAX - 1, &value))
		return false;
	*ret_id = (uint32_t)value;
	return true;
}

/* The passwd line of a name or a uid. */
static int find_user(const char *user, struct identity *identity, char name[static 64], struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(FILE_MAX);
	bool numeric = parse_id(user, &identity->uid);
	char *rest, *line, *f[7];

	if (read_table("/etc/passwd", &text, err) < 0)
		return -(int)err->code;
	text.limit = 0;
	ix_buf_putc(&text, '\n');
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		uint32_t uid, gid;

		if (split(line, f, 7) < 6 || !parse_id(f[2], &uid) || !parse_id(f[3], &gid))
			continue;
		if (numeric ? uid != identity->uid : strcmp(f[0], user) != 0)
			continue;
		identity->uid = uid;
		identity->gid = gid;
		snprintf(name, 64, "%s", f[0]);
		snprintf(identity->home, sizeof(identity->home), "%s", f[5]);
		return 0;
	}
	if (!numeric)
		return ix_err_set(err, IX_EARG, "unable to find user %s: no matching entries in passwd file", user);
	return 0; /* a uid without an entry has group 0, as docker does it */
}

/* The gid of a group name or number, or (group NULL) all groups that list the member. */
static int find_groups(const char *group, const char *member, struct identity *identity, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(FILE_MAX);
	char *rest, *line, *f[4];

	if (group && parse_id(group, &identity->gid))
		return 0;
	if (read_table("/etc/group", &text, err) < 0)
		return -(int)err->code;
	text.limit = 0;
	ix_buf_putc(&text, '\n');
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		uint32_t gid;
		char *members, *one;

		f[3] = NULL;
		if (split(line, f, 4) < 3 || !parse_id(f[2], &gid))
			continue;
		if (group) {
			if (strcmp(f[0], group) != 0)
				continue;
			identity->gid = gid;
			return 0;
		}
		members = f[3];
		while (members && (one = strsep(&members, ",")) != NULL)
			if (strcmp(one, member) == 0 && identity->ngroups < IX_ARRAY_LEN(identity->groups))
				identity->groups[identity->ngroups++] = gid;
	}
	return group ? ix_err_set(err, IX_EARG, "unable to find group %s: no matching entries in group file", group) : 0;
}

int users_lookup(const char *text, struct identity *ret_identity, struct ix_err *err)
{
	const char *colon = text ? strchr(text, ':') : NULL;
	char user[256], name[64] = "";

	*ret_identity = (struct identity){ 0 };
	snprintf(user, sizeof(user), "%.*s", colon ? (int)(colon - text) : 255, text && *text ? text : "0");
	if (!*user)
		snprintf(user, sizeof(user), "0");
	if (find_user(user, ret_identity, name, err) < 0)
		return -(int)err->code;
	if (colon && colon[1])
		return find_groups(colon + 1, NULL, ret_identity, err);
	return name[0] ? find_groups(NULL, name, ret_identity, err) : 0;
}
