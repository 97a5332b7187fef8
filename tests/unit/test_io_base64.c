#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "base/str.h"
#include "io/base64.h"

static void base64_goes_both_ways(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" },
	};
	static const char *const bad[] = { "Z", "Zg=a", "Zm9v!", "Zm 9v", "Z===", "Zg===" };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(pairs); i++) {
		ix_auto_free char *encoded = ix_base64_encode(pairs[i][0], strlen(pairs[i][0]));
		size_t len;
		ix_auto_free char *decoded = ix_base64_decode(pairs[i][1], &len);

		assert_string_equal(encoded, pairs[i][1]);
		assert_string_equal(decoded, pairs[i][0]);
		assert_int_equal(len, strlen(pairs[i][0]));
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++) {
		size_t len;
		char *decoded = ix_base64_decode(bad[i], &len);

		if (decoded)
			fail_msg("'%s' was accepted", bad[i]);
		free(decoded);
	}
	size_t len;
	ix_auto_free char *unpadded = ix_base64_decode("Zm8", &len);
	assert_string_equal(unpadded, "fo");
	ix_auto_free char *other = ix_base64_decode("_-A=", &len);
	assert_memory_equal(other, "\xff\xe0", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
