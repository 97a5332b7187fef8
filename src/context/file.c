#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsutil.h"
#include "context_int.h"

int context_changed(const struct ix_context *context, const struct ix_entry *entry, struct ix_err *err)
{
	return ix_err_set(err, IX_EFAIL, "%s/%s changed while the build was running: build again", context->label, entry->path);
}

int context_open(const struct ix_context *context, const struct ix_entry *entry, int *ret_fd, struct ix_err *err)
{
	struct stat st;
	int fd;

	if (entry->socket) {
		*ret_fd = memfd_create("socket", MFD_CLOEXEC);
		return *ret_fd < 0 ? ix_err_sys(err, "%s/%s", context->label, entry->path) : 0;
	}
	/* O_NONBLOCK: a pipe put in the file's place meanwhile must not hang us. */
	fd = ix_open_beneath(context->root_fd, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, err);
	if (fd == -IX_ENOTFOUND)
		return context_changed(context, entry, err);
	if (fd < 0)
		return ix_err_wrap(err, "%s", context->label);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return context_changed(context, entry, err);
	}
	*ret_fd = fd;
	return 0;
}
