#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"

struct ends {
	int read;
	int write;
};

static void close_ends(struct ends *ends)
{
	ix_closep(&ends->read);
	ix_closep(&ends->write);
}
#define auto_ends ix_scoped(close_ends) struct ends

static int pipe_new(struct ends *ends, struct ix_err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return ix_err_sys(err, "pipe");
	ends->read = fds[0];
	ends->write = fds[1];
	return 0;
}

static void shut(int *fd)
{
	ix_closep(fd);
	*fd = -1;
}

struct talk {
	const struct ix_proc_opts *opts;
	int in, out, errs;
	size_t sent;
};

/* One read into sink; a NULL sink discards. Closes *fd at the end of file. */
static int drain(int *fd, struct ix_buf *sink, struct ix_err *err)
{
	char chunk[8192];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR ? 0 : ix_err_sys(err, "read from child");
	if (n == 0) {
		shut(fd);
		return 0;
	}
	return sink ? ix_buf_append(sink, chunk, (size_t)n, err) : 0;
}

static void feed(struct talk *talk)
{
	ssize_t n = write(talk->in, (const char *)talk->opts->input + talk->sent, talk->opts->input_len - talk->sent);

	if (n < 0 && errno != EINTR && errno != EAGAIN)
		shut(&talk->in); /* the child does not want it */
	else if (n > 0)
		talk->sent += (size_t)n;
	if (talk->in >= 0 && talk->sent == talk->opts->input_len)
		shut(&talk->in);
}

static int converse(struct talk *talk, struct ix_err *err)
{
	uint64_t start = ix_now_ms();
	int r;

	while (talk->in >= 0 || talk->out >= 0 || talk->errs >= 0) {
		struct pollfd fds[4] = { { talk->in, POLLOUT, 0 },
					 { talk->out, POLLIN, 0 },
					 { talk->errs, POLLIN, 0 },
					 { ix_cancel_fd(talk->opts->cancel), POLLIN, 0 } };
		int wait = -1, n;

		if (talk->opts->timeout_ms) {
			uint64_t spent = ix_now_ms() - start;

			wait = spent >= talk->opts->timeout_ms ? 0 : (int)(talk->opts->timeout_ms - spent);
		}
		n = poll(fds, 4, wait);
		if (n < 0 && errno != EINTR)
			return ix_err_sys(err, "poll");
		if (n == 0)
			return ix_err_set(err, IX_EFAIL, "no answer within %u ms", talk->opts->timeout_ms);
		if (n < 0)
			continue;
		r = ix_cancel_check(talk->opts->cancel, err);
		if (r < 0)
			return r;
		if (fds[0].revents)
			feed(talk);
		if (fds[1].revents && (r = drain(&talk->out, talk->opts->output, err)) < 0)
			return r;
		if (fds[2].revents && (r = drain(&talk->errs, talk->opts->errors, err)) < 0)
			return r;
	}
	return 0;
}

static int spawn(const struct ix_proc_opts *opts, int in, int out, int errs, pid_t *ret_pid, struct ix_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, 0);
	else
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	else
		posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (errs >= 0)
		posix_spawn_file_actions_adddup2(&actions, errs, 2);
	r = posix_spawnp(ret_pid, opts->argv[0], &actions, &attr, (char *const *)(uintptr_t)opts->argv,
			 opts->env ? (char *const *)(uintptr_t)opts->env : environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	errno = r;
	return r ? ix_err_lookup(err, "run %s", opts->argv[0]) : 0;
}

int ix_proc_run(const struct ix_proc_opts *opts, int *ret_status, struct ix_err *err)
{
	auto_ends in = { -1, -1 };
	auto_ends out = { -1, -1 };
	auto_ends errs = { -1, -1 };
	struct talk talk = { .opts = opts };
	pid_t pid;
	int r, status;

	if ((opts->input && (r = pipe_new(&in, err)) < 0) || (opts->output && (r = pipe_new(&out, err)) < 0) ||
	    (opts->errors && (r = pipe_new(&errs, err)) < 0))
		return r;
	if (in.write >= 0)
		(void)fcntl(in.write, F_SETFL, O_NONBLOCK);
	r = spawn(opts, in.read, out.write, errs.write, &pid, err);
	if (r < 0)
		return r;
	shut(&in.read);
	shut(&out.write);
	shut(&errs.write);
	talk.in = ix_steal_fd(&in.write);
	talk.out = ix_steal_fd(&out.read);
	talk.errs = ix_steal_fd(&errs.read);
	if (opts->input && opts->input_len == 0)
		shut(&talk.in);
	r = converse(&talk, err);
	shut(&talk.in);
	shut(&talk.out);
	shut(&talk.errs);
	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err->code == IX_ECANCELED ? r : ix_err_wrap(err, "%s", opts->argv[0]);
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}
