#include "test_sandbox_cases.h"
#include "test_sandbox_person.h"

static void we_are_rootless(void **state)
{
	(void)state;
	assert_true(ix_sandbox_rootless());
	assert_int_equal(geteuid(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(we_are_rootless), BOX_CASES };
	const char *degraded, *missing;
	struct ix_err err;

	if (argc > 1 && strcmp(argv[1], "--sandbox-child") == 0)
		return ix_jail_main(argc, argv);
	missing = person_become("ixtest:1000000:65536\n");
	if (missing) {
		printf("skipped: %s\n", missing);
		return 77;
	}
	if (ix_sandbox_enter(&degraded, &err) < 0) {
		printf("skipped: %s\n", err.msg);
		return 77;
	}
	if (degraded) {
		printf("skipped: %s\n", degraded);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
