#include "base/trace.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

static const char *topics;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_topics(void)
{
	topics = getenv("IX_TRACE");
}

bool ix_trace_on(const char *topic)
{
	size_t len = strlen(topic);

	pthread_once(&once, read_topics);
	for (const char *at = topics; at && *at;) {
		size_t n = strcspn(at, ",");

		if ((n == len && memcmp(at, topic, n) == 0) || (n == 3 && memcmp(at, "all", 3) == 0))
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

void ix_trace(const char *topic, const char *fmt, ...)
{
	ix_auto_buf line = { 0 };
	va_list args;

	if (!ix_trace_on(topic))
		return;
	ix_buf_printf(&line, "ix[%s] %llu: ", topic, (unsigned long long)ix_now_ms());
	va_start(args, fmt);
	ix_buf_vprintf(&line, fmt, args);
	va_end(args);
	ix_buf_putc(&line, '\n');
	fputs(ix_buf_str(&line), stderr);
}
