#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/redact.h"
#include "unit.h"

static struct ix_redactor *of(const char *value)
{
	struct ix_redactor *redactor = ix_redactor_new();

	ix_redactor_add(redactor, value, strlen(value));
	return redactor;
}

static void says(const char *value, const char *text, const char *want)
{
	ix_scoped(ix_redactor_freep) struct ix_redactor *redactor = of(value);
	ix_auto_free char *got = ix_redact_text(redactor, text);

	assert_string_equal(got, want);
}

static void a_value_is_not_said(void **state)
{
	(void)state;
	says("hunter22", "the password is hunter22.", "the password is ***.");
	says("hunter22", "hunter22hunter22", "******");
	says("hunter22\n", "hunter22", "***");
	says("hunter22", "hunter2 is another", "hunter2 is another");
}

static void short_values_are_left(void **state)
{
	(void)state;
	says("abc", "abc", "abc");
	says("", "abc", "abc");
}

static void other_forms_are_found(void **state)
{
	(void)state;
	/* base64, wherever in a group it begins */
	says("s3cr3t/pass", "a czNjcjN0L3Bhc3M= b", "a *** b");
	says("s3cr3t/pass", "a eHMzY3IzdC9wYXNz b", "a *** b");
	says("s3cr3t/pass", "a eHlzM2NyM3QvcGFzcw== b", "a *** b");
	says("s3cr3t/pass", "https://u:s3cr3t%2Fpass@h/", "https://u:***@h/");
	says("s3cr3t/pass", "https://u:s3cr3t%2fpass@h/", "https://u:***@h/");
	says("-----BEGIN KEY-----\nMIIEabcd\n-----END KEY-----\n", "+ echo MIIEabcd", "+ echo ***");
}

static void pieces_are_put_together(void **state)
{
	const char *text = "before hunter22 after hunter";
	ix_scoped(ix_redactor_freep) struct ix_redactor *redactor = of("hunter22");

	(void)state;
	for (size_t size = 1; size < strlen(text); size++) {
		struct ix_redact_stream stream = { redactor, { 0 } };
		ix_auto_buf out = { 0 };

		for (size_t at = 0; at < strlen(text); at += size)
			ix_redact_piece(&stream, text + at, size < strlen(text) - at ? size : strlen(text) - at, &out);
		ix_redact_end(&stream, &out);
		assert_string_equal(ix_buf_str(&out), "before *** after hunter");
	}
}

static void what_cannot_be_one_is_not_held_back(void **state)
{
	ix_scoped(ix_redactor_freep) struct ix_redactor *redactor = of("hunter22");
	struct ix_redact_stream stream = { redactor, { 0 } };
	ix_auto_buf out = { 0 };

	(void)state;
	ix_redact_piece(&stream, "password: ", 10, &out);
	assert_string_equal(ix_buf_str(&out), "password: ");
	ix_redact_end(&stream, &out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_not_said),
		cmocka_unit_test(short_values_are_left),
		cmocka_unit_test(other_forms_are_found),
		cmocka_unit_test(pieces_are_put_together),
		cmocka_unit_test(what_cannot_be_one_is_not_held_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
