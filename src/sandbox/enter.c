#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "sandbox/idmap_int.h"
#include "sandbox/sandbox.h"
#include "sandbox/userns_int.h"

/* "<namespace inode of mnt>:<d|f>": d is degraded. Only believed in the namespace it names, so it may leak anywhere. */
#define MARKER "IX_ENTERED"

enum { SUBID_FILE_MAX = 16 << 20, FILES_MAX = 1 << 20 };

/* PROC_USER_INIT_INO, the same on every machine */
static const ino_t INITIAL_USERNS = 0xeffffffd;

static char degraded[600];
static atomic_int rootless = -1; /* not known yet */

#define SUBIDS_MISSING                                                                                                                     \
	"files of other users cannot be made and many packages fail to install; as root, run: usermod --add-subuids 100000-165535 "        \
	"--add-subgids 100000-165535 USER"

static ix_printf(1, 2) void degrade(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(degraded, sizeof(degraded), fmt, args);
	va_end(args);
}

static bool read_text(const char *path, size_t max, struct ix_buf *text)
{
	struct ix_err ignored;

	*text = IX_BUF_INIT(max);
	return ix_read_file(AT_FDCWD, path, text, &ignored) == 0;
}

/* The map alone does not tell: a namespace may map every id to itself. */
static bool in_initial_userns(void)
{
	struct stat st;

	/* absent in a kernel without user namespaces */
	return stat("/proc/self/ns/user", &st) < 0 || st.st_ino == INITIAL_USERNS;
}

bool ix_sandbox_rootless(void)
{
	int known = atomic_load(&rootless);

	if (known < 0) {
		known = !in_initial_userns();
		atomic_store(&rootless, known);
	}
	return known;
}

/* The value of a one-number file of /proc/sys, or -1. */
static long sysctl_value(const char *path)
{
	ix_auto_buf text = { 0 };

	if (!read_text(path, 64, &text) || !text.data)
		return -1;
	return strtol(text.data, NULL, 10);
}

/* errno says why a user namespace, or something in it, was refused; the settings of the machine say it better. */
static int refused(struct ix_err *err, const char *what)
{
	int saved = errno;

	if (sysctl_value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1 && (saved == EPERM || saved == EACCES))
		return ix_err_set(err, IX_EFAIL,
				  "%s: AppArmor restricts user namespaces on this machine: as root, run: sysctl -w "
				  "kernel.apparmor_restrict_unprivileged_userns=0, or run ix as root",
				  what);
	if (sysctl_value("/proc/sys/kernel/unprivileged_userns_clone") == 0 && saved == EPERM)
		return ix_err_set(err, IX_EFAIL,
				  "%s: user namespaces are forbidden for ordinary users: as root, run: sysctl -w "
				  "kernel.unprivileged_userns_clone=1, or run ix as root",
				  what);
	if (sysctl_value("/proc/sys/user/max_user_namespaces") == 0)
		return ix_err_set(err, IX_EFAIL,
				  "%s: user.max_user_namespaces is 0: as root, run: sysctl -w user.max_user_namespaces=10000", what);
	if (saved == ENOSPC || saved == EUSERS)
		return ix_err_set(err, IX_EFAIL, "%s: too many or too deeply nested user namespaces (user.max_user_namespaces)", what);
	errno = saved;
	ix_err_sys(err, "%s", what);
	if (saved == EPERM || saved == EACCES)
		ix_err_detail(err, "inside a container: start it with --privileged, or allow it user namespaces and mounts (docker: "
				   "--security-opt seccomp=unconfined --security-opt apparmor=unconfined)\n");
	else if (saved == EINVAL)
		ix_err_detail(err, "this kernel may have been built without user namespaces (CONFIG_USER_NS)\n");
	return ix_err_code(err);
}

/* Unmounts of the host reach us (or its disks would stay busy), mounts of ours reach nobody. */
static int private_mounts(struct ix_err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return refused(err, "make the mount namespace private");
	return 0;
}

/* --- the helper that stays outside and writes the maps --- */

struct helper {
	pid_t pid;
	int go;     /* a byte: the namespace exists */
	int answer; /* struct ix_err: code IX_OK when both maps are written */
};

static void helper_main(pid_t parent, const struct id_map maps[2], bool direct, int go, int answer)
{
	struct ix_err err = { 0 };
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(1); /* the parent gave up */
	if (sandbox_idmap_write(parent, &maps[0], &maps[1], direct, &err) == 0)
		err.code = IX_OK;
	_exit(write(answer, &err, sizeof(err)) == (ssize_t)sizeof(err) ? 0 : 1);
}

static int helper_start(const struct id_map maps[2], bool direct, struct helper *helper, struct ix_err *err)
{
	int go[2], answer[2];
	pid_t parent = getpid();

	if (pipe2(go, O_CLOEXEC) < 0)
		return ix_err_sys(err, "pipe");
	if (pipe2(answer, O_CLOEXEC) < 0) {
		close(go[0]);
		close(go[1]);
		return ix_err_sys(err, "pipe");
	}
	helper->pid = fork();
	if (helper->pid == 0) {
		close(go[1]);
		helper_main(parent, maps, direct, go[0], answer[1]);
	}
	close(go[0]);
	close(answer[1]);
	helper->go = go[1];
	helper->answer = answer[0];
	if (helper->pid > 0)
		return 0;
	close(helper->go);
	close(helper->answer);
	return ix_err_sys(err, "fork");
}

/* tell it to go on, or (unmade) to give up. Collects it either way. */
static int helper_finish(struct helper *helper, bool made, struct ix_err *err)
{
	struct ix_err said = { 0 };
	ssize_t n = 0;

	if (made && write(helper->go, "", 1) == 1)
		n = read(helper->answer, &said, sizeof(said));
	close(helper->go);
	close(helper->answer);
	while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (!made)
		return 0;
	if (n != (ssize_t)sizeof(said))
		return ix_err_set(err, IX_EFAIL, "the helper that maps ids died");
	if (said.code == IX_OK)
		return 0;
	return ix_err_copy(err, &said);
}

/* --- the maps --- */

static int write_self(const char *path, const char *text, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return refused(err, path);
	return 0;
}

static bool is_mapped(const char *path)
{
	ix_auto_buf text = { 0 };

	return read_text(path, 64 << 10, &text) && text.len > 0;
}

/* What everybody may write: the own ids alone. The group only after setgroups is given up (user_namespaces(7)). */
static int map_self(uid_t uid, gid_t gid, struct ix_err *err)
{
	char text[32];
	int r;

	if (!is_mapped("/proc/self/gid_map")) {
		snprintf(text, sizeof(text), "0 %u 1", gid);
		if ((r = write_self("/proc/self/setgroups", "deny", err)) < 0 || (r = write_self("/proc/self/gid_map", text, err)) < 0)
			return r;
	}
	if (is_mapped("/proc/self/uid_map"))
		return 0;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_self("/proc/self/uid_map", text, err);
}

/* The account's name; ids of directories beyond /etc/passwd come through the name service. */
static char *user_name(uid_t uid)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwuid_r(uid, &entry, text, sizeof(text), &found) != 0 || !found)
		return NULL;
	return ix_strdup(found->pw_name);
}

static void add_subids(struct id_map *map, const char *path, const char *name, uid_t uid)
{
	ix_auto_buf text = { 0 };

	if (read_text(path, SUBID_FILE_MAX, &text))
		sandbox_idmap_add_subids(map, ix_buf_str(&text), name, uid);
}

/* uids and gids to map for an ordinary user. False (and degraded says why) when there is only the user itself. */
static bool plan_user_maps(struct id_map maps[2])
{
	ix_auto_free char *name = user_name(getuid());

	sandbox_idmap_init(&maps[0], getuid());
	sandbox_idmap_init(&maps[1], getgid());
	add_subids(&maps[0], "/etc/subuid", name, getuid());
	add_subids(&maps[1], "/etc/subgid", name, getuid());
	if (maps[0].count > 1 && maps[1].count > 1)
		return true;
	degrade("only your own user is mapped: %s has no range for %s: " SUBIDS_MISSING, maps[0].count > 1 ? "/etc/subgid" : "/etc/subuid",
		name ? name : "this user");
	return false;
}

static int enter_userns(struct ix_err *err)
{
	struct id_map maps[2];
	bool root = geteuid() == 0;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	/* uid 0 that may not mount, as in many containers: everything keeps its number. */
	bool helped = root ? sandbox_idmap_same(maps) : plan_user_maps(maps);
	struct helper helper;
	int r;

	if (helped && (r = helper_start(maps, root, &helper, err)) < 0)
		return r;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		r = refused(err, "make a user namespace");
		if (helped)
			(void)helper_finish(&helper, false, err);
		return r;
	}
	if (helped && helper_finish(&helper, true, err) < 0)
		degrade("only your own user is mapped: %s%s; files of other users cannot be made and many packages fail to install",
			err->msg, err->code == IX_ENOTFOUND ? " (install the package uidmap, called shadow-utils elsewhere)" : "");
	r = map_self(uid, gid, err);
	if (r < 0)
		return r;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return refused(err, "become root of the user namespace");
	return 0;
}

/* --- the marker --- */

static bool mount_namespace(char out[static 32])
{
	struct stat st;

	if (stat("/proc/self/ns/mnt", &st) < 0)
		return false;
	snprintf(out, 32, "%ju", (uintmax_t)st.st_ino);
	return true;
}

static void set_marker(void)
{
	char ns[32], text[40];

	if (!mount_namespace(ns))
		return;
	snprintf(text, sizeof(text), "%s:%c", ns, degraded[0] ? 'd' : 'f');
	setenv(MARKER, text, 1); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
}

static bool is_inside(void)
{
	const char *marker = getenv(MARKER);
	char ns[32];
	size_t len;

	if (!marker || !mount_namespace(ns))
		return false;
	len = strlen(ns);
	if (strncmp(marker, ns, len) != 0 || marker[len] != ':')
		return false;
	if (marker[len + 1] == 'd' && !degraded[0])
		degrade("only your own user is mapped: " SUBIDS_MISSING);
	return true;
}

/* An overlay of many layers holds a descriptor for each while it is mounted. ix never uses select(2), which more than 1024 would break. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur >= FILES_MAX || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int enter_new(struct ix_err *err)
{
	if (geteuid() != 0)
		return enter_userns(err);
	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	if (errno != EPERM)
		return ix_err_sys(err, "make a mount namespace");
	if (enter_userns(err) < 0)
		return ix_err_wrap(err, "this process is root but lacks CAP_SYS_ADMIN, and a user namespace in its place failed");
	return 0;
}

/* What is left without: device nodes of an image cannot be opened, and the capabilities that matter most are given up (caps.c). */
static void prepare_steps(void)
{
	struct ix_err err = { 0 };

	if (sandbox_userns_make(&err) < 0)
		degrade("steps run without a user namespace (%s): they can neither make device nodes nor use raw sockets or ports below "
			"1024",
			err.msg);
}

int ix_sandbox_enter(const char **ret_degraded, struct ix_err *err)
{
	int r;

	raise_file_limit();
	if (!is_inside()) {
		if ((r = enter_new(err)) < 0 || (r = private_mounts(err)) < 0)
			return r;
		set_marker();
	}
	atomic_store(&rootless, !in_initial_userns());
	if (!ix_sandbox_rootless())
		prepare_steps();
	*ret_degraded = degraded[0] ? degraded : NULL;
	return 0;
}
