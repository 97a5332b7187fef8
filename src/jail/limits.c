#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "jail/setup_int.h"

static const struct {
	const char *name;
	int resource;
} names[] = {
	{ "as", RLIMIT_AS },           { "core", RLIMIT_CORE },         { "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },       { "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },       { "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME },     { "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

static bool value(const char *text, uint64_t *ret_value)
{
	if (strcmp(text, "-1") == 0 || strcmp(text, "unlimited") == 0) {
		*ret_value = UINT64_MAX;
		return true;
	}
	return ix_parse_u64(text, UINT64_MAX - 1, ret_value);
}

int ix_jail_limit_parse(const char *text, struct ix_jail_limit *ret_limit, struct ix_err *err)
{
	ix_auto_free char *copy = ix_strdup(text);
	char *rest = copy, *name = strsep(&rest, "="), *soft = rest ? strsep(&rest, ":") : NULL, *hard = rest ? rest : soft;
	const char *known[IX_ARRAY_LEN(names)], *near;

	if (!soft || !value(soft, &ret_limit->soft) || !value(hard, &ret_limit->hard))
		return ix_err_set(err, IX_EARG, "limit '%s': write NAME=SOFT[:HARD], as nofile=1024:4096", text);
	if (ret_limit->soft > ret_limit->hard)
		return ix_err_set(err, IX_EARG, "limit '%s': the soft limit is above the hard one", text);
	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
		known[i] = names[i].name;
		ret_limit->resource = names[i].resource;
		if (strcmp(name, names[i].name) == 0)
			return 0;
	}
	near = ix_nearest(name, known, IX_ARRAY_LEN(known));
	return ix_err_set(err, IX_EARG, near ? "limit '%s': unknown resource '%s' (did you mean %s?)" : "limit '%s': unknown resource '%s'",
			  text, name, near);
}

static rlim_t native(uint64_t limit)
{
	return limit == UINT64_MAX ? RLIM_INFINITY : (rlim_t)limit;
}

enum { MIB = 1 << 20 };

/* What a step has whatever limits its builder has: those of docker's engine, but for files of crashed programs, which no layer should hold. */
static const struct {
	int resource;
	uint64_t soft, hard;
} fixed[] = {
	{ RLIMIT_AS, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_CORE, 0, UINT64_MAX },
	{ RLIMIT_CPU, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_DATA, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_FSIZE, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_LOCKS, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_MEMLOCK, 8ULL * MIB, 8ULL * MIB },
	{ RLIMIT_MSGQUEUE, 819200, 819200 },
	{ RLIMIT_NICE, 0, 0 },
	/* Some old programs close every possible descriptor at start: a limit of a thousand million would hang them. */
	{ RLIMIT_NOFILE, MIB, MIB },
	{ RLIMIT_NPROC, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_RSS, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_RTPRIO, 0, 0 },
	{ RLIMIT_RTTIME, UINT64_MAX, UINT64_MAX },
	{ RLIMIT_SIGPENDING, 65536, 65536 },
	{ RLIMIT_STACK, 8ULL * MIB, UINT64_MAX },
};

static rlim_t lower(rlim_t a, rlim_t b)
{
	return a < b ? a : b; /* RLIM_INFINITY is the largest */
}

/* Without the privilege to raise a hard limit the builder's own stays. */
static int fix_limit(int resource, uint64_t soft, uint64_t hard, struct ix_err *err)
{
	struct rlimit want = { native(soft), native(hard) }, have;

	if (setrlimit((__rlimit_resource_t)resource, &want) == 0)
		return 0;
	if (errno != EPERM || getrlimit((__rlimit_resource_t)resource, &have) < 0)
		return ix_err_sys(err, "set resource limit %d", resource);
	want.rlim_max = lower(want.rlim_max, have.rlim_max);
	want.rlim_cur = lower(want.rlim_cur, want.rlim_max);
	return setrlimit((__rlimit_resource_t)resource, &want) < 0 ? ix_err_sys(err, "set resource limit %d", resource) : 0;
}

int jail_set_limits(struct setup *setup, struct ix_err *err)
{
	const struct ix_jail_plan *plan = &setup->orders->plan;
	int r;

	/* The builder's own, where somebody works in the image. */
	for (size_t i = 0; !plan->interactive && i < IX_ARRAY_LEN(fixed); i++)
		if ((r = fix_limit(fixed[i].resource, fixed[i].soft, fixed[i].hard, err)) < 0)
			return r;
	for (size_t i = 0; i < plan->nlimits; i++) {
		const struct ix_jail_limit *want = &plan->limits[i];
		const struct rlimit limit = { native(want->soft), native(want->hard) };

		if (setrlimit((__rlimit_resource_t)want->resource, &limit) < 0)
			return ix_err_sys(err, "set resource limit %d (raising a hard limit needs privileges of the host)", want->resource);
	}
	return 0;
}
