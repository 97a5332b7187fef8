/* Users and groups of the sandbox: names become numbers by its own /etc/passwd and /etc/group, not by this machine's. */
#ifndef IX_JAIL_USERS_INT_H
#define IX_JAIL_USERS_INT_H

#include <sys/types.h>

#include "base/err.h"

enum { USER_GROUPS_MAX = 4096 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* the group itself and those /etc/group lists the user in */
	size_t ngroups;
	char *home; /* NULL: passwd does not say */
};

/* spec: "user|uid[:group|gid]", NULL or "" is 0. passwd and group are the texts of the files. */
int jail_user_find(const char *spec, const char *passwd, const char *group, struct user *ret_user, struct ix_err *err);
/* The same by the files of the current root. */
int jail_user_look_up(const char *spec, struct user *ret_user, struct ix_err *err);
void jail_user_release(struct user *user);

#endif
