/* A small root file system around the machine's own /usr, and running scripts in it. For tests of the sandbox room. */
#ifndef TEST_SANDBOX_BOX_H
#define TEST_SANDBOX_BOX_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "sandbox/sandbox.h"

struct box {
	char dir[64];
	struct ix_jail_mount mounts[16]; /* the first ones are the machine's /usr and the like */
	struct ix_jail_plan plan;
	char out[16384]; /* what the last script wrote, standard output and error together */
	struct ix_err err;
};

static const char *const box_env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };

static ix_unused char *box_path(const struct box *box, const char *path)
{
	/* Good for the rest of a test: none asks for so many. */
	static char text[128][256];
	static unsigned turn;

	turn = (turn + 1) % IX_ARRAY_LEN(text);
	snprintf(text[turn], sizeof(text[turn]), "%s/%s", box->dir, path);
	return text[turn];
}

static ix_unused void box_write(const struct box *box, const char *path, const char *content)
{
	int fd = open(box_path(box, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
}

static ix_unused void box_mkdir(const struct box *box, const char *path, mode_t mode)
{
	assert_int_equal(mkdir(box_path(box, path), mode), 0);
	assert_int_equal(chmod(box_path(box, path), mode), 0);
}

static ix_unused struct ix_jail_mount *box_mount(struct box *box)
{
	struct ix_jail_mount *mount = &box->mounts[box->plan.nmounts++];

	assert_true(box->plan.nmounts <= IX_ARRAY_LEN(box->mounts));
	*mount = (struct ix_jail_mount){ .tree_fd = -1 };
	return mount;
}

/* /bin and the like: links on a merged-/usr machine, directories elsewhere. */
static void box_borrow(struct box *box, const char *host)
{
	char in_root[64], target[64];
	struct stat st;
	ssize_t n;

	snprintf(in_root, sizeof(in_root), "lower%s", host);
	if (lstat(host, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(host, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = '\0';
		assert_int_equal(symlink(target, box_path(box, in_root)), 0);
		return;
	}
	box_mkdir(box, in_root, 0755);
	*box_mount(box) = (struct ix_jail_mount){
		.kind = IX_JAIL_BIND,
		.source = host,
		.target = host,
		.read_only = true,
		.tree_fd = -1,
	};
}

static ix_unused void box_open_root(struct box *box)
{
	const char *lowers[] = { box_path(box, "lower") };
	ix_auto_free char *lower = ix_strdup(lowers[0]);
	ix_auto_free char *upper = ix_strdup(box_path(box, "upper"));
	ix_auto_free char *work = ix_strdup(box_path(box, "work"));
	const char *list[] = { lower };

	if (box->plan.root_fd >= 0)
		close(box->plan.root_fd);
	box->plan.root_fd = -1;
	if (ix_overlay_open(&(struct ix_overlay){ list, 1, upper, work }, &box->plan.root_fd, &box->err) < 0)
		fail_msg("%s", box->err.msg);
}

static ix_unused int box_setup(void **state)
{
	static const char *const borrowed[] = { "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
	struct box *box = ix_calloc(1, sizeof(*box));

	snprintf(box->dir, sizeof(box->dir), "/tmp/ix-box-XXXXXX");
	assert_non_null(mkdtemp(box->dir));
	/* Of its own: whatever /tmp is on, an upper directory is possible here, and nothing stays behind. */
	assert_int_equal(mount("tmpfs", box->dir, "tmpfs", 0, "mode=0755"), 0);
	box_mkdir(box, "lower", 0755);
	box_mkdir(box, "upper", 0755);
	box_mkdir(box, "work", 0755);
	box_mkdir(box, "lower/etc", 0755);
	box_mkdir(box, "lower/root", 0700);
	box_mkdir(box, "lower/tmp", 01777);
	box_write(box, "lower/etc/passwd",
		  "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\napp:x:1000:1001:An App:/home/app:/bin/sh\n");
	box_write(box, "lower/etc/group", "root:x:0:\nadm:x:4:daemon,app\ntty:x:5:\nstaff:x:50:app\napp:x:1001:\n");
	box->plan = (struct ix_jail_plan){ .root_fd = -1, .env = box_env, .cwd = "/", .mounts = box->mounts, .stdin_fd = -1 };
	for (size_t i = 0; i < IX_ARRAY_LEN(borrowed); i++)
		box_borrow(box, borrowed[i]);
	*state = box;
	return 0;
}

static ix_unused int box_teardown(void **state)
{
	struct box *box = *state;

	if (box->plan.root_fd >= 0)
		close(box->plan.root_fd);
	umount2(box->dir, MNT_DETACH);
	rmdir(box->dir);
	free(box);
	return 0;
}

/* Run argv in the root, opened anew; the exit status, or a negative code with box->err. */
static ix_unused int box_run(struct box *box, const char *const *argv)
{
	ix_auto_close int out = memfd_create("out", MFD_CLOEXEC);
	int status = -1, r;
	ssize_t n;

	assert_true(out >= 0);
	box_open_root(box);
	box->plan.argv = argv;
	box->plan.stdout_fd = box->plan.stderr_fd = out;
	r = ix_sandbox_run(&box->plan, NULL, &status, &box->err);
	n = pread(out, box->out, sizeof(box->out) - 1, 0);
	assert_true(n >= 0);
	box->out[n] = '\0';
	return r < 0 ? r : status;
}

static ix_unused int box_sh(struct box *box, const char *script)
{
	return box_run(box, (const char *const[]){ "/bin/sh", "-c", script, NULL });
}

/* The script succeeds and writes exactly this. */
static ix_unused void box_expect(struct box *box, const char *script, const char *out)
{
	int r = box_sh(box, script);

	if (r < 0)
		fail_msg("%s", box->err.msg);
	assert_string_equal(box->out, out);
	assert_int_equal(r, 0);
}

static ix_unused bool host_has(const char *path)
{
	if (access(path, X_OK) == 0)
		return true;
	print_message("skipped: %s is not installed\n", path);
	return false;
}

#endif
