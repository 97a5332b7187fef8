#include "agent_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"

/*
 * A socket for a step that leads to an SSH agent of this machine. It is not the agent's own: that one belongs to the user who started it, and a
 * step may run as another. Connections are passed through as they are.
 */
enum { CONNECTIONS_MAX = 64, CHUNK = 16 << 10 };

struct connection {
	int step, agent;
};

struct agent {
	int listen_fd, stop_fd;
	char *target;
	pthread_t thread;
	bool started;
	struct connection open[CONNECTIONS_MAX];
	size_t nopen;
};

static int address(const char *path, struct sockaddr_un *ret_address, struct ix_err *err)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return ix_err_set(err, IX_ELIMIT, "socket %s: the path is too long", path);
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

static void hang_up(struct agent *agent, size_t i)
{
	close(agent->open[i].step);
	close(agent->open[i].agent);
	agent->open[i] = agent->open[--agent->nopen];
}

/* One chunk from one side to the other; false when the connection is over. */
static bool pass(int from, int to)
{
	char chunk[CHUNK];
	struct ix_err ignored;
	ssize_t n = read(from, chunk, sizeof(chunk));

	return n > 0 ? ix_write_all(to, chunk, (size_t)n, &ignored) == 0 : n < 0 && errno == EINTR;
}

static void take_call(struct agent *agent)
{
	int step = accept4(agent->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct sockaddr_un to;
	struct ix_err ignored;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (step >= 0 && fd >= 0 && agent->nopen < CONNECTIONS_MAX && address(agent->target, &to, &ignored) == 0 &&
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
		agent->open[agent->nopen++] = (struct connection){ step, fd };
		return;
	}
	ix_closep(&step);
	ix_closep(&fd);
}

static void *serve(void *data)
{
	struct agent *agent = data;

	for (;;) {
		struct pollfd fds[2 + 2 * CONNECTIONS_MAX] = { { agent->stop_fd, POLLIN, 0 }, { agent->listen_fd, POLLIN, 0 } };
		size_t n = agent->nopen;

		for (size_t i = 0; i < n; i++) {
			fds[2 + 2 * i] = (struct pollfd){ agent->open[i].step, POLLIN, 0 };
			fds[3 + 2 * i] = (struct pollfd){ agent->open[i].agent, POLLIN, 0 };
		}
		if (poll(fds, 2 + 2 * n, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		/* From the last to the first: one that ends is replaced by the last. */
		for (size_t i = n; i-- > 0;)
			if ((fds[2 + 2 * i].revents && !pass(agent->open[i].step, agent->open[i].agent)) ||
			    (fds[3 + 2 * i].revents && !pass(agent->open[i].agent, agent->open[i].step)))
				hang_up(agent, i);
		if (fds[1].revents)
			take_call(agent);
	}
}

static int open_socket(struct agent *agent, const char *path, const struct agent_mode *mode, struct ix_err *err)
{
	struct sockaddr_un here;

	agent->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (agent->listen_fd < 0)
		return ix_err_sys(err, "socket");
	int r = address(path, &here, err);
	if (r < 0)
		return r;
	if (bind(agent->listen_fd, (const struct sockaddr *)&here, sizeof(here)) < 0 || listen(agent->listen_fd, 16) < 0)
		return ix_err_sys(err, "listen on %s", path);
	if (chmod(path, mode->mode) < 0 || chown(path, mode->uid, mode->gid) < 0)
		return ix_err_sys(err, "attributes of %s", path);
	return 0;
}

int agent_start(const char *target, int dir_fd, const char *name, const struct agent_mode *mode, struct agent **ret_agent,
		struct ix_err *err)
{
	ix_auto_free char *path = ix_asprintf("/proc/self/fd/%d/%s", dir_fd, name);
	struct agent *agent = ix_calloc(1, sizeof(*agent));
	int r;

	agent->listen_fd = -1;
	agent->target = ix_strdup(target);
	agent->stop_fd = eventfd(0, EFD_CLOEXEC);
	r = agent->stop_fd < 0 ? ix_err_sys(err, "eventfd") : open_socket(agent, path, mode, err);
	if (r == 0 && pthread_create(&agent->thread, NULL, serve, agent) != 0)
		r = ix_err_set(err, IX_EFAIL, "cannot start a thread");
	agent->started = r == 0;
	if (r < 0)
		agent_stop(agent);
	else
		*ret_agent = agent;
	return r;
}

void agent_stop(struct agent *agent)
{
	const uint64_t one = 1;

	if (!agent)
		return;
	if (agent->started && write(agent->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(agent->thread, NULL);
	while (agent->nopen > 0)
		hang_up(agent, agent->nopen - 1);
	ix_closep(&agent->listen_fd);
	ix_closep(&agent->stop_fd);
	free(agent->target);
	free(agent);
}
