#include "jail/caps_int.h"

#include <errno.h>
#include <sys/prctl.h>

#include "base/err.h"
#include "jail/syscalls_int.h"

static const uint64_t docker = 1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FSETID | 1ull << CAP_FOWNER | 1ull << CAP_MKNOD |
			       1ull << CAP_NET_RAW | 1ull << CAP_SETGID | 1ull << CAP_SETUID | 1ull << CAP_SETFCAP | 1ull << CAP_SETPCAP |
			       1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_SYS_CHROOT | 1ull << CAP_KILL | 1ull << CAP_AUDIT_WRITE;

uint64_t jail_caps_all(void)
{
	return docker;
}

uint64_t jail_caps_harmless(bool own_network)
{
	const uint64_t devices = 1ull << CAP_MKNOD, network = 1ull << CAP_NET_RAW | 1ull << CAP_NET_BIND_SERVICE;

	return docker & ~devices & ~(own_network ? 0 : network);
}

int jail_caps_bound(uint64_t kept, struct ix_err *err)
{
	for (int cap = 0; cap < 64; cap++) {
		if (kept >> cap & 1)
			continue;
		/* EINVAL: past the last one this kernel knows */
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return ix_err_sys(err, "drop capability %d", cap);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return ix_err_sys(err, "clear ambient capabilities");
	return 0;
}

int jail_caps_drop(uint64_t kept, struct ix_err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (sys_capget(&header, data) < 0)
		return ix_err_sys(err, "read capabilities");
	for (int i = 0; i < 2; i++) {
		uint32_t half = (uint32_t)(kept >> (32 * i));

		data[i].permitted &= half;
		data[i].effective &= half;
		data[i].inheritable = 0;
	}
	if (sys_capset(&header, data) < 0)
		return ix_err_sys(err, "drop capabilities");
	return 0;
}
