#include "base/cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

struct ix_cancel {
	atomic_bool raised;
	int fd;
};

struct ix_cancel *ix_cancel_new(void)
{
	struct ix_cancel *cancel = ix_calloc(1, sizeof(*cancel));

	cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (cancel->fd < 0)
		ix_bug("eventfd failed");
	return cancel;
}

void ix_cancel_free(struct ix_cancel *cancel)
{
	if (!cancel)
		return;
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
	return cancel && atomic_load(&cancel->raised);
}

int ix_cancel_fd(const struct ix_cancel *cancel)
{
	return cancel ? cancel->fd : -1;
}

int ix_cancel_check(const struct ix_cancel *cancel, struct ix_err *err)
{
	return ix_cancel_raised(cancel) ? ix_err_set(err, IX_ECANCELED, "canceled") : 0;
}

int ix_cancel_sleep(const struct ix_cancel *cancel, uint64_t ms, struct ix_err *err)
{
	uint64_t end = ix_now_ms() + ms;

	for (;;) {
		struct pollfd fd = { .fd = ix_cancel_fd(cancel), .events = POLLIN };
		uint64_t now = ix_now_ms();

		if (ix_cancel_check(cancel, err) < 0)
			return -(int)err->code;
		if (now >= end)
			return 0;
		if (poll(&fd, 1, end - now > 60000 ? 60000 : (int)(end - now)) < 0 && errno != EINTR)
			return ix_err_sys(err, "poll");
	}
}
