#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/cancel.h"
#include "signals_int.h"

static struct ix_cancel *cancel;
static volatile sig_atomic_t times;

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	if (times++ > 0)
		_exit(130); /* the sandbox's processes die with us */
	ix_cancel_raise(cancel);
	errno = saved;
}

struct ix_cancel *signals_cancel(void)
{
	return cancel;
}

void signals_leave_to_child(void)
{
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
}

void signals_catch(void)
{
	const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	cancel = ix_cancel_new();
	for (size_t i = 0; i < IX_ARRAY_LEN(signals); i++)
		sigaction(signals[i], &action, NULL);
	/* A reader that went away is an error of write(2), not a death. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* A caller that ignores it would have the kernel forget how children ended. */
	(void)signal(SIGCHLD, SIG_DFL);
}

void signals_release(void)
{
	ix_cancel_free(cancel);
	cancel = NULL;
}
