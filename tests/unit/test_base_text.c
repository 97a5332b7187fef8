#include "unit.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/path.h"
#include "base/str.h"

static void paths_are_cleaned_as_go_does(void **state)
{
	static const char *const rows[][2] = { { "", "." },         { "a//b/./c/", "a/b/c" }, { "/../a", "/a" },
					       { "../a/..", ".." }, { "a/../..", ".." },      { "/", "/" },
					       { "./", "." },       { "a/b/../../..", ".." }, { "//x", "/x" },
					       { "a/..", "." } };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++) {
		ix_auto_free char *clean = ix_path_clean(rows[i][0]);

		assert_string_equal(clean, rows[i][1]);
	}
}

static void patterns_match_as_go_does(void **state)
{
	static const struct {
		const char *pattern, *name;
		int want;
	} rows[] = { { "*", "abc", 1 },     { "*", "a/b", 0 },      { "a*c", "abbc", 1 },    { "a?c", "abc", 1 },     { "a?c", "a/c", 0 },
		     { "[a-c]x", "bx", 1 }, { "[^a-c]x", "bx", 0 }, { "\\*", "*", 1 },       { "\\*", "a", 0 },       { "[", "a", -1 },
		     { "[]a]", "a", -1 },   { "a[", "b", -1 },      { "*.txt", "x.txt", 1 }, { "*x*y*", "axbyc", 1 }, { "", "", 1 },
		     { "", "a", 0 },        { "a**b", "ab", 1 },    { "[a-", "a", -1 } };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++)
		if (ix_path_match(rows[i].pattern, rows[i].name) != rows[i].want)
			fail_msg("%s on %s", rows[i].pattern, rows[i].name);
}

static void nearest_finds_typos_and_nothing_far(void **state)
{
	static const char *const names[] = { "COPY", "CMD", "ENTRYPOINT", "EXPOSE" };

	(void)state;
	assert_string_equal(ix_nearest("COPPY", names, 4), "COPY");
	assert_string_equal(ix_nearest("copy", names, 4), "COPY");
	assert_string_equal(ix_nearest("ENTRYPIONT", names, 4), "ENTRYPOINT");
	assert_null(ix_nearest("WORKDIR", names, 4));
}

static void buffers_refuse_what_is_over_their_limit(void **state)
{
	ix_auto_buf buf = IX_BUF_INIT(4);
	struct ix_err err;

	(void)state;
	assert_ok(ix_buf_append(&buf, "abcd", 4, &err), &err);
	assert_int_equal(ix_buf_append(&buf, "e", 1, &err), -IX_ELIMIT);
	assert_string_equal(ix_buf_str(&buf), "abcd");
}

static void numbers_are_whole_and_within_bounds(void **state)
{
	uint64_t n;

	(void)state;
	assert_true(ix_parse_u64("18446744073709551615", UINT64_MAX, &n) && n == UINT64_MAX);
	assert_false(ix_parse_u64("18446744073709551616", UINT64_MAX, &n));
	assert_false(ix_parse_u64("-1", UINT64_MAX, &n));
	assert_false(ix_parse_u64("", 5, &n));
	assert_false(ix_parse_u64("6", 5, &n));
	assert_false(ix_parse_u64("1 ", 5, &n));
}

static void maps_keep_order_and_replace(void **state)
{
	ix_auto_map map = { 0 };
	static int values[1000];
	char key[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		ix_map_set(&map, key, &values[i]);
	}
	ix_map_set(&map, "k7", &values[0]);
	assert_int_equal(map.count, 1000);
	assert_ptr_equal(ix_map_get(&map, "k7"), &values[0]);
	assert_string_equal(map.entries[999].key, "k999");
	assert_null(ix_map_get(&map, "none"));
}

static void control_bytes_are_made_visible(void **state)
{
	ix_auto_free char *shown = ix_printable("a\033[31m\nb", 100);

	(void)state;
	assert_string_equal(shown, "a\\x1b[31m b");
}

static void bytes_that_are_no_text_are_made_visible(void **state)
{
	ix_auto_free char *shown = ix_printable("\303\251\377\302\233x\303", 100), *cut = ix_printable("a\303\251", 2);

	(void)state;
	assert_string_equal(shown, "\303\251\\xff\\xc2\\x9bx\\xc3");
	assert_string_equal(cut, "a...");
}

static void errors_gather_context_from_the_outside_in(void **state)
{
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_err_set(&err, IX_ENOTFOUND, "no %s", "blob"), -IX_ENOTFOUND);
	assert_int_equal(ix_err_wrap(&err, "stage '%s'", "api"), -IX_ENOTFOUND);
	assert_string_equal(err.msg, "stage 'api': no blob");
	ix_err_excerpt(&err, "one\ntwo words\n", 2, 5);
	assert_string_equal(err.detail, "    2 | two words\n      |     ^");
}

static void only_a_lookup_says_not_found(void **state)
{
	struct ix_err err;

	(void)state;
	errno = ENOENT;
	assert_int_equal(ix_err_sys(&err, "open %s", "x"), -IX_ESYS);
	assert_int_equal(err.sys, ENOENT);
	errno = ENOENT;
	assert_int_equal(ix_err_lookup(&err, "open %s", "x"), -IX_ENOTFOUND);
	assert_string_equal(err.msg, "open x: No such file or directory");
	errno = EACCES;
	assert_int_equal(ix_err_lookup(&err, "open %s", "x"), -IX_ESYS);
}

static void sizes_have_units_and_fractions(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = { { "512", 512 },
		      { "64m", 64 << 20 },
		      { "1.5g", 1610612736 },
		      { "0.3g", 322122547 },
		      { "1.1KiB", 1126 },
		      { "2.25b", 2 },
		      { "1.", 0 },
		      { ".5g", 0 },
		      { "1.5x", 0 },
		      { "9999999p", 0 },
		      { "0.99999999999g", 1073741823 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 0;

		if (ix_parse_size(cases[i].text, &bytes) != (cases[i].bytes > 0) || bytes != cases[i].bytes)
			fail_msg("%s is %llu bytes", cases[i].text, (unsigned long long)bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_lookup_says_not_found),
		cmocka_unit_test(paths_are_cleaned_as_go_does),
		cmocka_unit_test(patterns_match_as_go_does),
		cmocka_unit_test(nearest_finds_typos_and_nothing_far),
		cmocka_unit_test(buffers_refuse_what_is_over_their_limit),
		cmocka_unit_test(numbers_are_whole_and_within_bounds),
		cmocka_unit_test(maps_keep_order_and_replace),
		cmocka_unit_test(control_bytes_are_made_visible),
		cmocka_unit_test(bytes_that_are_no_text_are_made_visible),
		cmocka_unit_test(errors_gather_context_from_the_outside_in),
		cmocka_unit_test(sizes_have_units_and_fractions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
