#include <linux/capability.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/str.h"
#include "test_sandbox_box.h"
#include "test_sandbox_person.h"

/* Each case enters in a process of its own, which answers with a line. */
static char *answer_of(void (*fn)(FILE *out))
{
	int fds[2], status;
	ix_auto_buf text = IX_BUF_INIT(16384);
	struct ix_err err;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		FILE *out = fdopen(fds[1], "w");

		fn(out);
		fclose(out);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(ix_buf_read_fd(&text, fds[0], &err), 0);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return text.data ? ix_buf_steal(&text) : ix_strdup("");
}

static void enter(FILE *out)
{
	const char *degraded = "untouched";
	struct ix_err err;

	if (ix_sandbox_enter(&degraded, &err) < 0)
		fprintf(out, "error: %s", err.msg);
	else
		fprintf(out, "uid %u rootless %d: %s", geteuid(), ix_sandbox_rootless(), degraded ? degraded : "full");
}

static void enter_as(FILE *out, const char *subids)
{
	const char *missing = person_become(subids);

	if (missing)
		fprintf(out, "skipped: %s", missing);
	else
		enter(out);
}

static bool is_skipped(const char *answer)
{
	if (!ix_starts(answer, "skipped") && !ix_starts(answer, "error"))
		return false;
	print_message("%s\n", answer);
	return true;
}

/* --- root --- */

static void enter_root_twice(FILE *out)
{
	char before[64] = "", after[64] = "";

	(void)!readlink("/proc/self/ns/mnt", before, sizeof(before) - 1);
	enter(out);
	(void)!readlink("/proc/self/ns/mnt", after, sizeof(after) - 1);
	fprintf(out, " %s ", strcmp(before, after) == 0 ? "same" : "new");
	enter(out);
	(void)!readlink("/proc/self/ns/mnt", before, sizeof(before) - 1);
	fprintf(out, " %s", strcmp(before, after) == 0 ? "same" : "new");
}

static void root_gets_a_mount_namespace_once(void **state)
{
	ix_auto_free char *answer = NULL;

	(void)state;
	if (geteuid() != 0)
		skip();
	answer = answer_of(enter_root_twice);
	if (is_skipped(answer) || strstr(answer, "rootless 1"))
		skip();
	assert_string_equal(answer, "uid 0 rootless 0: full new uid 0 rootless 0: full same");
}

static void enter_with_foreign_marker(FILE *out)
{
	setenv("IX_ENTERED", "4026531840:f", 1);
	enter_root_twice(out);
}

static void marker_of_another_namespace_is_not_believed(void **state)
{
	ix_auto_free char *answer = NULL;

	(void)state;
	if (geteuid() != 0)
		skip();
	answer = answer_of(enter_with_foreign_marker);
	if (is_skipped(answer) || strstr(answer, "rootless 1"))
		skip();
	assert_string_equal(answer, "uid 0 rootless 0: full new uid 0 rootless 0: full same");
}

static void enter_without_sys_admin(FILE *out)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		_exit(1);
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	data[0].permitted &= ~(1u << CAP_SYS_ADMIN);
	if (syscall(SYS_capset, &header, data) < 0)
		_exit(1);
	enter(out);
	fprintf(out, " %d", chown("/proc/self/nothing", 1000, 1000) < 0 && errno == ENOENT);
}

static void root_without_sys_admin_uses_a_user_namespace(void **state)
{
	ix_auto_free char *answer = NULL;

	(void)state;
	if (geteuid() != 0)
		skip();
	answer = answer_of(enter_without_sys_admin);
	if (is_skipped(answer))
		skip();
	assert_string_equal(answer, "uid 0 rootless 1: full 1");
}

static void forbid_user_namespaces(FILE *out)
{
	/* In a user namespace of its own the count can be set by this process. */
	const char *degraded;
	struct ix_err err;
	int fd;

	if (person_become("ixtest:1000000:65536\n") || ix_sandbox_enter(&degraded, &err) < 0) {
		fprintf(out, "skipped: no user namespaces");
		return;
	}
	fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1) {
		fprintf(out, "skipped: cannot set max_user_namespaces");
		return;
	}
	close(fd);
	unsetenv("IX_ENTERED");
	if (setresuid(1000, 1000, 1000) < 0)
		_exit(1);
	enter(out);
}

static void forbidden_user_namespaces_name_the_setting(void **state)
{
	ix_auto_free char *answer = NULL;

	(void)state;
	answer = answer_of(forbid_user_namespaces);
	if (ix_starts(answer, "skipped")) {
		print_message("%s\n", answer);
		skip();
	}
	assert_string_equal(
		answer,
		"error: make a user namespace: user.max_user_namespaces is 0: as root, run: sysctl -w user.max_user_namespaces=10000");
}

/* --- an ordinary user --- */

static void enter_with_subids(FILE *out)
{
	enter_as(out, "other:500000:1000\nixtest:1000000:65536\n54321:3000000:10\n");
}

static void ordinary_user_becomes_root_of_its_ids(void **state)
{
	ix_auto_free char *answer = answer_of(enter_with_subids);

	(void)state;
	if (is_skipped(answer))
		skip();
	assert_string_equal(answer, "uid 0 rootless 1: full");
}

static void enter_without_subids(FILE *out)
{
	enter_as(out, "other:500000:1000\n");
}

static void missing_subids_degrade_and_say_what_to_do(void **state)
{
	ix_auto_free char *answer = NULL;

	(void)state;
	if (geteuid() != 0)
		skip(); /* an ordinary user's /etc/subuid is what it is */
	answer = answer_of(enter_without_subids);
	if (is_skipped(answer))
		skip();
	assert_non_null(strstr(answer, "uid 0 rootless 1: only your own user is mapped: /etc/subuid has no range for ixtest"));
	assert_non_null(strstr(answer, "usermod --add-subuids"));
}

static void enter_without_newuidmap(FILE *out)
{
	setenv("PATH", "/nowhere", 1);
	enter_with_subids(out);
}

static void missing_newuidmap_degrades_and_names_the_package(void **state)
{
	ix_auto_free char *answer = answer_of(enter_without_newuidmap);

	(void)state;
	if (is_skipped(answer))
		skip();
	assert_non_null(strstr(answer, "uid 0 rootless 1: only your own user is mapped: run newgidmap"));
	assert_non_null(strstr(answer, "install the package uidmap"));
}

/* Degraded, commands still run; what needs another id says so. */
static void run_degraded(FILE *out)
{
	struct box *box = NULL;

	enter_without_subids(out);
	if (!ix_sandbox_rootless())
		return;
	box_setup((void **)&box);
	fprintf(out, "\nstatus %d: ", box_sh(box, "id -u; touch /x && chown 5:5 /x 2>/dev/null || echo refused"));
	fprintf(out, "%s", box->out);
	box->plan.user = "app";
	fprintf(out, "status %d: %s", box_sh(box, "true"), box->err.msg);
	box_teardown((void **)&box);
}

static void degraded_runs_commands_as_the_one_user(void **state)
{
	ix_auto_free char *answer = NULL;
	const char *rest;

	(void)state;
	if (geteuid() != 0)
		skip();
	answer = answer_of(run_degraded);
	if (is_skipped(answer))
		skip();
	rest = strchr(answer, '\n');
	assert_non_null(rest);
	assert_string_equal(rest, "\nstatus 0: 0\nrefused\nstatus -1: sandbox: user 1000:1001 is not mapped in this user namespace: give "
				  "yourself subordinate ids in /etc/subuid and /etc/subgid (usermod --add-subuids, --add-subgids)");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_gets_a_mount_namespace_once),
		cmocka_unit_test(marker_of_another_namespace_is_not_believed),
		cmocka_unit_test(root_without_sys_admin_uses_a_user_namespace),
		cmocka_unit_test(forbidden_user_namespaces_name_the_setting),
		cmocka_unit_test(ordinary_user_becomes_root_of_its_ids),
		cmocka_unit_test(missing_subids_degrade_and_say_what_to_do),
		cmocka_unit_test(missing_newuidmap_degrades_and_names_the_package),
		cmocka_unit_test(degraded_runs_commands_as_the_one_user),
	};

	if (argc > 1 && strcmp(argv[1], "--sandbox-child") == 0)
		return ix_jail_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
