/* The pure parts of talking HTTP: when to retry, what headers and URLs mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http/http.h"
#include "http/pace_int.h"
#include "http/retry_int.h"

/* --- retries --- */

static void retry_after_is_seconds_or_a_date(void **state)
{
	static const struct {
		const char *value;
		bool good;
		uint64_t ms;
	} cases[] = {
		{ "0", true, 0 },
		{ "7", true, 7000 },
		{ "86400", true, 86400000 },
		{ "99999999", true, 86400000 },
		{ "-1", false, 0 },
		{ "1.5", false, 0 },
		{ "", false, 0 },
		{ "soon", false, 0 },
		{ "7 s", false, 0 },
		{ "Tue, 24 Nov 2026 01:00:30 GMT", true, 30000 },
		{ "Tue, 24 Nov 2026 00:59:30 GMT", true, 0 },
		{ "Tuesday, 24-Nov-26 01:00:30 GMT", true, 30000 },
		{ "Tue Nov 24 01:00:30 2026", true, 30000 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", true, 86400000 },
	};
	const int64_t now = 1795482000; /* 2026-11-24 01:00:00 */

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		uint64_t ms = 0;

		if (retry_after_parse(cases[i].value, now, &ms) != cases[i].good || ms != cases[i].ms)
			fail_msg("'%s' gives %llu", cases[i].value, (unsigned long long)ms);
	}
}

static void backoff_doubles_with_jitter_up_to_a_cap(void **state)
{
	(void)state;
	assert_int_equal(retry_backoff(1, 0), 250);
	assert_int_equal(retry_backoff(1, 250), 500);
	assert_int_equal(retry_backoff(2, 0), 500);
	assert_int_equal(retry_backoff(4, 0), 2000);
	for (unsigned tries = 1; tries < 100; tries++)
		for (uint32_t random = 0; random < 100000; random += 977) {
			uint64_t ms = retry_backoff(tries, random);

			assert_true(ms >= 250 && ms <= RETRY_CAP_MS);
		}
	assert_int_equal(retry_backoff(99, 0), RETRY_CAP_MS / 2);
}

static void retries_end_with_tries_or_budget(void **state)
{
	struct ix_retry few = { .max_tries = 2, .budget_ms = 1000000 };
	struct ix_retry poor = { .max_tries = 1000, .budget_ms = 3000 };
	struct ix_retry none = { .max_tries = 0, .budget_ms = 3000 };
	uint64_t wait, sum = 0;

	(void)state;
	assert_true(ix_retry_again(&few, 0, &wait));
	assert_true(ix_retry_again(&few, 0, &wait));
	assert_false(ix_retry_again(&few, 0, &wait));
	while (ix_retry_again(&poor, 0, &wait))
		sum += wait;
	assert_true(sum <= 3000 && sum > 500);
	assert_false(ix_retry_again(&none, 0, &wait));
}

static void a_servers_wish_beyond_the_budget_is_not_waited_for(void **state)
{
	struct ix_retry retry = { .max_tries = 5, .budget_ms = 3000 };
	uint64_t wait;

	(void)state;
	assert_true(ix_retry_again(&retry, 2000, &wait));
	assert_true(wait >= 2000 && wait < 2250);
	assert_false(ix_retry_again(&retry, 2000, &wait));
}

static void only_passing_statuses_are_retried(void **state)
{
	static const long again[] = { 408, 429, 500, 502, 503, 504 };
	static const long never[] = { 200, 201, 301, 400, 401, 403, 404, 405, 409, 416, 501, 505 };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(again); i++)
		assert_true(ix_retry_status(again[i]));
	for (size_t i = 0; i < IX_ARRAY_LEN(never); i++)
		assert_false(ix_retry_status(never[i]));
}

/* --- headers --- */

static void content_range_is_read_exactly(void **state)
{
	static const struct {
		const char *value;
		bool good;
		uint64_t first, total;
	} cases[] = {
		{ "bytes 0-9/10", true, 0, 10 },
		{ "bytes 5-9/*", true, 5, UINT64_MAX },
		{ "bytes 9-5/10", false, 0, 0 },
		{ "bytes */10", false, 0, 0 },
		{ "bytes 5-/10", false, 0, 0 },
		{ "bytes -5/10", false, 0, 0 },
		{ "bytes 0-9", false, 0, 0 },
		{ "0-9/10", false, 0, 0 },
		{ "bytes 0/9-10", false, 0, 0 },
		{ "bytes 0-99999999999999999999/10", false, 0, 0 },
		{ "", false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		uint64_t first = 0, total = 0;
		bool good = ix_http_content_range(cases[i].value, &first, &total);

		if (good != cases[i].good || (good && (first != cases[i].first || total != cases[i].total)))
			fail_msg("'%s'", cases[i].value);
	}
	uint64_t first, total;
	assert_false(ix_http_content_range(NULL, &first, &total));
}

static void upload_range_counts_from_zero(void **state)
{
	uint64_t count = 0;

	(void)state;
	assert_true(ix_http_received_range("0-0", &count));
	assert_int_equal(count, 1);
	assert_true(ix_http_received_range("bytes=0-4095", &count));
	assert_int_equal(count, 4096);
	assert_false(ix_http_received_range("1-5", &count));
	assert_false(ix_http_received_range("0-", &count));
	assert_false(ix_http_received_range("", &count));
}

static void link_gives_the_next_page_only(void **state)
{
	static const struct {
		const char *value, *next;
	} cases[] = {
		{ "</v2/a/tags/list?n=1&last=b>; rel=\"next\"", "/v2/a/tags/list?n=1&last=b" },
		{ "<x>;rel=next", "x" },
		{ "<p>; rel=\"prev\", <n>; title=\"a\"; rel=\"next\"", "n" },
		{ "<p>; rel=\"prev\"", NULL },
		{ "<x>", NULL },
		{ "x; rel=next", NULL },
		{ "<x; rel=next", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_free char *next = ix_http_next_link(cases[i].value);

		if (!ix_streq(next, cases[i].next))
			fail_msg("'%s' gives '%s'", cases[i].value, next ? next : "nothing");
	}
}

static void warnings_are_those_for_people(void **state)
{
	static const struct {
		const char *value, *text;
	} cases[] = {
		{ "299 - \"this tag goes away\"", "this tag goes away" },
		{ "299 host:80 \"say \\\"no\\\"\" \"Tue, 24 Nov 2026 01:00:30 GMT\"", "say \"no\"" },
		{ "110 - \"stale\"", NULL },
		{ "299 - \"\"", NULL },
		{ "299 - \"not ended", NULL },
		{ "299 - \"not ended\\", NULL },
		{ "299 - none", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_free char *text = ix_http_warning(cases[i].value);

		if (!ix_streq(text, cases[i].text))
			fail_msg("'%s' gives '%s'", cases[i].value, text ? text : "nothing");
	}
}

/* --- pace --- */

static void an_exchange_is_waited_for_while_it_moves(void **state)
{
	static const struct {
		const char *what;
		uint64_t at_s, up, up_total, down;
		enum ix_http_slow slow;
	} cases[] = {
		{ "begins", 0, 0, 100, 0, IX_HTTP_FAST },
		{ "sends", 50, 10, 100, 0, IX_HTTP_FAST },
		{ "sends on", 109, 10, 100, 0, IX_HTTP_FAST },
		{ "stands still", 110, 10, 100, 0, IX_HTTP_STALLED },
		{ "begins", 0, 0, 0, 0, IX_HTTP_FAST },
		{ "thinks", 69, 0, 0, 0, IX_HTTP_FAST },
		{ "says nothing", 70, 0, 0, 0, IX_HTTP_SILENT },
		{ "begins", 0, 0, 0, 0, IX_HTTP_FAST },
		{ "answers", 30, 0, 0, 300, IX_HTTP_FAST },
		{ "just fast enough", 50, 0, 0, 300 + 20 * PACE_RATE_MIN, IX_HTTP_FAST },
		{ "not looked at yet", 69, 0, 0, 301 + 20 * PACE_RATE_MIN, IX_HTTP_FAST },
		{ "drips", 70, 0, 0, 302 + 20 * PACE_RATE_MIN, IX_HTTP_SLOW },
		{ "begins", 0, 0, 0, 1, IX_HTTP_FAST },
		{ "fast, but endless", 1000, 0, 0, 1 << 30, IX_HTTP_TOO_LONG },
	};
	const struct pace_limits limits = { .stall_ms = 60000, .answer_ms = 70000, .window_ms = 20000, .total_ms = 1000000 };
	struct ix_http_pace pace = { 0 };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		struct pace_sight sight = { cases[i].up, cases[i].up_total, cases[i].down };

		if (cases[i].at_s == 0)
			pace = (struct ix_http_pace){ 0 };
		if (pace_look(&pace, &limits, 5000 + cases[i].at_s * 1000, &sight) != cases[i].slow)
			fail_msg("%zu: %s", i, cases[i].what);
	}
}

static void time_in_the_sink_is_not_the_servers(void **state)
{
	const struct pace_limits limits = { .stall_ms = 60000, .answer_ms = 60000, .window_ms = 20000, .total_ms = 100000 };
	struct pace_sight sight = { .down = 1 };
	struct ix_http_pace pace = { 0 };

	(void)state;
	assert_int_equal(pace_look(&pace, &limits, 1000, &sight), IX_HTTP_FAST);
	pace_excuse(&pace, 90000);
	assert_int_equal(pace_look(&pace, &limits, 110000, &sight), IX_HTTP_FAST);
	assert_int_equal(pace_look(&pace, &limits, 111000, &sight), IX_HTTP_SLOW);
}

/* --- URLs --- */

static void origins_tell_servers_apart(void **state)
{
	static const struct {
		const char *url, *origin;
	} cases[] = {
		{ "https://Host.Example/a?b", "https://host.example:443" },
		{ "http://host", "http://host:80" },
		{ "http://host:5000/v2/", "http://host:5000" },
		{ "https://[::1]:5000/x", "https://[::1]:5000" },
		{ "ftp://host/", NULL },
		{ "file:///etc/passwd", NULL },
		{ "https://user@host/", NULL },
		{ "https://user:pw@host/", NULL },
		{ "https:///x", NULL },
		{ "https://host:99999/", NULL },
		{ "https://ho st/", NULL },
		{ "/v2/", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_free char *origin = NULL;
		struct ix_err err;
		int r = ix_url_origin(cases[i].url, &origin, &err);

		if ((r == 0) != (cases[i].origin != NULL) || !ix_streq(origin, cases[i].origin))
			fail_msg("'%s' gives '%s'", cases[i].url, origin ? origin : err.msg);
	}
}

static void locations_are_resolved_and_kept_verbatim(void **state)
{
	static const struct {
		const char *page, *location, *url;
	} cases[] = {
		{ "https://h/v2/a", "/v2/b?x=%2F&y=a+b", "https://h/v2/b?x=%2F&y=a+b" },
		{ "https://h:5/v2/a?q", "/b", "https://h:5/b" },
		{ "https://h/v2/a", "https://other/%7Ex/../y", "https://other/%7Ex/../y" },
		{ "https://h/v2/a/list", "list?last=b", "https://h/v2/a/list?last=b" },
		{ "https://h/v2/a/list", "?last=b", "https://h/v2/a/list?last=b" },
		{ "https://h/v2/a", "//other/x", "https://other/x" },
		{ "https://h/v2/a", "/with blank", NULL },
		{ "https://h/v2/a", "/with\ttab", NULL },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_free char *url = NULL;
		struct ix_err err;

		(void)ix_url_resolve(cases[i].page, cases[i].location, &url, &err);
		if (!ix_streq(url, cases[i].url))
			fail_msg("'%s' on '%s' gives '%s'", cases[i].location, cases[i].page, url ? url : err.msg);
	}
}

static void loopback_is_recognised(void **state)
{
	static const char *const yes[] = {
		"localhost", "LocalHost:5000", "a.localhost", "127.0.0.1", "127.9.8.7:80", "[::1]", "[::1]:5000"
	};
	static const char *const no[] = { "localhost.example", "notlocalhost", "128.0.0.1", "127.0.0.1.example",
					  "[::2]:5000",        "127.1",        "[::1",      "" };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(yes); i++)
		assert_true(ix_url_is_loopback(yes[i]));
	for (size_t i = 0; i < IX_ARRAY_LEN(no); i++)
		assert_false(ix_url_is_loopback(no[i]));
}

static void queries_are_encoded_and_not_shown(void **state)
{
	struct ix_buf url = { 0 };

	(void)state;
	ix_buf_puts(&url, "https://h/x");
	ix_url_add_query(&url, "digest", "sha256:ab");
	ix_url_add_query(&url, "from", "a/b c&d");
	assert_string_equal(ix_buf_str(&url), "https://h/x?digest=sha256%3Aab&from=a%2Fb%20c%26d");
	ix_auto_free char *shown = ix_url_shown(ix_buf_str(&url));
	assert_string_equal(shown, "https://h/x");
	ix_buf_release(&url);
}

static void user_names_are_taken_out_of_urls(void **state)
{
	static const struct {
		const char *url, *bare, *basic, *shown;
	} cases[] = {
		{ "https://h/x?y=1", "https://h/x?y=1", NULL, "https://h/x" },
		{ "https://joe:pw@h:1/x", "https://h:1/x", "Basic am9lOnB3", "https://h:1/x" },
		{ "https://a%40b:p%3Aq@h/x", "https://h/x", "Basic YUBiOnA6cQ==", "https://h/x" },
		{ "http://joe@h", "http://h", "Basic am9lOg==", "http://h" },
		{ "https://h/x@y", "https://h/x@y", NULL, "https://h/x@y" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_secret basic = { 0 };
		ix_auto_free char *bare = NULL, *shown = ix_url_shown(cases[i].url);
		struct ix_err err;

		assert_int_equal(ix_url_split_user(cases[i].url, &bare, &basic, &err), 0);
		assert_string_equal(bare, cases[i].bare);
		assert_string_equal(shown, cases[i].shown);
		if (!ix_streq(basic.value, cases[i].basic))
			fail_msg("'%s' gives '%s'", cases[i].url, basic.value ? basic.value : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
		cmocka_unit_test(backoff_doubles_with_jitter_up_to_a_cap),
		cmocka_unit_test(retries_end_with_tries_or_budget),
		cmocka_unit_test(a_servers_wish_beyond_the_budget_is_not_waited_for),
		cmocka_unit_test(only_passing_statuses_are_retried),
		cmocka_unit_test(content_range_is_read_exactly),
		cmocka_unit_test(upload_range_counts_from_zero),
		cmocka_unit_test(link_gives_the_next_page_only),
		cmocka_unit_test(warnings_are_those_for_people),
		cmocka_unit_test(an_exchange_is_waited_for_while_it_moves),
		cmocka_unit_test(time_in_the_sink_is_not_the_servers),
		cmocka_unit_test(origins_tell_servers_apart),
		cmocka_unit_test(locations_are_resolved_and_kept_verbatim),
		cmocka_unit_test(loopback_is_recognised),
		cmocka_unit_test(queries_are_encoded_and_not_shown),
		cmocka_unit_test(user_names_are_taken_out_of_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
