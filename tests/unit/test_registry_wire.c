/* The pure parts of talking to a registry: whom to ask, in which order and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "registry/endpoint_int.h"
#include "registry/registry.h"

static const struct ix_http_site_ops no_ops = { 0 };

/* --- endpoints --- */

static char *order(const struct upstream *upstream)
{
	struct ix_buf text = { 0 };

	for (size_t i = 0; i < upstream->count; i++)
		ix_buf_printf(&text, "%s%s/%s%s", i ? " " : "", upstream->endpoints[i]->authority, upstream->endpoints[i]->prefix,
			      upstream->endpoints[i]->mirror ? "?" : "");
	return ix_buf_steal(&text);
}

static void mirrors_come_in_order_before_the_registry(void **state)
{
	const char *const mirrors[] = { "m1.example:5000", "m2.example/proxy/hub/", "m3.example/p", NULL };
	const struct ix_registry_host from[] = { { .name = "docker.io", .mirrors = mirrors }, { .name = "r.example" } };
	struct hosts hosts;
	struct upstream *upstream, *again;
	struct ix_err err;

	(void)state;
	assert_int_equal(hosts_init(&hosts, &no_ops, from, 2, &err), 0);
	assert_int_equal(hosts_upstream(&hosts, "docker.io", &upstream, &err), 0);
	ix_auto_free char *hub = order(upstream);
	assert_string_equal(hub, "m1.example:5000/? m2.example/proxy/hub/? m3.example/p/? registry-1.docker.io/");
	assert_int_equal(hosts_upstream(&hosts, "docker.io", &again, &err), 0);
	assert_ptr_equal(upstream, again);
	assert_string_equal(upstream_origin(upstream)->host, "docker.io");
	ix_auto_free char *there = endpoint_repository(upstream->endpoints[1], "library/debian");
	assert_string_equal(there, "proxy/hub/library/debian");
	assert_int_equal(hosts_upstream(&hosts, "unknown.example:1", &upstream, &err), 0);
	ix_auto_free char *other = order(upstream);
	assert_string_equal(other, "unknown.example:1/");
	hosts_release(&hosts);
}

static void a_mirror_has_the_login_of_its_own_host(void **state)
{
	const char *const mirrors[] = { "m.example", NULL };
	const struct ix_registry_host from[] = { { .name = "r.example", .username = "joe", .password = "p", .mirrors = mirrors },
						 { .name = "m.example", .username = "ann", .password = "q" } };
	struct hosts hosts;
	struct upstream *upstream;
	struct ix_err err;

	(void)state;
	assert_int_equal(hosts_init(&hosts, &no_ops, from, 2, &err), 0);
	assert_int_equal(hosts_upstream(&hosts, "r.example", &upstream, &err), 0);
	assert_string_equal(upstream->endpoints[0]->username, "ann");
	assert_string_equal(upstream->endpoints[1]->username, "joe");
	hosts_release(&hosts);
}

static void schemes_follow_the_loopback_rule(void **state)
{
	static const struct {
		bool loopback, insecure, ca;
		const char *first, *second;
	} cases[] = {
		{ false, false, false, "https", NULL }, { false, false, true, "https", NULL },  { false, true, false, "https", "http" },
		{ true, false, false, "http", NULL },   { true, false, true, "https", "http" }, { true, true, false, "http", "https" },
		{ true, true, true, "https", "http" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		struct endpoint ep = { .loopback = cases[i].loopback, .insecure = cases[i].insecure };
		const char *schemes[3];

		ep.site.trust.bundle.len = cases[i].ca ? 1 : 0;
		endpoint_schemes(&ep, schemes);
		assert_string_equal(schemes[0], cases[i].first);
		assert_true(ix_streq(schemes[1], cases[i].second));
	}
}

static void bad_configuration_is_named(void **state)
{
	const char *const url[] = { "https://m.example", NULL };
	const struct {
		struct ix_registry_host host;
		const char *message;
	} cases[] = {
		{ { .name = "a b" }, "'a b' is not a registry host: write host[:port]" },
		{ { .name = "" }, "'' is not a registry host" },
		{ { .name = "a/b" }, "'a/b' is not a registry host" },
		{ { .name = "r.example", .username = "joe" }, "registry r.example: a username needs a password" },
		{ { .name = "r.example", .mirrors = url }, "mirror 'https://m.example' of r.example: write host[:port][/prefix]" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		struct hosts hosts;
		struct ix_err err;

		assert_int_equal(hosts_init(&hosts, &no_ops, &cases[i].host, 1, &err), -IX_EARG);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("'%s' does not hold '%s'", err.msg, cases[i].message);
		hosts_release(&hosts);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mirrors_come_in_order_before_the_registry),
		cmocka_unit_test(a_mirror_has_the_login_of_its_own_host),
		cmocka_unit_test(schemes_follow_the_loopback_rule),
		cmocka_unit_test(bad_configuration_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
