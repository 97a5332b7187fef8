/* Turns a test run by root into one run by an ordinary user that exists for it alone. */
#ifndef TEST_SANDBOX_PERSON_H
#define TEST_SANDBOX_PERSON_H

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PERSON = 54321 };

/* In this process's mount namespace only: the machine's own file is not touched. */
static bool person_file(const char *path, const char *text)
{
	char name[] = "/tmp/ix-person-XXXXXX";
	int fd = mkstemp(name);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0644) == 0 &&
		  mount(name, path, NULL, MS_BIND, NULL) == 0;

	if (fd >= 0) {
		close(fd);
		unlink(name);
	}
	return ok;
}

/* NULL, or why not. subids: text of both /etc/subuid and /etc/subgid. */
static const char *person_become(const char *subids)
{
	if (geteuid() != 0)
		return NULL;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "cannot make a mount namespace";
	if (access("/etc/subuid", F_OK) < 0 || access("/etc/subgid", F_OK) < 0)
		return "there is no /etc/subuid or /etc/subgid to stand in for";
	if (!person_file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nixtest:x:54321:54321::/tmp:/bin/sh\n") ||
	    !person_file("/etc/group", "root:x:0:\nixtest:x:54321:\n") || !person_file("/etc/subuid", subids) ||
	    !person_file("/etc/subgid", subids))
		return "cannot stand in for the machine's users";
	if (setgroups(0, NULL) < 0 || setresgid(PERSON, PERSON, PERSON) < 0 || setresuid(PERSON, PERSON, PERSON) < 0)
		return "cannot become an ordinary user";
	/* Changing ids made /proc/self root's; an exec, as of a shell that starts ix, would have undone that. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (access("/proc/self/exe", X_OK) < 0)
		return "the test is in a directory that ordinary users cannot reach";
	return NULL;
}

#endif
