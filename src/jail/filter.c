#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/scope.h"
#include "jail/jail_int.h"
#include "jail/syscalls_int.h"

int jail_filter_load(const void *program, size_t len, struct ix_err *err)
{
	size_t count = len / sizeof(struct sock_filter);
	ix_auto_free struct sock_filter *aligned = NULL;
	struct sock_fprog load;

	if (count == 0 || count > BPF_MAXINSNS || len % sizeof(struct sock_filter) != 0)
		return ix_err_set(err, IX_ECORRUPT, "the system call filter is damaged");
	aligned = ix_calloc(count, sizeof(*aligned));
	memcpy(aligned, program, len);
	load = (struct sock_fprog){ .len = (unsigned short)count, .filter = aligned };
	if (sys_seccomp(SECCOMP_SET_MODE_FILTER, 0, &load) < 0)
		return ix_err_sys(err, "load the system call filter");
	return 0;
}
