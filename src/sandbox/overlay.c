#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/scope.h"
#include "overlay_int.h"
#include "sandbox_int.h"

enum { LOWERS_MAX = 500 };

static int set_text(int fs, const char *key, const char *value)
{
	return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* Options that keep layers free of marks only this overlay understands. In a user namespace the kernel refuses to have them named, and they
 * are off anyway. */
static int set_plain(int fs)
{
	static const char *const off[] = { "index", "metacopy", "redirect_dir", "xino" };

	if (ix_sandbox_rootless())
		return fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0);
	for (size_t i = 0; i < IX_ARRAY_LEN(off); i++)
		if (set_text(fs, off[i], "off") < 0)
			return -1;
	return 0;
}

/* Since Linux 6.5 each lower directory can be named on its own, without length limits. */
static int overlay_new_api(const struct ix_overlay *overlay)
{
	ix_auto_close int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs < 0 || set_text(fs, "source", "ix") < 0 || set_plain(fs) < 0)
		return -1;
	for (size_t i = 0; i < overlay->nlowers; i++)
		if (set_text(fs, "lowerdir+", overlay->lowers[i]) < 0)
			return -1;
	if (overlay->upper && (set_text(fs, "upperdir", overlay->upper) < 0 || set_text(fs, "workdir", overlay->work) < 0))
		return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

/* --- before Linux 6.5: mount(2), whose options are one page --- */

struct legacy {
	const struct ix_overlay *overlay;
	const char *base;   /* the lowers' common directory: names in the options are relative to it */
	char *options;
	char *point;
	int fd;
	int error;
};

/* On a thread of its own, whose working directory is its own too. */
static void *legacy_thread(void *data)
{
	struct legacy *self = data;

	self->fd = -1;
	if (unshare(CLONE_FS) < 0 || chdir(self->base) < 0 || mount("overlay", self->point, "overlay", 0, self->options) < 0) {
		self->error = errno;
		return NULL;
	}
	self->fd = open_tree(AT_FDCWD, self->point, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	self->error = errno;
	(void)umount2(self->point, MNT_DETACH);
	return NULL;
}

/* The longest directory that all lowers are in. */
static char *common_dir(const struct ix_overlay *overlay)
{
	char *dir = ix_path_dir(overlay->lowers[0]);

	for (size_t i = 1; i < overlay->nlowers; i++) {
		while (!ix_path_within(dir, overlay->lowers[i])) {
			char *up = ix_path_dir(dir);

			free(dir);
			dir = up;
		}
	}
	return dir;
}

static char *legacy_options(const struct ix_overlay *overlay, const char *base)
{
	size_t skip = strcmp(base, "/") == 0 ? 1 : strlen(base) + 1;
	ix_auto_buf options = { 0 };

	ix_buf_puts(&options, ix_sandbox_rootless() ? "userxattr,lowerdir=" : "index=off,metacopy=off,redirect_dir=off,xino=off,lowerdir=");
	for (size_t i = 0; i < overlay->nlowers; i++)
		ix_buf_printf(&options, "%s%s", i ? ":" : "", strcmp(overlay->lowers[i], base) == 0 ? "." : overlay->lowers[i] + skip);
	if (overlay->upper)
		ix_buf_printf(&options, ",upperdir=%s,workdir=%s", overlay->upper, overlay->work);
	return ix_buf_steal(&options);
}

int overlay_legacy(const struct ix_overlay *overlay)
{
	ix_auto_free char *base = common_dir(overlay);
	struct legacy self = { .overlay = overlay, .base = base, .fd = -1 };
	char point[] = "/tmp/ix-overlay-XXXXXX";
	pthread_t thread;

	self.options = legacy_options(overlay, base);
	self.point = mkdtemp(point);
	if (!self.point)
		self.error = errno;
	else if (strlen(self.options) >= 4096)
		self.error = E2BIG;
	else if (pthread_create(&thread, NULL, legacy_thread, &self) != 0)
		self.error = EAGAIN;
	else
		pthread_join(thread, NULL);
	if (self.point)
		rmdir(self.point);
	free(self.options);
	errno = self.error;
	return self.fd;
}

int ix_bind_open(const char *path, bool read_only, int *ret_fd, struct ix_err *err)
{
	ix_auto_close int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (fd < 0)
		return ix_err_sys(err, "bind %s", path);
	if (read_only && mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return ix_err_sys(err, "bind %s read-only", path);
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

int ix_overlay_open(const struct ix_overlay *overlay, int *ret_fd, struct ix_err *err)
{
	int fd;

	if (overlay->nlowers == 0 || overlay->nlowers > LOWERS_MAX)
		return ix_err_set(err, IX_ELIMIT, "%zu layers: an image can have 1 to %d here", overlay->nlowers, LOWERS_MAX);
	if (overlay->nlowers == 1 && !overlay->upper)
		return ix_bind_open(overlay->lowers[0], true, ret_fd, err);
	fd = overlay_new_api(overlay);
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL || errno == EPERM))
		fd = overlay_legacy(overlay);
	if (fd < 0)
		return ix_err_sys(err, "mount an overlay of %zu layers", overlay->nlowers);
	*ret_fd = fd;
	return 0;
}
