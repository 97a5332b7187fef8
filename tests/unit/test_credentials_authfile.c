#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "credentials/authfile_int.h"

/* "joe:s3cret" */
#define JOE "am9lOnMzY3JldA=="

static int parse(const char *text, bool legacy, struct authfile *file, struct ix_err *err)
{
	return authfile_parse(text, strlen(text), "config.json", legacy, file, err);
}

static void auth_is_split_at_the_first_colon(void **state)
{
	auto_authfile file = { 0 };
	struct ix_err err;
	const struct ix_creds *creds;

	(void)state;
	/* joe:a:b, with the NULs docker leaves behind on some platforms */
	assert_int_equal(parse("{\"auths\":{\"a.b\":{\"auth\":\"am9lOmE6YgAA\"}}}", false, &file, &err), 0);
	creds = authfile_find(&file, "a.b", "x");
	assert_string_equal(creds->username, "joe");
	assert_string_equal(creds->password.value, "a:b");
	assert_string_equal(creds->source, "config.json");
}

static void every_kind_of_entry_is_understood(void **state)
{
	auto_authfile file = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(parse("{\"auths\":{\"a\":{\"username\":\"u\",\"password\":\"p\"},\"b\":{\"identitytoken\":\"i\",\"auth\":\"\"},"
			       "\"c\":{\"registrytoken\":\"r\"},\"d\":{},\"e\":{\"auth\":\"" JOE "\",\"identitytoken\":\"i2\"},\"f\":7}}",
			       false, &file, &err),
			 0);
	assert_string_equal(authfile_find(&file, "a", NULL)->password.value, "p");
	assert_string_equal(authfile_find(&file, "b", NULL)->identity.value, "i");
	assert_null(authfile_find(&file, "b", NULL)->password.value);
	assert_string_equal(authfile_find(&file, "c", NULL)->registry.value, "r");
	assert_null(authfile_find(&file, "d", NULL));
	assert_string_equal(authfile_find(&file, "e", NULL)->username, "joe");
	assert_string_equal(authfile_find(&file, "e", NULL)->identity.value, "i2");
	assert_null(authfile_find(&file, "f", NULL));
}

static void keys_may_be_urls(void **state)
{
	static const char *const keys[] = { "https://r.example/v1/", "http://r.example", "r.example", "r.example/",
					    "https://r.example/v2/" };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(keys); i++) {
		auto_authfile file = { 0 };
		ix_auto_free char *text = ix_asprintf("{\"auths\":{\"%s\":{\"auth\":\"" JOE "\"}}}", keys[i]);
		struct ix_err err;

		assert_int_equal(parse(text, false, &file, &err), 0);
		assert_non_null(authfile_find(&file, "r.example", "a/b"));
		assert_null(authfile_find(&file, "r.example:5000", "a/b"));
	}
}

static void docker_hub_has_many_names(void **state)
{
	static const char *const keys[] = { "https://index.docker.io/v1/", "index.docker.io", "docker.io",
					    "https://registry-1.docker.io/v2/" };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(keys); i++) {
		auto_authfile file = { 0 };
		ix_auto_free char *text = ix_asprintf("{\"auths\":{\"%s\":{\"auth\":\"" JOE "\"}}}", keys[i]);
		struct ix_err err;

		assert_int_equal(parse(text, false, &file, &err), 0);
		assert_non_null(authfile_find(&file, "docker.io", "library/debian"));
	}
}

static void the_longest_path_wins(void **state)
{
	auto_authfile file = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(parse("{\"auths\":{\"h\":{\"username\":\"1\",\"password\":\"p\"},\"h/a\":{\"username\":\"2\",\"password\":\"p\"},"
			       "\"h/a/b\":{\"username\":\"3\",\"password\":\"p\"},\"h/a/empty\":{}}}",
			       false, &file, &err),
			 0);
	assert_string_equal(authfile_find(&file, "h", "a/b")->username, "3");
	assert_string_equal(authfile_find(&file, "h", "a/b/c")->username, "3");
	assert_string_equal(authfile_find(&file, "h", "a/bc")->username, "2");
	assert_string_equal(authfile_find(&file, "h", "a/empty")->username, "2");
	assert_string_equal(authfile_find(&file, "h", "x")->username, "1");
	assert_null(authfile_find(&file, "other", "a/b"));
}

static void helpers_are_found_by_host_then_store(void **state)
{
	auto_authfile file = { 0 }, other = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(parse("{\"credHelpers\":{\"gcr.io\":\"gcloud\",\"https://index.docker.io/v1/\":\"pass\",\"x\":\"\",\"y\":1}}",
			       false, &file, &err),
			 0);
	assert_string_equal(authfile_helper(&file, "gcr.io"), "gcloud");
	assert_string_equal(authfile_helper(&file, "docker.io"), "pass");
	assert_null(authfile_helper(&file, "x"));
	assert_null(authfile_helper(&file, "y"));
	assert_int_equal(parse("{\"credHelpers\":{\"gcr.io\":\"gcloud\"},\"credsStore\":\"secretservice\"}", false, &other, &err), 0);
	assert_string_equal(authfile_helper(&other, "gcr.io"), "gcloud");
	assert_string_equal(authfile_helper(&other, "any.example"), "secretservice");
}

static void dockercfg_has_no_auths_member(void **state)
{
	auto_authfile file = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(parse("{\"https://index.docker.io/v1/\":{\"auth\":\"" JOE "\",\"email\":\"x\"}}", true, &file, &err), 0);
	assert_string_equal(authfile_find(&file, "docker.io", "a/b")->username, "joe");
}

static void broken_files_say_where(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "{\n \"auths\": ]", "config.json:2:" },
		{ "[]", "config.json: not a JSON object" },
		{ "\"x\"", "config.json:1:" },
		{ "{\"auths\":{\"a.b\":{\"auth\":\"!!!\"}}}",
		  "config.json: auths 'a.b': 'auth' is not base64 of name:password, log in again" },
		{ "{\"auths\":{\"a.b\":{\"auth\":\"am9l\"}}}", "is not base64 of name:password" },
		{ "{\"auths\":{\"a.b\":{\"auth\":\"OnA=\"}}}", "is not base64 of name:password" },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
		auto_authfile file = { 0 };
		struct ix_err err;

		assert_int_equal(parse(cases[i].text, false, &file, &err), -IX_EARG);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("'%s' does not hold '%s'", err.msg, cases[i].message);
		assert_null(strstr(err.msg, "!!!"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auth_is_split_at_the_first_colon),
		cmocka_unit_test(every_kind_of_entry_is_understood),
		cmocka_unit_test(keys_may_be_urls),
		cmocka_unit_test(docker_hub_has_many_names),
		cmocka_unit_test(the_longest_path_wins),
		cmocka_unit_test(helpers_are_found_by_host_then_store),
		cmocka_unit_test(dockercfg_has_no_auths_member),
		cmocka_unit_test(broken_files_say_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
