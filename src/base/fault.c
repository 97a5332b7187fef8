#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *spec;
static atomic_long passages;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_spec(void)
{
	spec = getenv("IX_FAULT");
}

bool ix_fault(const char *point)
{
	size_t len = strlen(point);
	char *rest;

	pthread_once(&once, read_spec);
	if (!spec || strncmp(spec, point, len) != 0 || spec[len] != ':')
		return false;
	if (atomic_fetch_add(&passages, 1) + 1 != strtol(spec + len + 1, &rest, 10))
		return false;
	if (strcmp(rest, ":kill") == 0)
		raise(SIGKILL);
	errno = EIO;
	return true;
}
