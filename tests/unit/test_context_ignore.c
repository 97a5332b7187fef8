#include "unit.h"

#include "base/scope.h"
#include "context/context.h"

static bool ignored(const char *rules, const char *path)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = NULL;
	struct ix_err err;

	assert_ok(ix_ignore_parse("x", rules, strlen(rules), &ignore, &err), &err);
	return ix_ignore_match(ignore, path);
}

static void rules_match_as_the_reference_says(void **state)
{
	static const struct {
		const char *rules, *path;
		bool want;
	} rows[] = {
		{ "a", "a", true },
		{ "a", "a/b/c", true },
		{ "a", "b/a", false },
		{ "/a", "a", true },
		{ "a/", "a/b", true },
		{ "*/temp*", "x/temporary", true },
		{ "*/temp*", "temporary", false },
		{ "*/*/temp*", "x/y/temp.txt", true },
		{ "temp?", "tempa", true },
		{ "temp?", "temp", false },
		{ "**/*.go", "x.go", true },
		{ "**/*.go", "a/b/x.go", true },
		{ "**", "anything/at/all", true },
		{ "a/**", "a/b", true },
		{ "a/**", "a", false },
		{ "a/**/z", "a/z", true },
		{ "a/**/z", "a/b/c/z", true },
		{ "*.md\n!README.md", "README.md", false },
		{ "*.md\n!README.md", "x.md", true },
		{ "*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true },
		{ "*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false },
		{ "# comment\n \n  b  ", "b", true },
		{ "\xef\xbb\xbf"
		  "b",
		  "b", true },
		{ "a\\*", "a*", true },
		{ "a\\*", "ab", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "./x/../y", "y", true },
		{ "*\n!keep", "keep/inside", false },
		{ "*\r\n!keep\r\n", "keep", false },
		{ "d\n!d/in", "d/in", false },
		{ "d\n!d/in", "d/out", true },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++)
		if (ignored(rows[i].rules, rows[i].path) != rows[i].want)
			fail_msg("'%s' on %s", rows[i].rules, rows[i].path);
}

static void malformed_rules_name_their_line(void **state)
{
	struct ix_ignore *ignore;
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_ignore_parse(".dockerignore", "ok\n[a", 5, &ignore, &err), -IX_EARG);
	assert_says(&err, ".dockerignore:2:1: malformed pattern '[a'");
	assert_int_equal(ix_ignore_parse(".dockerignore", "!", 1, &ignore, &err), -IX_EARG);
	assert_says(&err, "'!' without a pattern");
}

static void stars_do_not_explode(void **state)
{
	(void)state;
	assert_false(ignored("**a**a**a**a**a**a**a**a**a**a**b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_match_as_the_reference_says),
		cmocka_unit_test(malformed_rules_name_their_line),
		cmocka_unit_test(stars_do_not_explode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
