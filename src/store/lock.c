#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "io/digest.h"
#include "store_int.h"

enum { PAUSE_MS = 20, SAY_AFTER_MS = 2000, LOCKS_MAX = 4 << 20 };

/* --- who holds it --- */

/* "1: FLOCK  ADVISORY  WRITE 428 00:28:119 0 EOF"; those who wait have "->" behind the number. */
static long holder_in(char *line, const char *file)
{
	char *words[6], *rest = line, *word;
	size_t n = 0;

	while (n < IX_ARRAY_LEN(words) && (word = strsep(&rest, " ")) != NULL)
		if (*word)
			words[n++] = word;
	if (n < IX_ARRAY_LEN(words) || strcmp(words[1], "FLOCK") != 0 || strcmp(words[5], file) != 0)
		return 0;
	return strtol(words[4], NULL, 10);
}

/* 0: the kernel does not tell, as of processes that cannot be seen from here. */
static long find_holder(int fd)
{
	ix_auto_buf text = IX_BUF_INIT(LOCKS_MAX);
	struct ix_err ignored;
	struct stat st;
	char file[64], *rest, *line;
	long pid = 0;

	if (fstat(fd, &st) < 0 || ix_read_file(AT_FDCWD, "/proc/locks", &text, &ignored) < 0 || !text.data)
		return 0;
	snprintf(file, sizeof(file), "%02x:%02x:%ju", major(st.st_dev), minor(st.st_dev), (uintmax_t)st.st_ino);
	for (rest = text.data; pid <= 0 && (line = strsep(&rest, "\n")) != NULL;)
		pid = holder_in(line, file);
	return pid;
}

/* --- waiting --- */

/* One wait for one lock; begins as zeros. */
struct wait {
	uint64_t since_ms;
	bool said;
};

/* Threads of this process wait for each other as a matter of course. */
static void say(const struct ix_store *store, const char *name, int fd)
{
	long pid = find_holder(fd);
	ix_auto_free char *holder = pid > 0 ? ix_asprintf("process %ld", pid) : ix_strdup("another process");
	ix_auto_free char *text = ix_asprintf("waiting for %s/%s, which %s holds", store->path, name, holder);

	if (store->listener.waits && pid != (long)getpid())
		store->listener.waits(store->listener.data, text);
}

/* A while later; says so when it has become long. */
static int wait_on(const struct ix_store *store, const char *name, int fd, const struct ix_cancel *cancel, struct wait *wait,
		   struct ix_err *err)
{
	struct pollfd canceled = { .fd = ix_cancel_fd(cancel), .events = POLLIN };
	uint64_t now = ix_now_ms();

	if (!wait->since_ms)
		wait->since_ms = now;
	if (!wait->said && now - wait->since_ms >= SAY_AFTER_MS) {
		wait->said = true;
		say(store, name, fd);
	}
	(void)poll(&canceled, cancel ? 1 : 0, PAUSE_MS);
	return ix_cancel_check(cancel, err);
}

int store_flock(const struct ix_store *store, const char *name, int fd, int how, struct ix_err *err)
{
	struct wait wait = { 0 };
	int r;

	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return ix_err_sys(err, "lock %s/%s", store->path, name);
		r = wait_on(store, name, fd, NULL, &wait, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- locks of keys --- */

/* 0 with the lock, -IX_EEXIST with the file of one that somebody else holds. */
static int try_file(struct ix_store *store, const char *name, int how, int *ret_fd, struct ix_err *err)
{
	/* Each open has its own lock, so threads of one process exclude each other too. */
	*ret_fd = openat(store->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return ix_err_sys(err, "lock %s/%s", store->path, name);
	if (flock(*ret_fd, how | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK || errno == EINTR)
		return ix_err_set(err, IX_EEXIST, "%s/%s is locked", store->path, name);
	return ix_err_sys(err, "lock %s/%s", store->path, name);
}

static char *lock_name(const char *kind, const struct ix_digest *key)
{
	char hex[IX_DIGEST_HEX + 1];

	return ix_asprintf("locks/%s-%.32s", kind, ix_digest_hex(key, hex));
}

int ix_store_trylock(struct ix_store *store, const char *kind, const struct ix_digest *key, bool shared, int *ret_fd, struct ix_err *err)
{
	ix_auto_free char *name = lock_name(kind, key);
	ix_auto_close int fd = -1;
	int r = try_file(store, name, shared ? LOCK_SH : LOCK_EX, &fd, err);

	if (r < 0)
		return r;
	*ret_fd = ix_steal_fd(&fd);
	return 0;
}

int ix_store_lock(struct ix_store *store, const char *kind, const struct ix_digest *key, const struct ix_cancel *cancel, int *ret_fd,
		  struct ix_err *err)
{
	ix_auto_free char *name = lock_name(kind, key);
	struct wait wait = { 0 };

	for (;;) {
		ix_auto_close int fd = -1;
		int r = try_file(store, name, LOCK_EX, &fd, err);

		if (r == 0)
			*ret_fd = ix_steal_fd(&fd);
		if (r != -IX_EEXIST)
			return r;
		r = wait_on(store, name, fd, cancel, &wait, err);
		if (r < 0)
			return r;
	}
}
