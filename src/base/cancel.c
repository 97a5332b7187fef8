#include "base/cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

struct ix_cancel {
	atomic_bool raised;
	int fd;       /* written to when it is raised */
	int watch_fd; /* an epoll of fd and the parent's, -1 without a parent */
	const struct ix_cancel *parent;
};

struct ix_cancel *ix_cancel_new(void)
{
	struct ix_cancel *cancel = ix_calloc(1, sizeof(*cancel));

	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cancel->fd < 0)
		ix_bug("eventfd failed");
	cancel->watch_fd = -1;
	return cancel;
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		ix_bug("epoll_ctl failed");
}

struct ix_cancel *ix_cancel_new_below(const struct ix_cancel *parent)
{
	struct ix_cancel *cancel = ix_cancel_new();

	if (!parent)
		return cancel;
	cancel->parent = parent;
	cancel->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (cancel->watch_fd < 0)
		ix_bug("epoll_create1 failed");
	watch(cancel->watch_fd, cancel->fd);
	watch(cancel->watch_fd, ix_cancel_fd(parent));
	return cancel;
}

void ix_cancel_free(struct ix_cancel *cancel)
{
	if (!cancel)
		return;
	if (cancel->watch_fd >= 0)
		close(cancel->watch_fd);
	close(cancel->fd);
	free(cancel);
}

void ix_cancel_raise(struct ix_cancel *cancel)
{
	const uint64_t one = 1;

	atomic_store(&cancel->raised, true);
	if (write(cancel->fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable already */
}

bool ix_cancel_raised(const struct ix_cancel *cancel)
{
	for (; cancel; cancel = cancel->parent)
		if (atomic_load(&cancel->raised))
			return true;
	return false;
}

int ix_cancel_fd(const struct ix_cancel *cancel)
{
	if (!cancel)
		return -1;
	return cancel->watch_fd >= 0 ? cancel->watch_fd : cancel->fd;
}

int ix_cancel_check(const struct ix_cancel *cancel, struct ix_err *err)
{
	return ix_cancel_raised(cancel) ? ix_err_set(err, IX_ECANCELED, "canceled") : 0;
}

int ix_cancel_sleep(const struct ix_cancel *cancel, uint64_t ms, struct ix_err *err)
{
	uint64_t end = ix_now_ms() + ms;
	int r;

	for (;;) {
		struct pollfd fd = { .fd = ix_cancel_fd(cancel), .events = POLLIN };
		uint64_t now = ix_now_ms();

		r = ix_cancel_check(cancel, err);
		if (r < 0)
			return r;
		if (now >= end)
			return 0;
		if (poll(&fd, 1, end - now > 60000 ? 60000 : (int)(end - now)) < 0 && errno != EINTR)
			return ix_err_sys(err, "poll");
	}
}
