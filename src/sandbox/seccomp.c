#include "sandbox/seccomp_int.h"

#include <asm/ioctls.h>
#include <endian.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/trace.h"

/*
 * An allow-list of the same extent as docker's default profile, for the capabilities that caps.c keeps. What is not listed fails with EPERM;
 * what is newer than anything listed fails with ENOSYS, because C libraries fall back on that, and give up on EPERM.
 */
/* clang-format off */
static const char *const allowed[] = {
	/* files and directories */
	"access", "chdir", "chmod", "chown", "chown32", "chroot", "close", "close_range", "copy_file_range", "creat", "faccessat",
	"faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
	"fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "flock", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync",
	"ftruncate", "ftruncate64", "futimesat", "getcwd", "getdents", "getdents64", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "ioctl", "lchown", "lchown32", "link", "linkat", "lseek", "_llseek", "lstat", "lstat64", "mkdir", "mkdirat",
	"mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "readahead", "readlink", "readlinkat",
	"rename", "renameat", "renameat2", "rmdir", "stat", "stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync",
	"sync_file_range", "arm_sync_file_range", "sync_file_range2", "syncfs", "truncate", "truncate64", "umask", "unlink", "unlinkat",
	"utime", "utimensat", "utimensat_time64", "utimes",
	/* extended attributes */
	"fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "getxattr", "lgetxattr", "listxattr", "llistxattr", "lremovexattr",
	"lsetxattr", "removexattr", "setxattr",
	/* reading, writing, waiting */
	"_newselect", "cachestat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
	"io_pgetevents_time64", "io_setup", "io_submit", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "pread64", "preadv", "preadv2",
	"pselect6", "pselect6_time64", "pwrite64", "pwritev", "pwritev2", "read", "readv", "select", "sendfile", "sendfile64", "signalfd",
	"signalfd4", "splice", "tee", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
	"vmsplice", "write", "writev",
	/* sockets; AF_VSOCK is refused below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv", "recvfrom", "recvmmsg",
	"recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "socketcall",
	"socketpair",
	/* memory */
	"brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2", "mlockall",
	"mmap", "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
	"pkey_mprotect", "remap_file_pages",
	/* processes; clone and clone3 are below */
	"arch_prctl", "arm_fadvise64_64", "breakpoint", "cacheflush", "set_tls", "execve", "execveat", "exit", "exit_group", "fork",
	"getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit", "getrusage", "getsid", "gettid", "kill",
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "modify_ldt", "pause", "pidfd_open",
	"pidfd_send_signal", "prctl", "prlimit64", "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace",
	"restart_syscall", "riscv_flush_icache", "riscv_hwprobe", "rseq", "s390_pci_mmio_read", "s390_pci_mmio_write",
	"s390_runtime_instr", "seccomp", "set_robust_list", "get_robust_list", "set_thread_area", "get_thread_area", "set_tid_address",
	"setpgid", "setpriority", "setrlimit", "setsid", "swapcontext", "tgkill", "tkill", "ugetrlimit", "vfork", "wait4", "waitid",
	"waitpid",
	/* who one is */
	"capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getresgid",
	"getresgid32", "getresuid", "getresuid32", "getuid", "getuid32", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid",
	"setgid32", "setgroups", "setgroups32", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32",
	"setreuid", "setreuid32", "setuid", "setuid32",
	/* signals */
	"alarm", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaction", "sigaltstack", "signal", "sigpending", "sigprocmask", "sigreturn",
	"sigsuspend",
	/* scheduling */
	"getcpu", "ioprio_get", "ioprio_set", "nice", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
	"sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
	"sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
	/* time */
	"adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64",
	"clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time", "timer_create",
	"timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "times",
	/* talking to each other */
	"futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "ipc", "mq_getsetattr", "mq_notify",
	"mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget",
	"msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
	/* about the system */
	"getrandom", "sysinfo", "uname",
};
/* clang-format on */

/* Not allowed, but known: they bound what counts as newer. */
static const char *const newest[] = { "pidfd_getfd", "set_mempolicy_home_node", "quotactl_fd", "mount_setattr" };

static const unsigned long namespace_flags =
	CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/* personality(2) values that do not loosen anything: Linux, 16-bit uids, 32-bit machine names, both, and asking. */
static const unsigned personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

/* Arguments that are refused although the call is allowed. The kernel looks at 32 bits of them, so the filter does too. */
static const struct refusal {
	const char *call;
	unsigned argument;
	uint32_t value;
} refusals[] = {
	{ "socket", 0, AF_VSOCK },       /* reaches the hypervisor, past every network namespace */
	{ "socketcall", 0, SYS_SOCKET }, /* the same with its arguments in memory, where no filter can see them */
	{ "ioctl", 1, TIOCSTI },         /* types into the terminal that ix runs in */
	{ "ioctl", 1, TIOCLINUX },
};

/* --- the list --- */

static int allow(scmp_filter_ctx filter, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);
	int r;

	if (call == __NR_SCMP_ERROR)
		return 0; /* younger than this libseccomp: ENOSYS by its number */
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	return r == -EDOM ? 0 : r; /* no such call on this machine */
}

static int add_special(scmp_filter_ctx filter)
{
	int r = 0;

#if defined(__s390__) || defined(__s390x__)
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, namespace_flags, 0));
#else
	r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags, 0));
#endif
	/* clone3's flags are in memory, where no filter can see them; told that it does not exist, libraries use clone. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; r == 0 && i < IX_ARRAY_LEN(personalities); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_EQ, personalities[i]));
	return r;
}

/* The 32-bit sibling that the kernel also runs, or 0. */
static uint32_t compat_arch(uint32_t native)
{
	if (native == SCMP_ARCH_X86_64)
		return SCMP_ARCH_X86;
	if (native == SCMP_ARCH_AARCH64)
		return SCMP_ARCH_ARM;
	return 0;
}

static int build(scmp_filter_ctx filter, uint32_t compat)
{
	int r = 0;

	if (compat)
		r = seccomp_arch_add(filter, compat);
	/* Other calling conventions do not exist here. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < IX_ARRAY_LEN(allowed); i++)
		r = allow(filter, allowed[i]);
	return r == 0 ? add_special(filter) : r;
}

/* --- what comes before the list: newer calls and refused arguments --- */

static void emit(struct ix_buf *program, uint16_t code, uint8_t jump_true, uint8_t jump_false, uint32_t k)
{
	struct sock_filter one = { code, jump_true, jump_false, k };

	ix_buf_put(program, &one, sizeof(one));
}

static uint32_t newest_call(uint32_t arch)
{
	int max = 0;

	for (size_t i = 0; i < IX_ARRAY_LEN(allowed) + IX_ARRAY_LEN(newest); i++) {
		const char *name = i < IX_ARRAY_LEN(allowed) ? allowed[i] : newest[i - IX_ARRAY_LEN(allowed)];
		int call = seccomp_syscall_resolve_name_arch(arch, name);

		/* 0xf0000 and above: ARM's private calls, not part of the row */
		if (call > max && call < 0xf0000)
			max = call;
	}
	return (uint32_t)max;
}

enum {
	OFFSET_NR = offsetof(struct seccomp_data, nr),
	OFFSET_ARCH = offsetof(struct seccomp_data, arch),
	OFFSET_ARGS = offsetof(struct seccomp_data, args),
	LOW_HALF = __BYTE_ORDER == __LITTLE_ENDIAN ? 0 : 4,
	LOAD = BPF_LD | BPF_W | BPF_ABS,
	RETURN = BPF_RET | BPF_K,
	IF_EQUAL = BPF_JMP | BPF_JEQ | BPF_K,
	IF_ABOVE = BPF_JMP | BPF_JGT | BPF_K,
};

static bool has_vsock(void)
{
	ix_auto_close int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 || errno != EAFNOSUPPORT;
}

/* The number a call has, or a negative one. The library knows socket(2) of i386 only as a part of socketcall(2). */
static int call_number(uint32_t arch, const char *name)
{
	enum { I386_SOCKET = 359 };

	if (arch == SCMP_ARCH_X86 && strcmp(name, "socket") == 0)
		return I386_SOCKET;
	/* Programs that know no other way have no sockets then; where there is nothing to reach they keep theirs. */
	if (strcmp(name, "socketcall") == 0 && (arch != SCMP_ARCH_X86 || !has_vsock()))
		return -1;
	return seccomp_syscall_resolve_name_arch(arch, name);
}

static void emit_refusal(struct ix_buf *program, uint32_t arch, const struct refusal *refusal)
{
	int call = call_number(arch, refusal->call);

	if (call < 0)
		return;
	emit(program, IF_EQUAL, 0, 4, (uint32_t)call);
	emit(program, LOAD, 0, 0, (uint32_t)(OFFSET_ARGS + 8 * refusal->argument + LOW_HALF));
	emit(program, IF_EQUAL, 0, 1, refusal->value);
	emit(program, RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM);
	emit(program, LOAD, 0, 0, OFFSET_NR);
}

/* If the architecture is arch: its checks, falling through to what follows when none applies. */
static void emit_arch(struct ix_buf *program, uint32_t arch)
{
	ix_auto_buf checks = IX_BUF_INIT(0);
	uint32_t newer = newest_call(arch);

	emit(&checks, LOAD, 0, 0, OFFSET_NR);
	/* ARM numbers its private calls from 0xf0000; whether those are good is the list's business. */
	if (arch == SCMP_ARCH_ARM)
		emit(&checks, BPF_JMP | BPF_JGE | BPF_K, 2, 0, 0xf0000);
	emit(&checks, IF_ABOVE, 0, 1, newer);
	emit(&checks, RETURN, 0, 0, SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < IX_ARRAY_LEN(refusals); i++)
		emit_refusal(&checks, arch, &refusals[i]);
	emit(program, LOAD, 0, 0, OFFSET_ARCH);
	emit(program, IF_EQUAL, 0, (uint8_t)(checks.len / sizeof(struct sock_filter)), arch);
	ix_buf_put(program, checks.data, checks.len);
}

/* --- once per process --- */

static struct {
	pthread_once_t once;
	struct ix_buf program;
	int r;
	struct ix_err err;
} compiled = { .once = PTHREAD_ONCE_INIT };

static int export(scmp_filter_ctx filter, struct ix_buf *program, struct ix_err *err)
{
	ix_auto_close int fd = memfd_create("ix-seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return ix_err_sys(err, "memfd_create");
	r = seccomp_export_bpf(filter, fd);
	if (r < 0) {
		errno = -r;
		return ix_err_sys(err, "compile the system call filter");
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "lseek");
	return ix_buf_read_fd(program, fd, err);
}

static int compile(struct ix_err *err)
{
	uint32_t native = seccomp_arch_native(), compat = compat_arch(native);
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!filter)
		return ix_err_set(err, IX_EFAIL, "libseccomp does not work on this machine");
	emit_arch(&compiled.program, native);
	if (compat)
		emit_arch(&compiled.program, compat);
	r = build(filter, compat);
	if (r < 0) {
		errno = -r;
		ix_err_sys(err, "build the system call filter");
	} else {
		r = export(filter, &compiled.program, err);
	}
	seccomp_release(filter);
	if (r < 0)
		return r;
	if (compiled.program.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return ix_err_set(err, IX_ELIMIT, "the system call filter is longer than the kernel takes");
	ix_trace("sandbox", "system call filter: %zu instructions", compiled.program.len / sizeof(struct sock_filter));
	return 0;
}

static void compile_once(void)
{
	compiled.r = compile(&compiled.err);
}

int sandbox_filter(const void **ret_program, size_t *ret_len, struct ix_err *err)
{
	pthread_once(&compiled.once, compile_once);
	if (compiled.r < 0) {
		*err = compiled.err;
		return compiled.r;
	}
	*ret_program = compiled.program.data;
	*ret_len = compiled.program.len;
	return 0;
}
