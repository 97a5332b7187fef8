#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/str.h"
#include "sandbox/setup_int.h"

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

int ix_sandbox_limit_parse(const char *text, struct ix_sandbox_limit *ret_limit, struct ix_err *err)
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

static int raise_files(struct ix_err *err)
{
	/* Some old programs close every possible descriptor at start: a limit of a thousand million would hang them. */
	const rlim_t most = 1 << 20;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ix_err_sys(err, "getrlimit");
	if (limit.rlim_cur >= most)
		return 0;
	limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? ix_err_sys(err, "setrlimit") : 0;
}

int sandbox_set_limits(struct setup *setup, struct ix_err *err)
{
	const struct ix_sandbox_plan *plan = &setup->orders->plan;

	if (raise_files(err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < plan->nlimits; i++) {
		const struct ix_sandbox_limit *want = &plan->limits[i];
		const struct rlimit limit = { native(want->soft), native(want->hard) };

		if (setrlimit((__rlimit_resource_t)want->resource, &limit) < 0)
			return ix_err_sys(err, "set resource limit %d (raising a hard limit needs privileges of the host)", want->resource);
	}
	return 0;
}
