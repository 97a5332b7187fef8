/* Raw system calls that the C library of Debian 12 does not wrap, each in one place. They behave like wrapped ones: -1 and errno. */
#ifndef IX_JAIL_SYSCALLS_INT_H
#define IX_JAIL_SYSCALLS_INT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.6. Retries the EAGAIN that scoped lookups answer when the tree is renamed meanwhile. */
static inline int sys_openat2(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve };
	long fd;

	for (int tries = 0;; tries++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries > 100)
			return (int)fd;
	}
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int sys_capget(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data)
{
	return (int)syscall(SYS_capget, header, data);
}

static inline int sys_capset(struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data)
{
	return (int)syscall(SYS_capset, header, data);
}

static inline int sys_seccomp(unsigned op, unsigned flags, const struct sock_fprog *program)
{
	return (int)syscall(SYS_seccomp, op, flags, program);
}

/* A session keyring of its own, so that the command does not share the keys of whoever started ix. */
static inline int sys_new_session_keyring(void)
{
	return (int)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}

#endif
