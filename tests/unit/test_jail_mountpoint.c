#include "jail/jail.h"
#include "test_sandbox_box.h"

/* Works without any privilege: a directory in /tmp stands in for the root. */

static char root_dir[64];
static int root_fd = -1;

static int setup(void **state)
{
	(void)state;
	snprintf(root_dir, sizeof(root_dir), "/tmp/ix-mountpoint-XXXXXX");
	if (!mkdtemp(root_dir))
		return -1;
	root_fd = open(root_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 || mkdirat(root_fd, "etc", 0755) < 0 || mkdirat(root_fd, "usr", 0755) < 0 ||
	       mkdirat(root_fd, "usr/bin", 0755) < 0;
}

static int teardown(void **state)
{
	struct ix_err err;

	(void)state;
	close(root_fd);
	return ix_remove_tree(AT_FDCWD, root_dir, &err);
}

static void expect_resolved(const char *path, const char *want)
{
	ix_auto_free char *got = NULL;
	struct ix_err err;

	if (ix_mountpoint_resolve(root_fd, path, &got, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(got, want);
}

static void paths_are_resolved_as_if_chrooted(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("usr/bin", root_fd, "bin"), 0);
	assert_int_equal(symlinkat("/etc", root_fd, "usr/etc"), 0);
	assert_int_equal(symlinkat("/../../..", root_fd, "up"), 0);
	assert_int_equal(symlinkat("../../../../tmp", root_fd, "out"), 0);
	assert_int_equal(symlinkat("nowhere/x", root_fd, "dangling"), 0);
	expect_resolved("/", "");
	expect_resolved("", "");
	expect_resolved("/..//../", "");
	expect_resolved("/bin/sh", "usr/bin/sh");
	expect_resolved("/usr/etc/./hosts", "etc/hosts");
	expect_resolved("/up/etc", "etc");
	expect_resolved("/out/x", "tmp/x");
	expect_resolved("/dangling/y", "nowhere/x/y");
	expect_resolved("/none/../etc", "etc");
	expect_resolved("/usr/etc/../bin", "usr/bin"); /* by way of /etc/.. and /bin */
}

static void loops_and_files_in_the_way_are_errors(void **state)
{
	ix_auto_free char *got = NULL;
	struct ix_err err;

	(void)state;
	assert_int_equal(symlinkat("loop", root_fd, "loop"), 0);
	assert_int_equal(ix_mountpoint_resolve(root_fd, "/loop", &got, &err), -IX_ESYS);
	assert_string_equal(err.msg, "/loop: Too many levels of symbolic links");
	assert_int_equal(mknodat(root_fd, "file", S_IFREG | 0644, 0), 0);
	assert_int_equal(ix_mountpoint_resolve(root_fd, "/file/x", &got, &err), -IX_ESYS);
	assert_string_equal(err.msg, "/file/x: Not a directory");
	assert_null(got);
}

static void too_long_paths_are_an_error(void **state)
{
	ix_auto_buf path = { 0 };
	ix_auto_free char *got = NULL;
	struct ix_err err;

	(void)state;
	for (int i = 0; i < 1000; i++)
		ix_buf_puts(&path, "/abcdefgh");
	assert_int_equal(ix_mountpoint_resolve(root_fd, path.data, &got, &err), -IX_ELIMIT);
	assert_non_null(strstr(err.msg, "a path is too long"));
}

static struct timespec mtime_of(const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(root_fd, path, &st, 0), 0);
	return st.st_mtim;
}

static void make_and_close(const char *path, bool is_dir, struct ix_stubs *stubs)
{
	struct ix_err err;
	int fd = -1;

	if (ix_mountpoint_open(root_fd, path, is_dir, stubs, &fd, &err) < 0)
		fail_msg("%s", err.msg);
	close(fd);
}

static void stubs_come_and_go_without_a_trace(void **state)
{
	const struct timespec past[2] = { { 1000000000, 3 }, { 1000000000, 4 } };
	ix_auto_stubs stubs = { 0 };
	struct ix_err err;
	struct stat st;
	mode_t old = umask(077);

	(void)state;
	assert_int_equal(utimensat(root_fd, "etc", past, 0), 0);
	make_and_close("/etc/hosts", false, &stubs);
	make_and_close("/etc/a/b/c", true, &stubs);
	make_and_close("/etc/a/b", true, &stubs);
	umask(old);
	assert_int_equal(stubs.count, 4);
	assert_int_equal(fstatat(root_fd, "etc/hosts", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(fstatat(root_fd, "etc/a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(mtime_of("etc").tv_sec, 1000000000);
	assert_int_equal(ix_stubs_remove(root_fd, &stubs, &err), 0);
	assert_false(ix_path_exists(root_fd, "etc/hosts"));
	assert_false(ix_path_exists(root_fd, "etc/a"));
	assert_int_equal(mtime_of("etc").tv_sec, 1000000000);
	assert_int_equal(mtime_of("etc").tv_nsec, 4);
}

static void used_stubs_stay(void **state)
{
	ix_auto_stubs stubs = { 0 };
	struct ix_err err;
	int fd;

	(void)state;
	make_and_close("/run/secrets/one", false, &stubs);
	make_and_close("/run/secrets/two", false, &stubs);
	make_and_close("/run/three", false, &stubs);
	fd = openat(root_fd, "run/secrets/one", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	/* another file of the same name is not ours */
	assert_int_equal(mknodat(root_fd, "run/new", S_IFREG | 0644, 0), 0);
	assert_int_equal(renameat(root_fd, "run/new", root_fd, "run/three"), 0);
	assert_int_equal(ix_stubs_remove(root_fd, &stubs, &err), 0);
	assert_true(ix_path_exists(root_fd, "run/secrets/one"));
	assert_false(ix_path_exists(root_fd, "run/secrets/two"));
	assert_true(ix_path_exists(root_fd, "run/three"));
}

static void removed_parents_are_no_error(void **state)
{
	ix_auto_stubs stubs = { 0 };
	struct ix_err err;

	(void)state;
	make_and_close("/run/one", false, &stubs);
	assert_int_equal(unlinkat(root_fd, "run/one", 0), 0);
	assert_int_equal(unlinkat(root_fd, "run", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", root_fd, "run"), 0);
	assert_int_equal(ix_stubs_remove(root_fd, &stubs, &err), 0);
	assert_true(ix_path_exists(root_fd, "etc"));
}

static void links_put_in_the_way_later_are_not_followed(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("etc", root_fd, "link"), 0);
	assert_int_equal(ix_mountpoint_open_resolved(root_fd, "link/x", O_PATH), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(ix_mountpoint_open_resolved(root_fd, "link", O_PATH), -1);
	assert_int_equal(errno, ELOOP);
}

static void kinds_must_fit(void **state)
{
	struct ix_err err;
	int fd = -1;

	(void)state;
	assert_int_equal(ix_mountpoint_open(root_fd, "/etc", false, NULL, &fd, &err), -IX_EARG);
	assert_string_equal(err.msg, "cannot mount on /etc: it is a directory, and what is mounted is a file");
	assert_int_equal(mknodat(root_fd, "etc/hosts", S_IFREG | 0644, 0), 0);
	assert_int_equal(ix_mountpoint_open(root_fd, "/etc/hosts", true, NULL, &fd, &err), -IX_EARG);
	assert_string_equal(err.msg, "cannot mount on /etc/hosts: it is a file, and what is mounted is a directory");
	assert_int_equal(fd, -1);
}

#define ROOT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROOT_TEST(paths_are_resolved_as_if_chrooted),
		ROOT_TEST(loops_and_files_in_the_way_are_errors),
		ROOT_TEST(too_long_paths_are_an_error),
		ROOT_TEST(stubs_come_and_go_without_a_trace),
		ROOT_TEST(used_stubs_stay),
		ROOT_TEST(removed_parents_are_no_error),
		ROOT_TEST(links_put_in_the_way_later_are_not_followed),
		ROOT_TEST(kinds_must_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
