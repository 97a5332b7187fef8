#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "base/str.h"
#include "base/trace.h"
#include "jail/caps_int.h"
#include "jail/jail.h"
#include "jail/jail_int.h"
#include "jail/setup_int.h"
#include "jail/syscalls_int.h"
#include "jail/users_int.h"

/*
 * Two processes. The first stays in the surrounding pid namespace, makes the other namespaces, waits, and passes the exit status on; SIGTERM
 * makes it kill the second and wait until the kernel has emptied the pid namespace. The second is pid 1 of that namespace: it builds the file
 * system, gives up privileges and becomes the command, so everything the command leaves behind dies with it.
 */

enum { FAILED = 125 };

/* One write below PIPE_BUF, so it arrives whole. The parent reads it once the first process is gone. */
static ix_noreturn void report_and_exit(const struct ix_err *err)
{
	_Static_assert(sizeof(*err) <= PIPE_BUF, "an error fits into one pipe write");
	_exit(write(IX_JAIL_FD_REPORT, err, sizeof(*err)) == (ssize_t)sizeof(*err) ? FAILED : FAILED + 1);
}

/* --- steps of the second process, in order --- */

/* Best effort, all of them: they make a difference that most commands do not see. */
static void write_file(const char *path, const char *text)
{
	ix_auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		ix_trace("sandbox", "%s cannot be written, ignoring", path);
}

/* In a user namespace the command has no capability over it: low ports and ping go without, as docker sets them too. */
static void open_network(const struct ix_jail_orders *orders)
{
	if (orders->confinement != IX_CONFINE_USERNS)
		return;
	write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

/* lo is interface 1 of every network namespace (rtnetlink(7)). */
static int start_loopback(struct setup *setup, struct ix_err *err)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} up = {
		.header = { .nlmsg_len = sizeof(up), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_family = AF_UNSPEC, .ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer = { 0 };
	ix_auto_close int fd = -1;

	if (!setup->orders->plan.no_network)
		return 0;
	open_network(setup->orders);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &up, sizeof(up), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer))
		return ix_err_sys(err, "start the loopback interface");
	errno = -answer.error.error;
	return errno ? ix_err_sys(err, "start the loopback interface") : 0;
}

static int enter_cwd(struct setup *setup, struct ix_err *err)
{
	const char *cwd = setup->orders->plan.cwd;

	if (chdir(cwd) == 0)
		return 0;
	if (errno != ENOENT)
		return ix_err_sys(err, "working directory %s", cwd);
	if (ix_mkdir_p(AT_FDCWD, cwd, 0755, err) < 0)
		return ix_err_wrap(err, "working directory %s", cwd);
	return chdir(cwd) < 0 ? ix_err_sys(err, "working directory %s", cwd) : 0;
}

/* linux32(8) and setarch(8) would show in uname(1) and in how memory is laid out. */
static int plain_personality(struct setup *setup, struct ix_err *err)
{
	(void)setup;
	return personality(PER_LINUX) < 0 ? ix_err_sys(err, "personality") : 0;
}

static int (*const steps[])(struct setup *setup, struct ix_err *err) = {
	start_loopback, jail_root_stage,    jail_mount_dev,  jail_mount_proc, jail_mount_sys,  jail_mask,
	jail_mount_etc, jail_mount_planned, jail_root_enter, enter_cwd,       jail_set_limits, plain_personality,
};

/* --- becoming the user --- */

static bool setgroups_is_denied(void)
{
	ix_auto_buf text = IX_BUF_INIT(64);
	struct ix_err ignored;

	return ix_read_file(AT_FDCWD, "/proc/self/setgroups", &text, &ignored) == 0 && ix_starts(ix_buf_str(&text), "deny");
}

static int set_ids(const struct user *user, struct ix_err *err)
{
	/* A single mapped id comes with setgroups denied; the one group there is stays. */
	if (setgroups(user->ngroups, user->groups) < 0 && !(errno == EPERM && setgroups_is_denied()))
		return ix_err_sys(err, "set groups");
	if (setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0) {
		if (errno == EINVAL)
			return ix_err_set(err, IX_EFAIL,
					  "user %u:%u is not mapped in this user namespace: give yourself subordinate ids in /etc/subuid "
					  "and /etc/subgid (usermod --add-subuids, --add-subgids)",
					  user->uid, user->gid);
		return ix_err_sys(err, "become user %u:%u", user->uid, user->gid);
	}
	return 0;
}

/* Pipes belong to whoever runs ix; /dev/stdout can be opened by the command's user only when it owns them. Terminals and files are left alone. */
static void give_pipes(uid_t uid)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (uid != 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && fchown(fd, uid, (gid_t)-1) < 0)
			ix_trace("sandbox", "cannot give descriptor %d to user %u, ignoring", fd, uid);
	}
}

/*
 * The filter is loaded while there is CAP_SYS_ADMIN, as no_new_privs is not set; it allows all that comes after it here. Changing ids clears
 * the parent-death signal, so that is asked for again. Entering a user namespace gives all its capabilities, so that comes first; the mounts
 * were made before it and belong to the namespace around, so nothing in there has a say over them.
 */
static int drop_privileges(const struct ix_jail_orders *orders, const struct user *user, struct ix_err *err)
{
	uint64_t kept = orders->confinement == IX_CONFINE_CAPS ? jail_caps_harmless(orders->plan.no_network) : jail_caps_all();
	bool secure = !orders->plan.insecure;
	int r;

	if (orders->confinement == IX_CONFINE_USERNS && setns(IX_JAIL_FD_USERNS, CLONE_NEWUSER) < 0)
		return ix_err_sys(err, "enter the user namespace of steps");
	(void)sys_new_session_keyring(); /* kernels without keys have nothing to hide */
	if (secure && ((r = jail_caps_bound(kept, err)) < 0 || (r = jail_filter_load(orders->filter, orders->filter_len, err)) < 0))
		return r;
	if ((r = set_ids(user, err)) < 0 || (secure && (r = jail_caps_drop(kept, err)) < 0))
		return r;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? ix_err_sys(err, "prctl") : 0;
}

static const char *const *with_home(const char *const *env, const char *home)
{
	const char **more;
	size_t count = 0;

	for (; env[count]; count++)
		if (ix_starts(env[count], "HOME="))
			return env;
	more = ix_calloc(count + 2, sizeof(*more));
	memcpy(more, env, count * sizeof(*more));
	more[count] = ix_asprintf("HOME=%s", home ? home : "/");
	return more;
}

/* Asks to die with the first process; alive_fd hangs up when that has happened already. */
static void die_with_first(int alive_fd)
{
	struct pollfd alive = { .fd = alive_fd };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || poll(&alive, 1, 0) != 0)
		_exit(FAILED);
}

static void shift_clock(uint32_t seconds)
{
	char text[64];

	if (seconds == 0 || unshare(CLONE_NEWTIME) < 0)
		return;
	snprintf(text, sizeof(text), "boottime %u 0\nmonotonic %u 0\n", seconds, seconds);
	write_file("/proc/self/timens_offsets", text);
}

static void shift_pids(uint32_t first)
{
	char text[32];

	if (first < 3)
		return;
	snprintf(text, sizeof(text), "%u", first - 1);
	write_file("/proc/sys/kernel/ns_last_pid", text);
}

static ix_noreturn void second_process(const struct ix_jail_orders *orders)
{
	struct setup setup = { .orders = orders, .staging_fd = -1, .root_fd = -1 };
	const struct ix_jail_plan *plan = &orders->plan;
	const char *const *env;
	struct ix_err err = { 0 };
	struct user user;
	sigset_t none;

	umask(022);
	shift_pids(plan->first_pid);
	for (size_t i = 0; i < IX_ARRAY_LEN(steps); i++)
		if (steps[i](&setup, &err) < 0)
			report_and_exit(&err);
	if (jail_user_look_up(plan->user, &user, &err) < 0)
		report_and_exit(&err);
	env = with_home(plan->env, user.home);
	give_pipes(user.uid);
	if (drop_privileges(orders, &user, &err) < 0)
		report_and_exit(&err);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* NOLINT(concurrency-mt-unsafe): the child has one thread */
	_exit(jail_exec(plan->argv, env));
}

/* --- the first process --- */

static int unshare_all(const struct ix_jail_plan *plan, struct ix_err *err)
{
	const char *hostname = plan->hostname ? plan->hostname : "ix";

	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | (plan->no_network ? CLONE_NEWNET : 0)) < 0)
		return ix_err_sys(err, "make namespaces");
	/* The two that older or smaller kernels and surrounding containers may refuse, and a build can do without. */
	if (unshare(CLONE_NEWCGROUP) < 0)
		ix_trace("sandbox", "no cgroup namespace, ignoring");
	if (unshare(CLONE_NEWUTS) < 0)
		ix_trace("sandbox", "no host name of its own, ignoring");
	else if (sethostname(hostname, strlen(hostname)) < 0)
		return ix_err_sys(err, "host name '%s'", hostname);
	shift_clock(plan->boot_offset_s);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return ix_err_sys(err, "make mounts private");
	return 0;
}

static int wait_for_second(pid_t pid, const sigset_t *signals)
{
	int status, signal_number;

	while (waitpid(pid, &status, WNOHANG) != pid)
		if (sigwait(signals, &signal_number) == 0 && signal_number == SIGTERM)
			kill(pid, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int read_orders(struct ix_jail_orders *orders, struct ix_buf *bytes, struct ix_err *err)
{
	*bytes = IX_BUF_INIT(IX_JAIL_PLAN_MAX);
	if (ix_buf_read_fd(bytes, IX_JAIL_FD_PLAN, err) < 0)
		return ix_err_wrap(err, "the sandbox's plan");
	return ix_jail_orders_decode(bytes, orders, err);
}

int ix_jail_main(int argc, char **argv)
{
	struct ix_jail_orders orders;
	struct ix_err err = { 0 };
	struct ix_buf bytes;
	sigset_t blocked;
	int alive[2];
	pid_t pid;

	(void)argv;
	/* Started by hand there is nobody to report to. */
	if (argc != 2 || fcntl(IX_JAIL_FD_REPORT, F_GETFD) < 0) {
		dprintf(STDERR_FILENO, "ix-jail: it is for ix itself\n");
		return 2;
	}
	/* From here on nothing but 0, 1 and 2 survives an exec. */
	if (close_range(IX_JAIL_FD_PLAN, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
		ix_err_sys(&err, "close_range");
		report_and_exit(&err);
	}
	if (read_orders(&orders, &bytes, &err) < 0)
		report_and_exit(&err);
	/* SIGTERM and not SIGKILL: the second process is to be dead before we are. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != orders.parent)
		_exit(FAILED);
	if (unshare_all(&orders.plan, &err) < 0)
		report_and_exit(&err);
	sigfillset(&blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL); /* NOLINT(concurrency-mt-unsafe): the child has one thread */
	pid = pipe2(alive, O_CLOEXEC) < 0 ? -1 : fork();
	if (pid < 0) {
		ix_err_sys(&err, "fork");
		report_and_exit(&err);
	}
	if (pid == 0) {
		close(alive[1]);
		die_with_first(alive[0]);
		second_process(&orders);
	}
	/* _exit: after unshare(CLONE_NEWPID) no thread can be made any more, and exit handlers of debugging tools want one. */
	_exit(wait_for_second(pid, &blocked));
}
