#include "sandbox/self_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "jail/jail.h"
#include "sandbox/sandbox.h"

/* Linux 6.3; older kernels make every file in memory executable and cannot seal its mode. */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

static int memory_file(void)
{
	int fd = memfd_create("ix-jail", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	return fd < 0 && errno == EINVAL ? memfd_create("ix-jail", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

#ifdef IX_JAIL_EMBEDDED

extern const char jail_image[], jail_image_end[]; /* tools/embed */

static int copy_program(int to, struct ix_err *err)
{
	return ix_write_all(to, jail_image, (size_t)(jail_image_end - jail_image), err);
}

#else

/* The whole of ix, which is a jail when it is told so. */
static int copy_program(int to, struct ix_err *err)
{
	ix_auto_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (from < 0)
		return ix_err_sys(err, "open the program");
	do {
		n = sendfile(to, from, NULL, 1 << 30);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? ix_err_sys(err, "copy the program") : 0;
}

#endif

static int seal(int fd, struct ix_err *err)
{
	if (fchmod(fd, 0555) < 0)
		return ix_err_sys(err, "mode of the program's copy");
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC);
	return fcntl(fd, F_ADD_SEALS, seals | F_SEAL_SEAL) < 0 ? ix_err_sys(err, "seal the program's copy") : 0;
}

static int make_copy(int *ret_fd, struct ix_err *err)
{
	ix_auto_close int copy = memory_file();
	int r;

	if (copy < 0)
		return ix_bind_open("/proc/self/exe", true, ret_fd, err);
	if ((r = copy_program(copy, err)) < 0 || (r = seal(copy, err)) < 0)
		return r;
	*ret_fd = ix_steal_fd(&copy);
	return 0;
}

int sandbox_self(int *ret_fd, struct ix_err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int self = -1;
	int r;

	pthread_mutex_lock(&lock);
	r = self < 0 ? make_copy(&self, err) : 0;
	*ret_fd = self;
	pthread_mutex_unlock(&lock);
	return r;
}
