#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "sandbox_int.h"

static bool rootless;

bool ix_sandbox_rootless(void)
{
	return rootless;
}

/* Mounts of the machine still reach us; ours reach nobody, and go with the last of our processes. */
static int private_mounts(struct ix_err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return ix_err_sys(err, "make mounts private");
	return 0;
}

static int enter_as_root(struct ix_err *err)
{
	if (unshare(CLONE_NEWNS) < 0) {
		if (errno == EPERM)
			return ix_err_set(err, IX_EFAIL, "this root may not make mount namespaces (CAP_SYS_ADMIN is missing): "
					  "run ix as an ordinary user, or the container it runs in with --privileged");
		return ix_err_sys(err, "unshare mount namespace");
	}
	return private_mounts(err);
}

/* --- as an ordinary user --- */

/* The first range of a user in /etc/subuid or /etc/subgid: "name-or-uid:first:count". */
static bool find_range(const char *file, const char *name, uid_t uid, unsigned long *ret_first, unsigned long *ret_count)
{
	ix_auto_fclose FILE *f = fopen(file, "re");
	char line[512], number[24];

	snprintf(number, sizeof(number), "%u", uid);
	while (f && fgets(line, sizeof(line), f)) {
		char *rest = line, *owner = strsep(&rest, ":"), *first = strsep(&rest, ":");
		uint64_t a, b;

		if (!first || !rest || (strcmp(owner, number) != 0 && (!name || strcmp(owner, name) != 0)))
			continue;
		rest[strcspn(rest, "\n")] = '\0';
		if (!ix_parse_u64(first, UINT32_MAX, &a) || !ix_parse_u64(rest, UINT32_MAX, &b) || b == 0)
			continue;
		*ret_first = (unsigned long)a;
		*ret_count = (unsigned long)b;
		return true;
	}
	return false;
}

struct ranges {
	unsigned long uid_first, uid_count, gid_first, gid_count;
};

/* Runs in a child outside the new user namespace: only there do newuidmap and newgidmap have their privileges. */
static void map_ids(pid_t pid, const char *tool, unsigned long self, unsigned long first, unsigned long count)
{
	char args[5][24];
	const char *argv[] = { tool, args[0], "0", args[1], "1", "1", args[2], args[3], NULL };

	snprintf(args[0], sizeof(args[0]), "%d", pid);
	snprintf(args[1], sizeof(args[1]), "%lu", self);
	snprintf(args[2], sizeof(args[2]), "%lu", first);
	snprintf(args[3], sizeof(args[3]), "%lu", count);
	execvp(tool, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int run_map_tool(pid_t target, const char *tool, unsigned long self, unsigned long first, unsigned long count)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -1;
	if (pid == 0)
		map_ids(target, tool, self, first, count);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* The mapper: a child that waits until its parent is in the new namespace, maps its ids, and answers with one byte. */
static pid_t start_mapper(const struct ranges *ranges, int *ret_go, int *ret_done)
{
	int go[2], done[2];
	pid_t parent = getpid(), pid;
	uid_t uid = getuid();
	gid_t gid = getgid();
	char byte = 0;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid != 0) {
		close(go[0]);
		close(done[1]);
		*ret_go = go[1];
		*ret_done = done[0];
		return pid;
	}
	close(go[1]);
	close(done[0]);
	if (read(go[0], &byte, 1) == 1 && run_map_tool(parent, "newuidmap", uid, ranges->uid_first, ranges->uid_count) == 0 &&
	    run_map_tool(parent, "newgidmap", gid, ranges->gid_first, ranges->gid_count) == 0 && write(done[1], &byte, 1) == 1)
		_exit(0);
	_exit(1);
}

static int unshare_user(struct ix_err *err)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0)
		return 0;
	if (errno == EPERM || errno == EACCES || errno == ENOSPC || errno == EUSERS)
		return ix_err_set(err, IX_EFAIL, "this machine does not let ordinary users make user namespaces: check /proc/sys/user/max_user_namespaces, "
				  "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, or run ix as root");
	return ix_err_sys(err, "unshare user namespace");
}

static int write_file(const char *path, const char *text, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return ix_err_sys(err, "open %s", path);
	if (write(fd, text, strlen(text)) < 0)
		return ix_err_sys(err, "write %s", path);
	return 0;
}

/* Without subordinate ids: this user alone, as root. Steps that give files to other users will fail. */
static int enter_single(uid_t uid, gid_t gid, struct ix_err *err)
{
	char map[64];

	if (unshare_user(err) < 0 || write_file("/proc/self/setgroups", "deny", err) < 0)
		return -(int)err->code;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (write_file("/proc/self/uid_map", map, err) < 0)
		return -(int)err->code;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map, err);
}

static int enter_mapped(const struct ranges *ranges, struct ix_err *err)
{
	ix_auto_close int go = -1;
	ix_auto_close int done = -1;
	pid_t mapper = start_mapper(ranges, &go, &done);
	char byte = 0;
	int status;
	bool ok;

	if (mapper < 0)
		return ix_err_sys(err, "fork");
	if (unshare_user(err) < 0) {
		kill(mapper, SIGKILL);
		waitpid(mapper, &status, 0);
		return -(int)err->code;
	}
	ok = write(go, &byte, 1) == 1 && read(done, &byte, 1) == 1;
	waitpid(mapper, &status, 0);
	if (!ok)
		return ix_err_set(err, IX_EFAIL, "newuidmap or newgidmap failed: install the package uidmap, and check /etc/subuid and /etc/subgid");
	return 0;
}

static int enter_as_user(const char **ret_degraded, struct ix_err *err)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	const struct passwd *user = getpwuid(uid); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
	const char *name = user ? user->pw_name : NULL;
	struct ranges ranges;
	bool have = find_range("/etc/subuid", name, uid, &ranges.uid_first, &ranges.uid_count) &&
		    find_range("/etc/subgid", name, uid, &ranges.gid_first, &ranges.gid_count) &&
		    access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0;
	int r;

	/* A process without the dumpable flag may not write its own maps. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (!have)
		*ret_degraded = "no subordinate ids: only one user exists inside steps, and packages that give files to others fail to install "
				"(install uidmap, and run: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)";
	r = have ? enter_mapped(&ranges, err) : enter_single(uid, gid, err);
	if (r < 0)
		return r;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return ix_err_sys(err, "become root of the user namespace");
	if (have && setgroups(0, NULL) < 0)
		return ix_err_sys(err, "drop supplementary groups");
	rootless = true;
	return private_mounts(err);
}

int ix_sandbox_enter(const char **ret_degraded, struct ix_err *err)
{
	static bool entered;

	*ret_degraded = NULL;
	if (entered)
		return 0;
	entered = true;
	return geteuid() == 0 ? enter_as_root(err) : enter_as_user(ret_degraded, err);
}
