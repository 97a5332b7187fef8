#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "sandbox_int.h"

/* A run in the making: the plan's mounts as open trees. */
struct launch {
	const struct ix_sandbox_plan *plan;
	struct mountpoints points;
	int *trees;      /* one for each mount; -1: none of ours */
	int resolv_fd;
	int plan_fd;
	int result_read, result_write;
	int filter_fd;
};

static void launch_release(struct launch *self)
{
	mountpoints_release(&self->points);
	for (size_t i = 0; self->trees && i < self->plan->nmounts; i++)
		ix_closep(&self->trees[i]);
	free(self->trees);
	ix_closep(&self->resolv_fd);
	ix_closep(&self->plan_fd);
	ix_closep(&self->result_read);
	ix_closep(&self->result_write);
}

/* Binds are opened here, where their paths mean what the caller meant. *ret_is_dir: what the mount point has to be. */
static int open_mount(struct launch *self, size_t i, bool *ret_is_dir, struct ix_err *err)
{
	const struct ix_sandbox_mount *mount = &self->plan->mounts[i];
	ix_auto_close int part = -1;
	struct stat st;

	*ret_is_dir = true;
	if (mount->kind == IX_SANDBOX_TMPFS)
		return 0;
	if (mount->kind == IX_SANDBOX_BIND) {
		if (ix_bind_open(mount->source, mount->read_only, &self->trees[i], err) < 0)
			return -(int)err->code;
		if (fstat(self->trees[i], &st) < 0)
			return ix_err_sys(err, "stat %s", mount->source);
	} else {
		part = ix_open_in_root(mount->tree_fd, mount->subpath ? mount->subpath : "", O_PATH, err);
		if (part < 0)
			return ix_err_wrap(err, "mount source for %s", mount->target);
		if (fstat(part, &st) < 0)
			return ix_err_sys(err, "stat %s", mount->subpath);
	}
	*ret_is_dir = S_ISDIR(st.st_mode);
	return 0;
}

/* Inside another mount of the plan the point belongs to that mount, not to the root. */
static bool below_made_mount(const struct ix_sandbox_plan *plan, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(plan->mounts[j].target, plan->mounts[i].target) != 0 && ix_path_within(plan->mounts[j].target, plan->mounts[i].target))
			return true;
	return false;
}

static int make_points(struct launch *self, struct ix_err *err)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev" };
	const struct ix_sandbox_plan *plan = self->plan;
	bool is_dir;

	for (size_t i = 0; i < IX_ARRAY_LEN(dirs); i++)
		if (mountpoint_ensure(&self->points, plan->root_fd, dirs[i], true, err) < 0)
			return -(int)err->code;
	if (plan->resolv_file && (ix_bind_open(plan->resolv_file, true, &self->resolv_fd, err) < 0 ||
				  mountpoint_ensure(&self->points, plan->root_fd, "/etc/resolv.conf", false, err) < 0))
		return -(int)err->code;
	if (plan->hosts_file && mountpoint_ensure(&self->points, plan->root_fd, "/etc/hosts", false, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < plan->nmounts; i++)
		if (open_mount(self, i, &is_dir, err) < 0 ||
		    (!below_made_mount(plan, i) && mountpoint_ensure(&self->points, plan->root_fd, plan->mounts[i].target, is_dir, err) < 0))
			return -(int)err->code;
	return 0;
}

static int write_plan(struct launch *self, struct ix_err *err)
{
	const struct ix_sandbox_plan *plan = self->plan;
	ix_auto_buf buf = { 0 };

	wire_put_int(&buf, self->result_write);
	wire_put_int(&buf, plan->root_fd);
	wire_put_int(&buf, self->filter_fd);
	wire_put_int(&buf, self->resolv_fd);
	wire_put_int(&buf, plan->no_network);
	wire_put_int(&buf, plan->insecure);
	wire_put_int(&buf, plan->interactive);
	wire_put_text(&buf, plan->cwd);
	wire_put_text(&buf, plan->user);
	wire_put_text(&buf, plan->hostname ? plan->hostname : "ix");
	wire_put_text(&buf, plan->hosts_file);
	wire_put_list(&buf, plan->argv);
	wire_put_list(&buf, plan->env);
	wire_put_int(&buf, (int64_t)plan->nmounts);
	for (size_t i = 0; i < plan->nmounts; i++) {
		const struct ix_sandbox_mount *mount = &plan->mounts[i];

		wire_put_int(&buf, mount->kind);
		wire_put_int(&buf, mount->kind == IX_SANDBOX_OVERLAY ? mount->tree_fd : self->trees[i]);
		wire_put_int(&buf, mount->read_only);
		wire_put_int(&buf, (int64_t)mount->size);
		wire_put_int(&buf, mount->mode);
		wire_put_text(&buf, mount->subpath ? mount->subpath : "");
		wire_put_text(&buf, mount->target);
	}
	self->plan_fd = memfd_create("ix-plan", MFD_CLOEXEC);
	if (self->plan_fd < 0)
		return ix_err_sys(err, "memfd_create");
	return ix_write_all(self->plan_fd, buf.data, buf.len, err);
}

/* dup2 of a descriptor onto itself is posix_spawn's way to let it be inherited. */
static void inherit(posix_spawn_file_actions_t *actions, int fd)
{
	if (fd >= 0)
		posix_spawn_file_actions_adddup2(actions, fd, fd);
}

static int spawn(struct launch *self, pid_t *ret_pid, struct ix_err *err)
{
	const struct ix_sandbox_plan *plan = self->plan;
	posix_spawn_file_actions_t actions;
	char number[16];
	const char *argv[] = { "ix", "--sandbox-child", number, NULL };
	const char *env[] = { NULL };
	int r;

	snprintf(number, sizeof(number), "%d", self->plan_fd);
	posix_spawn_file_actions_init(&actions);
	inherit(&actions, self->plan_fd);
	inherit(&actions, self->result_write);
	inherit(&actions, plan->root_fd);
	inherit(&actions, self->filter_fd);
	inherit(&actions, self->resolv_fd);
	for (size_t i = 0; i < plan->nmounts; i++)
		inherit(&actions, plan->mounts[i].kind == IX_SANDBOX_OVERLAY ? plan->mounts[i].tree_fd : self->trees[i]);
	if (plan->stdin_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, plan->stdin_fd, 0);
	else
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, plan->stdout_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, plan->stderr_fd, 2);
	r = posix_spawn(ret_pid, "/proc/self/exe", &actions, NULL, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&actions);
	errno = r;
	return r ? ix_err_sys(err, "start sandbox") : 0;
}

static int read_result(int fd, struct result *result)
{
	ssize_t n;

	do {
		n = read(fd, result, sizeof(*result));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*result) ? 0 : -1;
}

/* Until the child says how it ended, or somebody cancels. SIGTERM makes it kill its namespace's first process. */
static int await(struct launch *self, pid_t pid, const struct ix_cancel *cancel, struct result *result, struct ix_err *err)
{
	struct pollfd fds[2] = { { self->result_read, POLLIN, 0 }, { ix_cancel_fd(cancel), POLLIN, 0 } };
	bool canceled = false;
	int r, status;

	while (poll(fds, canceled || !cancel ? 1 : 2, -1) < 0 || fds[0].revents == 0) {
		if (!canceled && ix_cancel_raised(cancel)) {
			canceled = true;
			kill(pid, SIGTERM);
		}
	}
	r = read_result(self->result_read, result);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (canceled)
		return ix_cancel_check(cancel, err);
	if (r < 0)
		return ix_err_set(err, IX_EFAIL, "the sandbox died without a word (status %d)", status);
	return 0;
}

int ix_sandbox_run(const struct ix_sandbox_plan *plan, const struct ix_cancel *cancel, int *ret_status, struct ix_err *err)
{
	ix_scoped(launch_release) struct launch self = { .plan = plan, .resolv_fd = -1, .plan_fd = -1, .result_read = -1,
							 .result_write = -1, .filter_fd = -1 };
	struct result result = { 0 };
	int ends[2];
	pid_t pid;

	self.trees = ix_calloc(plan->nmounts, sizeof(*self.trees));
	for (size_t i = 0; i < plan->nmounts; i++)
		self.trees[i] = -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return ix_err_sys(err, "pipe");
	self.result_read = ends[0];
	self.result_write = ends[1];
	if ((!plan->insecure && filter_fd(&self.filter_fd, err) < 0) || make_points(&self, err) < 0 || write_plan(&self, err) < 0 ||
	    spawn(&self, &pid, err) < 0)
		return -(int)err->code;
	ix_closep(&self.result_write);
	self.result_write = -1;
	if (await(&self, pid, cancel, &result, err) < 0)
		return -(int)err->code;
	if (result.kind == RESULT_ERROR) {
		*err = result.err;
		return -(int)err->code;
	}
	*ret_status = WIFEXITED(result.status) ? WEXITSTATUS(result.status) : 128 + WTERMSIG(result.status);
	return 0;
}
