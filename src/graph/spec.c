#include "base/alloc.h"
#include "graph/graph.h"

char *ix_run_host_text(const struct ix_run_host *host)
{
	return ix_asprintf("%s:%s", host->name, host->address);
}

static char *limit_value(uint64_t value)
{
	return value == UINT64_MAX ? ix_strdup("unlimited") : ix_asprintf("%llu", (unsigned long long)value);
}

char *ix_run_limit_text(const struct ix_run_limit *limit)
{
	ix_auto_free char *soft = limit_value(limit->soft);
	ix_auto_free char *hard = limit_value(limit->hard);

	return ix_asprintf("%s=%s:%s", limit->name, soft, hard);
}
