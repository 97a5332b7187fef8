#include "test_sandbox_cases.h"

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { BOX_CASES };
	const char *degraded;
	struct ix_err err;

	if (argc > 1 && strcmp(argv[1], "--sandbox-child") == 0)
		return ix_jail_main(argc, argv);
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
