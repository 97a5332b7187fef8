#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "registry/challenge_int.h"

/* "scheme realm=x service=y scope=z; scheme ..." */
static char *show(const struct challenges *list)
{
	struct ix_buf text = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const struct challenge *c = &list->items[i];

		ix_buf_printf(&text, "%s%s", i ? "; " : "", c->scheme);
		if (c->realm)
			ix_buf_printf(&text, " realm=%s", c->realm);
		if (c->service)
			ix_buf_printf(&text, " service=%s", c->service);
		if (c->scope)
			ix_buf_printf(&text, " scope=%s", c->scope);
	}
	return text.data ? ix_buf_steal(&text) : NULL;
}

static const struct {
	const char *value, *shown;
} rows[] = {
	{ "", "" },
	{ "Basic", "Basic" },
	{ "Basic realm=\"x\"", "Basic realm=x" },
	{ "basic Realm=x", "basic realm=x" },
	{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
	  "Bearer realm=https://a/t service=s scope=repository:a/b:pull,push" },
	{ "Bearer realm = \"x\" , service = \"y\"", "Bearer realm=x service=y" },
	{ "Bearer realm=\"a \\\"quoted\\\" \\\\ word\"", "Bearer realm=a \"quoted\" \\ word" },
	{ "Bearer realm=\"a, Basic realm=b\", service=c", "Bearer realm=a, Basic realm=b service=c" },
	{ "Basic realm=\"b\", Bearer realm=\"https://a\",service=s", "Basic realm=b; Bearer realm=https://a service=s" },
	{ "Bearer realm=x, Basic", "Bearer realm=x; Basic" },
	{ "Negotiate, Basic realm=b", "Negotiate; Basic realm=b" },
	{ "Negotiate YII==, Basic realm=b", "Negotiate; Basic realm=b" },
	{ "Bearer realm=x,error=\"insufficient_scope\",unknown=\"z\"", "Bearer realm=x" },
	{ "Bearer realm=first,realm=second", "Bearer realm=first" },
	{ ",,, Basic ,,realm=x,,", "Basic realm=x" },
	{ "realm=\"x\"", "" },
	{ "Bearer realm=\"unclosed", "Bearer realm=unclosed" },
	{ "Bearer realm=\"ends with \\", "Bearer realm=ends with \\" },
	{ "Bearer realm=", "Bearer realm=" },
	{ "Bearer realm=\"\"", "Bearer realm=" },
	{ "\"noise\" @ Basic realm=x", "" },
	{ "\"noise\", Basic realm=x", "Basic realm=x" },
	{ "Bearer\trealm=x", "Bearer realm=x" },
};

static void challenges_are_read_leniently(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++) {
		auto_challenges list = { 0 };

		challenges_parse(&list, rows[i].value);
		ix_auto_free char *shown = show(&list);
		if (strcmp(shown ? shown : "", rows[i].shown) != 0)
			fail_msg("'%s' gives '%s', not '%s'", rows[i].value, shown ? shown : "", rows[i].shown);
	}
}

static void several_header_lines_make_one_list(void **state)
{
	auto_challenges list = { 0 };

	(void)state;
	challenges_parse(&list, "Basic realm=a");
	challenges_parse(&list, "Bearer realm=b");
	assert_int_equal(list.count, 2);
	assert_string_equal(challenges_best(&list)->realm, "b");
}

static void the_best_is_bearer_then_basic_then_anything(void **state)
{
	static const struct {
		const char *value, *scheme;
	} cases[] = {
		{ "Basic realm=x, Bearer realm=y", "Bearer" },
		{ "Bearer realm=y, Basic realm=x", "Bearer" },
		{ "Bearer, Basic", "Basic" }, /* a Bearer without realm cannot be answered */
		{ "Negotiate, Basic", "Basic" },
		{ "Negotiate, NTLM", "Negotiate" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		auto_challenges list = { 0 };

		challenges_parse(&list, cases[i].value);
		assert_string_equal(challenges_best(&list)->scheme, cases[i].scheme);
	}
	assert_null(challenges_best(&(struct challenges){ 0 }));
}

static void challenges_are_bounded(void **state)
{
	auto_challenges list = { 0 };
	struct ix_buf value = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		ix_buf_puts(&value, "Basic, ");
	challenges_parse(&list, ix_buf_str(&value));
	assert_int_equal(list.count, 16);
	for (int i = 0; i < 3000; i++)
		ix_buf_puts(&value, "Basic, ");
	challenges_release(&list);
	challenges_parse(&list, ix_buf_str(&value));
	assert_int_equal(list.count, 0);
	ix_buf_release(&value);
}

static void scopes_cover_each_other(void **state)
{
	static const struct {
		const char *have, *want;
		bool covers;
	} cases[] = {
		{ "repository:a:pull", "repository:a:pull", true },
		{ "repository:a:pull,push", "repository:a:pull", true },
		{ "repository:a:pull", "repository:a:pull,push", false },
		{ "repository:a:push,pull", "repository:a:pull,push", true },
		{ "repository:a:*", "repository:a:pull,delete", true },
		{ "repository:a:pull repository:b:pull", "repository:b:pull", true },
		{ "repository:a:pull", "repository:b:pull", false },
		{ "repository:ab:pull", "repository:a:pull", false },
		{ "repository:h:5000/a:pull", "repository:h:5000/a:pull", true },
		{ "repository:a:pull", "", true },
		{ "repository:a:pull", NULL, true },
		{ NULL, "repository:a:pull", false },
		{ "", "x", false },
		{ "x", "x", true },
		{ "repository:a:pullx", "repository:a:pull", false },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++)
		if (scope_covers(cases[i].have, cases[i].want) != cases[i].covers)
			fail_msg("row %zu: '%s' and '%s'", i, cases[i].have, cases[i].want);
}

static void scopes_are_joined_without_repeating(void **state)
{
	static const struct {
		const char *a, *b, *joined;
	} cases[] = {
		{ "repository:a:pull", NULL, "repository:a:pull" },
		{ NULL, "repository:a:pull", "repository:a:pull" },
		{ "repository:a:pull", "repository:a:pull", "repository:a:pull" },
		{ "repository:a:pull,push", "repository:a:pull repository:b:pull", "repository:a:pull,push repository:b:pull" },
		{ "repository:a:pull", "repository:a:pull,push", "repository:a:pull repository:a:pull,push" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		ix_auto_free char *joined = scope_join(cases[i].a, cases[i].b);

		assert_string_equal(joined, cases[i].joined);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges_are_read_leniently),
		cmocka_unit_test(several_header_lines_make_one_list),
		cmocka_unit_test(the_best_is_bearer_then_basic_then_anything),
		cmocka_unit_test(challenges_are_bounded),
		cmocka_unit_test(scopes_cover_each_other),
		cmocka_unit_test(scopes_are_joined_without_repeating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
