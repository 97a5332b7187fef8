#include "sandbox/userns_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "sandbox/idmap_int.h"

static int made = -1;

/* Stays only until the descriptor of its namespace is open. */
static ix_noreturn void maker_main(int talk)
{
	int error = unshare(CLONE_NEWUSER) < 0 ? errno : 0;

	if (write(talk, &error, sizeof(error)) == (ssize_t)sizeof(error))
		(void)!read(talk, &error, 1);
	_exit(0);
}

static int map_and_open(pid_t maker, int talk, int *ret_fd, struct ix_err *err)
{
	struct id_map maps[2];
	char path[64];
	int error = 0;

	if (read(talk, &error, sizeof(error)) != (ssize_t)sizeof(error))
		return ix_err_set(err, IX_EFAIL, "the process that makes it died");
	errno = error;
	if (error)
		return ix_err_sys(err, "unshare");
	if (!sandbox_idmap_same(maps))
		return ix_err_set(err, IX_EFAIL, "the map of ids cannot be read");
	int r = sandbox_idmap_write(maker, &maps[0], &maps[1], true, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)maker);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? ix_err_sys(err, "open %s", path) : 0;
}

int sandbox_userns_make(struct ix_err *err)
{
	int talk[2], r;
	pid_t pid;

	if (made >= 0)
		return 0;
	if (ix_fault("sandbox.userns") || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) < 0)
		return ix_err_sys(err, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(talk[0]);
		maker_main(talk[1]);
	}
	close(talk[1]);
	r = pid < 0 ? ix_err_sys(err, "fork") : map_and_open(pid, talk[0], &made, err);
	close(talk[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

int sandbox_userns_fd(void)
{
	return made;
}
