#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/scope.h"
#include "jail/jail.h"
#include "sandbox/sandbox.h"
#include "sandbox/seccomp_int.h"
#include "sandbox/self_int.h"
#include "sandbox/userns_int.h"

static int check_plan(const struct ix_jail_plan *plan, struct ix_err *err)
{
	if (!plan->argv || !plan->argv[0] || !plan->env || plan->root_fd < 0 || plan->stdout_fd < 0 || plan->stderr_fd < 0)
		ix_bug("incomplete sandbox plan");
	if (!plan->cwd || plan->cwd[0] != '/')
		return ix_err_set(err, IX_EARG, "working directory '%s' is not absolute", plan->cwd ? plan->cwd : "");
	if (plan->nmounts > IX_JAIL_MOUNTS_MAX)
		return ix_err_set(err, IX_ELIMIT, "%zu mounts in one step: %d at most", plan->nmounts, IX_JAIL_MOUNTS_MAX);
	for (size_t i = 0; i < plan->nmounts; i++) {
		ix_auto_free char *target = ix_path_clean(plan->mounts[i].target);

		if (target[0] != '/' || target[1] == '\0')
			return ix_err_set(err, IX_EARG, "mount target '%s' must be an absolute path below /", plan->mounts[i].target);
	}
	return 0;
}

/* --- mount points --- */

static const char *const own_mounts[] = { "/proc", "/sys", "/dev" };

/* Hidden by something mounted before it: the child makes it in there. A guess by name; a wrong one only costs a stub made twice. */
static bool is_covered(const struct ix_jail_plan *plan, size_t index, const char *target)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(own_mounts); i++)
		if (ix_path_within(own_mounts[i], target))
			return true;
	for (size_t i = 0; i < index; i++) {
		ix_auto_free char *earlier = ix_path_clean(plan->mounts[i].target);

		if (ix_path_within(earlier, target))
			return true;
	}
	return false;
}

static int source_is_dir(const struct ix_jail_mount *mount, bool *ret_is_dir, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	struct stat st;

	*ret_is_dir = true;
	if (mount->kind == IX_JAIL_TMPFS)
		return 0;
	if (mount->kind == IX_JAIL_BIND) {
		if (stat(mount->source, &st) < 0)
			return ix_err_sys(err, "mount on %s: %s", mount->target, mount->source);
	} else {
		fd = ix_open_in_root(mount->tree_fd, mount->subpath ? mount->subpath : "", O_PATH, err);
		if (fd < 0)
			return ix_err_wrap(err, "mount on %s", mount->target);
		if (fstat(fd, &st) < 0)
			return ix_err_sys(err, "mount on %s", mount->target);
	}
	*ret_is_dir = S_ISDIR(st.st_mode);
	return 0;
}

static int make_point(const struct ix_jail_plan *plan, const char *target, bool is_dir, struct ix_stubs *stubs, struct ix_err *err)
{
	ix_auto_close int fd = -1;

	return ix_mountpoint_open(plan->root_fd, target, is_dir, stubs, &fd, err);
}

static int make_points(const struct ix_jail_plan *plan, struct ix_stubs *stubs, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < IX_ARRAY_LEN(own_mounts); i++)
		if ((r = make_point(plan, own_mounts[i], true, stubs, err)) < 0)
			return r;
	if (plan->hosts_file && (r = make_point(plan, "/etc/hosts", false, stubs, err)) < 0)
		return r;
	if (plan->resolv_file && (r = make_point(plan, "/etc/resolv.conf", false, stubs, err)) < 0)
		return r;
	for (size_t i = 0; i < plan->nmounts; i++) {
		ix_auto_free char *target = ix_path_clean(plan->mounts[i].target);
		bool is_dir;

		r = source_is_dir(&plan->mounts[i], &is_dir, err);
		if (r < 0)
			return r;
		if (!is_covered(plan, i, target) && (r = make_point(plan, plan->mounts[i].target, is_dir, stubs, err)) < 0)
			return r;
	}
	return 0;
}

/* --- descriptors --- */

/* Copies of everything the child gets, above every number it wants them at, so that no dup2 hits another one's source. */
struct handover {
	int *fds; /* by the child's number; -1: none */
	int count;
	int above;
};

static void handover_release(struct handover *handover)
{
	for (int i = 0; i < handover->count; i++)
		ix_closep(&handover->fds[i]);
	free(handover->fds);
}

static int hand_over(struct handover *handover, int fd, struct ix_err *err)
{
	int copy = -1;

	if (fd >= 0) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, handover->above);
		if (copy < 0)
			return ix_err_sys(err, "duplicate a descriptor");
	}
	handover->fds[handover->count++] = copy;
	return 0;
}

static int hand_over_all(struct handover *handover, const struct ix_jail_plan *plan, int plan_fd, int report_fd, struct ix_err *err)
{
	int fixed[] = { plan->stdin_fd, plan->stdout_fd, plan->stderr_fd, plan_fd, report_fd, plan->root_fd, sandbox_userns_fd(), -1 };

	_Static_assert(IX_ARRAY_LEN(fixed) == IX_JAIL_FD_TREES, "descriptors up to the trees");
	int r = sandbox_self(&fixed[IX_JAIL_FD_SELF], err);
	if (r < 0)
		return r;
	handover->above = IX_JAIL_FD_TREES + (int)plan->nmounts;
	handover->fds = ix_calloc((size_t)handover->above, sizeof(int));
	for (size_t i = 0; i < IX_ARRAY_LEN(fixed); i++)
		if ((r = hand_over(handover, fixed[i], err)) < 0)
			return r;
	for (size_t i = 0; i < plan->nmounts; i++)
		if (plan->mounts[i].kind == IX_JAIL_OVERLAY && (r = hand_over(handover, plan->mounts[i].tree_fd, err)) < 0)
			return r;
	return 0;
}

static enum ix_confinement confinement(const struct ix_jail_plan *plan)
{
	if (plan->insecure || ix_sandbox_rootless())
		return IX_CONFINE_NOTHING;
	return sandbox_userns_fd() >= 0 ? IX_CONFINE_USERNS : IX_CONFINE_CAPS;
}

static int write_orders(const struct ix_jail_plan *plan, int *ret_fd, struct ix_err *err)
{
	struct ix_jail_orders orders = { .plan = *plan, .parent = getpid(), .confinement = confinement(plan) };
	ix_auto_buf bytes = IX_BUF_INIT(0);
	ix_auto_close int fd = memfd_create("ix-plan", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return ix_err_sys(err, "memfd_create");
	if (!plan->insecure && (r = sandbox_filter(&orders.filter, &orders.filter_len, err)) < 0)
		return r;
	if ((r = ix_jail_orders_encode(&orders, &bytes, err)) < 0 || (r = ix_write_all(fd, bytes.data, bytes.len, err)) < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "lseek");
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

/* --- the child --- */

static int spawn(const struct handover *handover, bool new_session, pid_t *ret_pid, struct ix_err *err)
{
	static const char *const argv[] = { "ix-jail", "--sandbox-child", NULL };
	ix_auto_free char *self = ix_asprintf("/proc/self/fd/%d", IX_JAIL_FD_SELF);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (new_session ? POSIX_SPAWN_SETSID : 0)));
	for (int i = 0; i < handover->count; i++) {
		if (handover->fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, handover->fds[i], i);
		else
			posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDONLY, 0);
	}
	/* ix itself may have been started with descriptors that are not close-on-exec, such as make's. */
	posix_spawn_file_actions_addclosefrom_np(&actions, handover->count);
	r = posix_spawn(ret_pid, self, &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	errno = r;
	return r ? ix_err_sys(err, "start the sandbox") : 0;
}

/* SIGTERM, not SIGKILL: the child kills the command and is gone only when everything in the pid namespace is. */
static int wait_for_end(pid_t pid, const struct ix_cancel *cancel, bool *ret_canceled, int *ret_status, struct ix_err *err)
{
	ix_auto_close int pidfd = pidfd_open(pid, 0);
	struct pollfd fds[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = ix_cancel_fd(cancel), .events = POLLIN } };
	bool canceled = false;
	int r = 0;

	if (pidfd < 0) {
		r = ix_err_sys(err, "pidfd_open");
		kill(pid, SIGTERM);
	}
	while (r == 0) {
		if (!canceled && ix_cancel_raised(cancel)) {
			canceled = true;
			fds[1].fd = -1;
			kill(pid, SIGTERM);
		}
		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			r = ix_err_sys(err, "poll");
			kill(pid, SIGTERM);
		}
		if (fds[0].revents)
			break;
	}
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	*ret_canceled = canceled;
	return r;
}

/* The child's own failure, if it reported one. */
static int read_report(int fd, struct ix_err *err)
{
	struct ix_err said;
	ssize_t n = read(fd, &said, sizeof(said));

	if (n != (ssize_t)sizeof(said) || said.code == IX_OK)
		return 0;
	said.msg[sizeof(said.msg) - 1] = said.detail[sizeof(said.detail) - 1] = '\0';
	*err = said;
	return said.code == IX_EARG ? -IX_EARG : ix_err_wrap(err, "sandbox");
}

static int run_child(const struct ix_jail_plan *plan, const struct ix_cancel *cancel, int *ret_status, struct ix_err *err)
{
	ix_scoped(handover_release) struct handover handover = { 0 };
	ix_auto_close int plan_fd = -1;
	ix_auto_close int report_read = -1;
	ix_auto_close int report_write = -1;
	int report[2], status;
	bool canceled;
	pid_t pid;
	int r;

	/* Nobody may ever block on the report: it is read when its writers are gone. */
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
		return ix_err_sys(err, "pipe");
	report_read = report[0];
	report_write = report[1];
	if ((r = write_orders(plan, &plan_fd, err)) < 0 || (r = hand_over_all(&handover, plan, plan_fd, report_write, err)) < 0)
		return r;
	if ((r = spawn(&handover, !plan->interactive, &pid, err)) < 0 || (r = wait_for_end(pid, cancel, &canceled, &status, err)) < 0)
		return r;
	if (canceled)
		return ix_err_set(err, IX_ECANCELED, "canceled");
	r = read_report(report_read, err);
	if (r < 0)
		return r;
	if (!WIFEXITED(status))
		return ix_err_set(err, IX_EFAIL, "the sandbox was killed by signal %d", WTERMSIG(status));
	*ret_status = WEXITSTATUS(status);
	return 0;
}

int ix_sandbox_run(const struct ix_jail_plan *plan, const struct ix_cancel *cancel, int *ret_status, struct ix_err *err)
{
	ix_auto_stubs stubs = { 0 };
	struct ix_err ignored;
	int r, removed, status = 0;

	if ((r = check_plan(plan, err)) < 0 || (r = ix_cancel_check(cancel, err)) < 0)
		return r;
	r = make_points(plan, &stubs, err);
	if (r == 0)
		r = run_child(plan, cancel, &status, err);
	removed = ix_stubs_remove(plan->root_fd, &stubs, r < 0 ? &ignored : err);
	if (r < 0 || removed < 0)
		return r < 0 ? r : removed;
	*ret_status = status;
	return 0;
}
