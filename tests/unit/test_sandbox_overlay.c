#include "sandbox/overlay_int.h"
#include "test_sandbox_box.h"

typedef int overlay_fn(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err);

/* Layers l000, l001, ... each with a file of its own and one they all have; the uppermost comes first. */
enum { MANY = 130 };

static void make_layers(struct box *box, size_t count, const char *prefix, char **paths)
{
	for (size_t i = 0; i < count; i++) {
		char name[300], file[320], text[32];

		snprintf(name, sizeof(name), "%s%03zu", prefix, i);
		paths[i] = ix_asprintf("%s/%s", box->dir, name);
		assert_int_equal(mkdir(paths[i], 0755), 0);
		snprintf(text, sizeof(text), "%zu", i);
		for (int common = 0; common < 2; common++) {
			ix_auto_free char *path = NULL;
			int fd;

			snprintf(file, sizeof(file), common ? "common" : "own%zu", i);
			path = ix_asprintf("%s/%s", paths[i], file);
			fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			assert_true(fd >= 0);
			assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
			close(fd);
		}
	}
}

static void free_paths(char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
}

static void assert_content(int dirfd, const char *path, const char *want)
{
	ix_auto_buf text = IX_BUF_INIT(1024);
	struct ix_err err;

	if (ix_read_file(dirfd, path, &text, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(ix_buf_str(&text), want);
}

static void check(void **state, const char *prefix, overlay_fn *open_overlay)
{
	struct box *box = *state;
	char *paths[MANY];
	ix_auto_buf before = { 0 }, after = { 0 };
	struct ix_overlay overlay = { .lowers = (const char *const *)paths, .nlowers = MANY };
	int fd = -1, file;

	make_layers(box, MANY, prefix, paths);
	box_mkdir(box, "up:per,1", 0755);
	overlay.upper = box_path(box, "up:per,1");
	overlay.work = box_path(box, "work");
	assert_int_equal(ix_read_file(AT_FDCWD, "/proc/self/mounts", &before, &box->err), 0);
	if (open_overlay(&overlay, &fd, &box->err) < 0) {
		if (open_overlay == sandbox_overlay_fsconfig && box->err.sys == EINVAL) {
			print_message("skipped: this kernel has no lowerdir+\n");
			free_paths(paths, MANY);
			skip();
		}
		fail_msg("%s", box->err.msg);
	}
	assert_int_equal(ix_read_file(AT_FDCWD, "/proc/self/mounts", &after, &box->err), 0);
	assert_string_equal(before.data, after.data);
	assert_content(fd, "common", "0");
	assert_content(fd, "own0", "0");
	assert_content(fd, "own129", "129");
	file = openat(fd, "common", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(write(file, "new", 3), 3);
	close(file);
	assert_content(AT_FDCWD, box_path(box, "up:per,1/common"), "new");
	close(fd);
	free_paths(paths, MANY);
}

static void many_layers_by_fsconfig(void **state)
{
	check(state, "l", sandbox_overlay_fsconfig);
}

static void many_layers_by_mount(void **state)
{
	check(state, "l", sandbox_overlay_legacy);
}

static void many_layers_by_whatever_there_is(void **state)
{
	check(state, "l", ix_overlay_open);
}

/* Long, and with all that option strings quote. */
#define LONG_NAME                                                                                                                          \
	"a:b,c\\d e-0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"         \
	"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"

static void long_and_odd_names_by_fsconfig(void **state)
{
	check(state, LONG_NAME, sandbox_overlay_fsconfig);
}

static void long_and_odd_names_by_mount(void **state)
{
	check(state, LONG_NAME, sandbox_overlay_legacy);
}

static void one_read_only_layer_is_a_bind(void **state)
{
	struct box *box = *state;
	char *paths[1];
	int fd = -1;

	make_layers(box, 1, "l", paths);
	assert_int_equal(ix_overlay_open(&(struct ix_overlay){ .lowers = (const char *const *)paths, .nlowers = 1 }, &fd, &box->err), 0);
	assert_content(fd, "common", "0");
	assert_int_equal(openat(fd, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), -1);
	assert_int_equal(errno, EROFS);
	close(fd);
	free_paths(paths, 1);
}

static void layers_without_upper_are_read_only(void **state)
{
	overlay_fn *const ways[] = { ix_overlay_open, sandbox_overlay_legacy };
	struct box *box = *state;
	char *paths[2];

	make_layers(box, 2, "l", paths);
	for (size_t i = 0; i < IX_ARRAY_LEN(ways); i++) {
		int fd = -1;

		if (ways[i](&(struct ix_overlay){ .lowers = (const char *const *)paths, .nlowers = 2 }, &fd, &box->err) < 0)
			fail_msg("%s", box->err.msg);
		assert_content(fd, "own1", "1");
		assert_int_equal(openat(fd, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), -1);
		assert_int_equal(errno, EROFS);
		close(fd);
	}
	free_paths(paths, 2);
}

static void missing_layer_is_named(void **state)
{
	struct box *box = *state;
	const char *lowers[] = { box_path(box, "lower"), box_path(box, "none") };
	int fd = -1;

	assert_int_equal(ix_overlay_open(&(struct ix_overlay){ .lowers = lowers, .nlowers = 2 }, &fd, &box->err), -IX_ESYS);
	assert_non_null(strstr(box->err.msg, "overlay of 2 layers"));
	assert_int_equal(sandbox_overlay_legacy(&(struct ix_overlay){ .lowers = lowers, .nlowers = 2 }, &fd, &box->err), -IX_ESYS);
	assert_non_null(strstr(box->err.msg, "/none: No such file or directory"));
	assert_int_equal(fd, -1);
}

static void too_many_layers_are_refused(void **state)
{
	struct box *box = *state;
	const char *lowers[501];
	int fd = -1;

	for (size_t i = 0; i < IX_ARRAY_LEN(lowers); i++)
		lowers[i] = box->dir;
	assert_int_equal(ix_overlay_open(&(struct ix_overlay){ .lowers = lowers, .nlowers = 501 }, &fd, &box->err), -IX_ELIMIT);
	assert_string_equal(box->err.msg, "an overlay of 501 layers: the kernel stacks 500 at most");
}

static void five_hundred_layers_work(void **state)
{
	overlay_fn *const ways[] = { ix_overlay_open, sandbox_overlay_legacy };
	static char *paths[500];
	struct box *box = *state;

	make_layers(box, 500, "l", paths);
	for (size_t i = 0; i < IX_ARRAY_LEN(ways); i++) {
		int fd = -1;

		if (ways[i](&(struct ix_overlay){ .lowers = (const char *const *)paths, .nlowers = 500 }, &fd, &box->err) < 0)
			fail_msg("%s", box->err.msg);
		assert_content(fd, "own499", "499");
		close(fd);
	}
	free_paths(paths, 500);
}

static void directories_are_renamed_by_copy_not_redirect(void **state)
{
	overlay_fn *const ways[] = { ix_overlay_open, sandbox_overlay_legacy };
	struct box *box = *state;
	const char *lowers[] = { box_path(box, "lower") };
	struct ix_overlay overlay = { lowers, 1, box_path(box, "upper"), box_path(box, "work") };

	for (size_t i = 0; i < IX_ARRAY_LEN(ways); i++) {
		int fd = -1;

		if (ways[i](&overlay, &fd, &box->err) < 0)
			fail_msg("%s", box->err.msg);
		assert_int_equal(renameat(fd, "etc", fd, "etc2"), -1);
		assert_int_equal(errno, EXDEV);
		close(fd);
	}
}

static void bind_of_a_missing_path_names_it(void **state)
{
	struct box *box = *state;
	int fd = -1;

	assert_int_equal(ix_bind_open("/no/such/dir", true, &fd, &box->err), -IX_ESYS);
	assert_string_equal(box->err.msg, "bind /no/such/dir: No such file or directory");
}

#define BOX_TEST(fn) cmocka_unit_test_setup_teardown(fn, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOX_TEST(many_layers_by_fsconfig),
		BOX_TEST(many_layers_by_mount),
		BOX_TEST(many_layers_by_whatever_there_is),
		BOX_TEST(long_and_odd_names_by_fsconfig),
		BOX_TEST(long_and_odd_names_by_mount),
		BOX_TEST(one_read_only_layer_is_a_bind),
		BOX_TEST(layers_without_upper_are_read_only),
		BOX_TEST(missing_layer_is_named),
		BOX_TEST(too_many_layers_are_refused),
		BOX_TEST(five_hundred_layers_work),
		BOX_TEST(directories_are_renamed_by_copy_not_redirect),
		BOX_TEST(bind_of_a_missing_path_names_it),
	};
	const char *degraded;
	struct ix_err err;

	if (ix_sandbox_enter(&degraded, &err) < 0) {
		printf("skipped: %s\n", err.msg);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
