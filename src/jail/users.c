#include "jail/users_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/str.h"

/* The rules are docker's: a number is looked up as a number first, and needs no entry; a name does. */
enum { ID_MAX = 2147483647, ACCOUNTS_MAX = 16 << 20 };

/* --- lines of passwd and group --- */

enum { FIELDS_MAX = 7 };

/* The next line's fields, separated in place; missing ones are "". False at the end. */
static bool next_entry(char **rest, char *fields[static FIELDS_MAX])
{
	static char none[] = "";
	char *line = strsep(rest, "\n");

	if (!line)
		return false;
	for (size_t i = 0; i < FIELDS_MAX; i++) {
		char *field = strsep(&line, ":");

		fields[i] = field ? field : none;
	}
	return true;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t id;

	if (!ix_parse_u64(text, ID_MAX, &id))
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* --- user --- */

static bool find_passwd(const char *passwd, const char *name, bool numeric, uint32_t uid, struct user *user, char **ret_name)
{
	ix_auto_free char *copy = ix_strdup(passwd);
	char *rest = copy, *fields[FIELDS_MAX];

	while (next_entry(&rest, fields)) {
		uint32_t entry_uid, entry_gid;

		if (!*fields[0] || !parse_id(fields[2], &entry_uid) || !parse_id(fields[3], &entry_gid))
			continue;
		if (numeric ? entry_uid != uid : !ix_streq(fields[0], name))
			continue;
		user->uid = entry_uid;
		user->gid = entry_gid;
		user->home = ix_strdup(fields[5]);
		*ret_name = ix_strdup(fields[0]);
		return true;
	}
	return false;
}

static int find_user(const char *name, const char *passwd, struct user *user, char **ret_name, struct ix_err *err)
{
	uint32_t uid = 0;
	bool numeric = is_number(name);

	if (numeric && !parse_id(name, &uid))
		return ix_err_set(err, IX_EARG, "user %s: uids and gids must be in range 0-%d", name, ID_MAX);
	if (find_passwd(passwd, name, numeric, uid, user, ret_name))
		return 0;
	if (!numeric)
		return ix_err_set(err, IX_EARG, "unable to find user %s: no matching entries in passwd file", name);
	user->uid = uid;
	return 0;
}

/* --- groups --- */

static bool is_member(char *members, const char *name)
{
	char *member;

	while ((member = strsep(&members, ",")))
		if (ix_streq(member, name))
			return true;
	return false;
}

static void add_group(struct user *user, gid_t gid)
{
	for (size_t i = 0; i < user->ngroups; i++)
		if (user->groups[i] == gid)
			return;
	if (user->ngroups < USER_GROUPS_MAX)
		user->groups[user->ngroups++] = gid;
}

static void add_memberships(const char *group, const char *name, struct user *user)
{
	ix_auto_free char *copy = ix_strdup(group);
	char *rest = copy, *fields[FIELDS_MAX];
	uint32_t gid;

	while (next_entry(&rest, fields))
		if (parse_id(fields[2], &gid) && is_member(fields[3], name))
			add_group(user, gid);
}

static int find_group(const char *name, const char *group, struct user *user, struct ix_err *err)
{
	ix_auto_free char *copy = ix_strdup(group);
	char *rest = copy, *fields[FIELDS_MAX];
	uint32_t gid = 0, entry;

	if (is_number(name)) {
		if (!parse_id(name, &gid))
			return ix_err_set(err, IX_EARG, "group %s: uids and gids must be in range 0-%d", name, ID_MAX);
		user->gid = gid;
		return 0;
	}
	while (next_entry(&rest, fields)) {
		if (ix_streq(fields[0], name) && parse_id(fields[2], &entry)) {
			user->gid = entry;
			return 0;
		}
	}
	return ix_err_set(err, IX_EARG, "unable to find group %s: no matching entries in group file", name);
}

int jail_user_find(const char *spec, const char *passwd, const char *group, struct user *ret_user, struct ix_err *err)
{
	ix_scoped(jail_user_release) struct user user = { .groups = ix_calloc(USER_GROUPS_MAX, sizeof(gid_t)) };
	ix_auto_free char *copy = ix_strdup(spec ? spec : "");
	ix_auto_free char *account = NULL;
	char *group_name = copy;
	const char *user_name = strsep(&group_name, ":");
	int r = find_user(*user_name ? user_name : "0", passwd, &user, &account, err);

	if (r < 0)
		return r;
	/* A group that is asked for replaces the memberships too. */
	if (group_name && *group_name) {
		r = find_group(group_name, group, &user, err);
		if (r < 0)
			return r;
		add_group(&user, user.gid);
	} else {
		add_group(&user, user.gid);
		if (account)
			add_memberships(group, account, &user);
	}
	*ret_user = user;
	user = (struct user){ 0 };
	return 0;
}

/* An image without the file has no entries. Anything but a plain file is hostile: a FIFO would hang the build. */
static int read_accounts(const char *path, struct ix_buf *text, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : ix_err_sys(err, "open %s", path);
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return ix_err_set(err, IX_EARG, "%s of the image is not a regular file", path);
	if (ix_buf_read_fd(text, fd, err) < 0)
		return ix_err_wrap(err, "%s of the image", path);
	return 0;
}

int jail_user_look_up(const char *spec, struct user *ret_user, struct ix_err *err)
{
	ix_auto_buf passwd = IX_BUF_INIT(ACCOUNTS_MAX);
	ix_auto_buf group = IX_BUF_INIT(ACCOUNTS_MAX);
	int r;

	if ((r = read_accounts("/etc/passwd", &passwd, err)) < 0 || (r = read_accounts("/etc/group", &group, err)) < 0)
		return r;
	return jail_user_find(spec, ix_buf_str(&passwd), ix_buf_str(&group), ret_user, err);
}

void jail_user_release(struct user *user)
{
	free(user->groups);
	free(user->home);
	*user = (struct user){ 0 };
}
