#include "sandbox/overlay_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/trace.h"
#include "jail/jail.h"

enum {
	LOWERS_MAX = 500,   /* OVL_MAX_STACK */
	PARAM_MAX = 255,    /* longest string fsconfig(2) takes */
	OPTIONS_MAX = 4095, /* mount(2) cuts its option string at a page */
	THREAD_STACK = 1 << 20,
};

/*
 * A user namespace has no trusted.* attributes, and refuses the options below; there userxattr implies them. Outside they are set because
 * distributions compile other defaults in, and a layer must hold every file whole: no redirects, no metadata-only copies, no index.
 */
static const struct ix_tree_option user_options[] = { { "userxattr", NULL } };
static const struct ix_tree_option root_options[] = { { "index", "off" }, { "metacopy", "off" }, { "redirect_dir", "off" } };

static void common_options(const struct ix_tree_option **ret_options, size_t *ret_count)
{
	bool user = ix_sandbox_rootless();

	*ret_options = user ? user_options : root_options;
	*ret_count = user ? IX_ARRAY_LEN(user_options) : IX_ARRAY_LEN(root_options);
}

/* Directories opened as /proc/self/fd/N, for names that are short and free of the characters option strings quote. */
struct dirs {
	int *fds;
	size_t count;
};

static void dirs_release(struct dirs *dirs)
{
	for (size_t i = 0; i < dirs->count; i++)
		ix_closep(&dirs->fds[i]);
	free(dirs->fds);
}

static int dirs_add(struct dirs *dirs, const char *path, struct ix_err *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ix_err_sys(err, "open layer %s", path);
	dirs->fds[dirs->count++] = fd;
	return fd;
}

struct params {
	struct ix_tree_option items[LOWERS_MAX + 8];
	char names[LOWERS_MAX + 2][32];
	size_t count;
	struct dirs dirs;
};

static void params_free(struct params *params)
{
	if (!params)
		return;
	dirs_release(&params->dirs);
	free(params);
}
IX_DEFINE_FREEP(struct params, params_free)

static int add_dir(struct params *params, const char *key, const char *path, struct ix_err *err)
{
	const char *name = path;

	if (strlen(path) > PARAM_MAX) {
		size_t slot = params->dirs.count;
		int fd = dirs_add(&params->dirs, path, err);

		if (fd < 0)
			return fd;
		snprintf(params->names[slot], sizeof(params->names[slot]), "/proc/self/fd/%d", fd);
		name = params->names[slot];
	}
	params->items[params->count++] = (struct ix_tree_option){ key, name };
	return 0;
}

int sandbox_overlay_fsconfig(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err)
{
	ix_scoped(params_freep) struct params *params = ix_calloc(1, sizeof(*params));
	const struct ix_tree_option *common;
	size_t ncommon;
	int r;

	params->dirs.fds = ix_calloc(overlay->nlowers + 2, sizeof(int));
	params->items[params->count++] = (struct ix_tree_option){ "source", "overlay" };
	common_options(&common, &ncommon);
	for (size_t i = 0; i < ncommon; i++)
		params->items[params->count++] = common[i];
	for (size_t i = 0; i < overlay->nlowers; i++)
		if ((r = add_dir(params, "lowerdir+", overlay->lowers[i], err)) < 0)
			return r;
	if (overlay->upper &&
	    ((r = add_dir(params, "upperdir", overlay->upper, err)) < 0 || (r = add_dir(params, "workdir", overlay->work, err)) < 0))
		return r;
	return ix_tree_new("overlay", params->items, params->count, overlay->upper ? 0 : MOUNT_ATTR_RDONLY, ret_fd, err);
}

/* --- mount(2) --- */

struct legacy {
	const struct ix_overlay *overlay;
	int fd;
	int r;
	struct ix_err *err;
};

/* Names relative to /proc/self/fd: three or four bytes a layer, so that 500 of them fit into the page mount(2) reads. */
static int legacy_options(const struct ix_overlay *overlay, struct dirs *dirs, struct ix_buf *text, struct ix_err *err)
{
	const struct ix_tree_option *common;
	size_t ncommon;

	for (size_t i = 0; i < overlay->nlowers; i++) {
		int fd = dirs_add(dirs, overlay->lowers[i], err);

		if (fd < 0)
			return fd;
		ix_buf_printf(text, "%s%d", i ? ":" : "lowerdir=", fd);
	}
	if (overlay->upper) {
		int upper = dirs_add(dirs, overlay->upper, err);
		int work = upper < 0 ? upper : dirs_add(dirs, overlay->work, err);

		if (work < 0)
			return work;
		ix_buf_printf(text, ",upperdir=%d,workdir=%d", upper, work);
	}
	common_options(&common, &ncommon);
	for (size_t i = 0; i < ncommon; i++)
		ix_buf_printf(text, ",%s%s%s", common[i].key, common[i].value ? "=" : "", common[i].value ? common[i].value : "");
	if (text->len > OPTIONS_MAX)
		return ix_err_set(err, IX_ELIMIT, "an overlay of %zu layers is too much for this kernel: use Linux 6.8 or later",
				  overlay->nlowers);
	return 0;
}

/*
 * In a mount namespace of this thread alone, so that the mount is never seen at a path by anybody else and goes with the thread; the clone
 * stays. Overlayfs takes layers only from the mounter's namespace, so the directories are opened after the unshare.
 */
static int legacy_mount(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err)
{
	const char *point = overlay->upper ? overlay->work : overlay->lowers[0];
	ix_scoped(dirs_release) struct dirs dirs = { .fds = ix_calloc(overlay->nlowers + 2, sizeof(int)) };
	ix_auto_buf options = IX_BUF_INIT(0);
	int fd;

	if (unshare(CLONE_FS | CLONE_NEWNS) < 0)
		return ix_err_sys(err, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return ix_err_sys(err, "make mounts private");
	int r = legacy_options(overlay, &dirs, &options, err);
	if (r < 0)
		return r;
	if (chdir("/proc/self/fd") < 0)
		return ix_err_sys(err, "enter /proc/self/fd");
	if (mount("overlay", point, "overlay", overlay->upper ? 0 : MS_RDONLY, options.data) < 0)
		return ix_err_sys(err, "mount overlay");
	fd = open_tree(AT_FDCWD, point, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		return ix_err_sys(err, "detach overlay");
	*ret_fd = fd;
	return 0;
}

static void *legacy_thread(void *data)
{
	struct legacy *legacy = data;

	legacy->r = legacy_mount(legacy->overlay, &legacy->fd, legacy->err);
	return NULL;
}

int sandbox_overlay_legacy(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err)
{
	struct legacy legacy = { .overlay = overlay, .err = err };
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	errno = pthread_create(&thread, &attr, legacy_thread, &legacy);
	pthread_attr_destroy(&attr);
	if (errno)
		return ix_err_sys(err, "start a thread");
	pthread_join(thread, NULL);
	if (legacy.r < 0)
		return legacy.r;
	*ret_fd = legacy.fd;
	return 0;
}

int ix_overlay_open(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err)
{
	int r;

	if (overlay->nlowers == 0)
		ix_bug("an overlay without layers");
	if (overlay->nlowers > LOWERS_MAX)
		return ix_err_set(err, IX_ELIMIT, "an overlay of %zu layers: the kernel stacks %d at most", overlay->nlowers, LOWERS_MAX);
	if (overlay->nlowers == 1 && !overlay->upper)
		return ix_bind_open(overlay->lowers[0], true, ret_fd, err);
	r = sandbox_overlay_fsconfig(overlay, ret_fd, err);
	if (r == -IX_ESYS && (err->sys == EINVAL || err->sys == ENOSYS || err->sys == EOPNOTSUPP)) {
		ix_trace("sandbox", "%s; trying mount(2)", err->msg); /* before Linux 6.8 */
		r = sandbox_overlay_legacy(overlay, ret_fd, err);
	}
	if (r < 0)
		return ix_err_wrap(err, "overlay of %zu layers%s%s", overlay->nlowers, overlay->upper ? " over " : "",
				   overlay->upper ? overlay->upper : "");
	return 0;
}

int ix_tmpfs_open(uint64_t size, int *ret_fd, struct ix_err *err)
{
	char bytes[32];
	const struct ix_tree_option options[] = { { "mode", "0755" }, { "size", bytes } };

	/* 0 would be no limit. */
	snprintf(bytes, sizeof(bytes), "%ju", (uintmax_t)(size ? size : 1));
	return ix_tree_new("tmpfs", options, IX_ARRAY_LEN(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, ret_fd, err);
}
