#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "sandbox_int.h"

enum { PLAN_MAX = 16 << 20, MOUNTS_MAX = 10000 };

static void tell_result(int fd, const struct result *result)
{
	/* One write below PIPE_BUF is atomic. When the parent is gone there is nobody to tell. */
	_Static_assert(sizeof(*result) <= 4096, "a result fits one atomic write");
	if (write(fd, result, sizeof(*result)) < 0)
		_exit(1);
}

static ix_noreturn void fail(int fd, const struct ix_err *err)
{
	struct result result = { .kind = RESULT_ERROR, .err = *err };

	tell_result(fd, &result);
	_exit(1);
}

/* --- reading the plan --- */

static int read_plan(int fd, struct child_plan *plan, struct ix_buf *bytes, struct ix_err *err)
{
	struct wire wire;
	int64_t n;

	if (lseek(fd, 0, SEEK_SET) < 0 || ix_buf_read_fd(bytes, fd, err) < 0)
		return ix_err_set(err, IX_EFAIL, "cannot read the plan");
	wire = (struct wire){ bytes->data, bytes->len, false };
	plan->result_fd = (int)wire_int(&wire);
	plan->root_fd = (int)wire_int(&wire);
	plan->filter_fd = (int)wire_int(&wire);
	plan->resolv_fd = (int)wire_int(&wire);
	plan->no_network = wire_int(&wire) != 0;
	plan->insecure = wire_int(&wire) != 0;
	plan->interactive = wire_int(&wire) != 0;
	plan->cwd = wire_text(&wire);
	plan->user = wire_text(&wire);
	plan->hostname = wire_text(&wire);
	plan->hosts = wire_text(&wire);
	plan->argv = wire_list(&wire);
	plan->env = wire_list(&wire);
	n = wire_int(&wire);
	if (wire.bad || n < 0 || n > MOUNTS_MAX)
		return ix_err_set(err, IX_EFAIL, "the plan is damaged");
	plan->mounts = ix_calloc((size_t)n, sizeof(*plan->mounts));
	plan->nmounts = (size_t)n;
	for (size_t i = 0; i < plan->nmounts; i++) {
		plan->mounts[i].kind = (enum ix_sandbox_mount_kind)wire_int(&wire);
		plan->mounts[i].fd = (int)wire_int(&wire);
		plan->mounts[i].read_only = wire_int(&wire) != 0;
		plan->mounts[i].size = (uint64_t)wire_int(&wire);
		plan->mounts[i].mode = (uint32_t)wire_int(&wire);
		plan->mounts[i].subpath = wire_text(&wire);
		plan->mounts[i].target = wire_text(&wire);
	}
	return wire.bad ? ix_err_set(err, IX_EFAIL, "the plan is damaged") : 0;
}

/* --- pid 1 of the sandbox --- */

static int loopback_up(struct ix_err *err)
{
	ix_auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return ix_err_sys(err, "bring up the loopback interface");
	return 0;
}

static int become(const struct child_plan *plan, const struct identity *who, struct ix_err *err)
{
	/* The filter while we still may, then everything that root may and the command may not. */
	if (!plan->insecure && filter_load(plan->filter_fd, err) < 0)
		return -(int)err->code;
	if (child_caps(plan, err) < 0)
		return -(int)err->code;
	/* With a single mapped id the kernel refuses setgroups altogether: then there is nothing to set. */
	if (setgroups(who->ngroups, who->groups) < 0 && (who->ngroups > 0 || errno != EPERM))
		return ix_err_sys(err, "set groups");
	if (setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, who->uid) < 0)
		return ix_err_sys(err, "become user %u:%u", who->uid, who->gid);
	return 0;
}

static const char *env_value(const char *const *env, const char *key)
{
	size_t len = strlen(key);

	for (; *env; env++)
		if (strncmp(*env, key, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* execvpe(3) with the plan's PATH instead of ours. Returns with errno. */
static void execute(const struct child_plan *plan, const char *const *env)
{
	const char *path = env_value(env, "PATH");
	int error = ENOENT;

	if (strchr(plan->argv[0], '/')) {
		execve(plan->argv[0], (char *const *)(uintptr_t)plan->argv, (char *const *)(uintptr_t)env);
		return;
	}
	if (!path)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path) {
		size_t n = strcspn(path, ":");
		ix_auto_free char *file = ix_asprintf("%.*s/%s", (int)n, n ? path : ".", plan->argv[0]);

		execve(file, (char *const *)(uintptr_t)plan->argv, (char *const *)(uintptr_t)env);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
		path += n + (path[n] == ':');
	}
	errno = error;
}

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int prepare(const struct child_plan *plan, struct identity *who, struct ix_err *err)
{
	if (plan->no_network && loopback_up(err) < 0)
		return -(int)err->code;
	if (child_mounts(plan, err) < 0)
		return -(int)err->code;
	if (sethostname(plan->hostname, strlen(plan->hostname)) < 0)
		return ix_err_sys(err, "set host name");
	if (users_lookup(plan->user, who, err) < 0)
		return -(int)err->code;
	if (!ix_path_exists(AT_FDCWD, plan->cwd) && ix_mkdir_p(AT_FDCWD, plan->cwd, 0755, err) < 0)
		return ix_err_wrap(err, "working directory");
	if (!plan->interactive && setsid() < 0)
		return ix_err_sys(err, "new session");
	raise_limits();
	umask(022);
	if (become(plan, who, err) < 0)
		return -(int)err->code;
	/* As the user: a directory the user may not enter is one the command may not start in. */
	if (chdir(plan->cwd) < 0)
		return ix_err_sys(err, "working directory %s", plan->cwd);
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
}

static ix_noreturn void first_process(const struct child_plan *plan, int go)
{
	struct ix_err err;
	struct identity who;
	ix_auto_strv env = { 0 };
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (read(go, &byte, 1) != 1)
		_exit(1); /* the process above died before its death could be signalled */
	if (prepare(plan, &who, &err) < 0)
		fail(plan->result_fd, &err);
	for (const char **pair = plan->env; *pair; pair++)
		ix_strv_add(&env, *pair);
	if (!ix_env_get(&env, "HOME"))
		ix_env_set(&env, "HOME", who.home[0] ? who.home : "/");
	/* Changing the user cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	reset_signals();
	execute(plan, (const char *const *)env.items);
	fprintf(stderr, "%s: %s\n", plan->argv[0],
		errno == ENOENT ? (strchr(plan->argv[0], '/') ? "no such file or directory" : "command not found") : strerrordesc_np(errno));
	_exit(errno == ENOENT || errno == ENOTDIR ? 127 : 126);
}

/* --- the process above: outside the pid namespace, alive as long as the command --- */

static volatile pid_t first_pid;

/* Killing pid 1 kills everything in its namespace, whatever users they became. */
static void on_terminate(int sig)
{
	(void)sig;
	if (first_pid > 0)
		kill(first_pid, SIGKILL);
}

static int unshare_all(const struct child_plan *plan, struct ix_err *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | (plan->no_network ? CLONE_NEWNET : 0);

	if (unshare(flags) < 0)
		return ix_err_sys(err, "unshare namespaces");
	if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL && errno != EPERM && errno != ENOSYS)
		return ix_err_sys(err, "unshare cgroup namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return ix_err_sys(err, "make mounts private");
	return 0;
}

static int supervise(struct child_plan *plan, struct ix_err *err)
{
	struct sigaction action = { .sa_handler = on_terminate };
	struct result result = { .kind = RESULT_STATUS };
	char byte = 0;
	int go[2];
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	sigaction(SIGTERM, &action, NULL);
	if (plan->interactive) {
		/* The terminal sends these to the whole foreground group: they are the command's business. */
		(void)signal(SIGINT, SIG_IGN);
		(void)signal(SIGQUIT, SIG_IGN);
	}
	if (unshare_all(plan, err) < 0)
		return -(int)err->code;
	if (pipe2(go, O_CLOEXEC) < 0)
		return ix_err_sys(err, "pipe");
	pid = fork();
	if (pid < 0)
		return ix_err_sys(err, "fork");
	if (pid == 0) {
		close(go[1]);
		first_process(plan, go[0]);
	}
	first_pid = pid;
	if (write(go[1], &byte, 1) != 1)
		kill(pid, SIGKILL);
	while (waitpid(pid, &result.status, 0) < 0)
		if (errno != EINTR)
			return ix_err_sys(err, "wait");
	tell_result(plan->result_fd, &result);
	return 0;
}

int ix_sandbox_child_main(int argc, char **argv)
{
	struct child_plan plan = { .result_fd = -1 };
	ix_auto_buf bytes = IX_BUF_INIT(PLAN_MAX);
	uint64_t plan_fd;
	struct ix_err err;

	if (argc != 3 || !ix_parse_u64(argv[2], 1 << 20, &plan_fd))
		return 2;
	if (read_plan((int)plan_fd, &plan, &bytes, &err) < 0)
		return 2;
	close((int)plan_fd);
	/* They were inherited on purpose; the command must not have them. */
	(void)fcntl(plan.result_fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(plan.root_fd, F_SETFD, FD_CLOEXEC);
	if (plan.filter_fd >= 0)
		(void)fcntl(plan.filter_fd, F_SETFD, FD_CLOEXEC);
	if (plan.resolv_fd >= 0)
		(void)fcntl(plan.resolv_fd, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < plan.nmounts; i++)
		if (plan.mounts[i].fd >= 0)
			(void)fcntl(plan.mounts[i].fd, F_SETFD, FD_CLOEXEC);
	if (supervise(&plan, &err) < 0)
		fail(plan.result_fd, &err);
	_exit(0);
}
