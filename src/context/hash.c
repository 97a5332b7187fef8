#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "context_int.h"
#include "io/digest.h"
#include "statcache_int.h"

enum { CHUNK = 128 << 10, BATCH = 32, THREADS_MAX = 8 };

struct job {
	const struct ix_context *context;
	struct ix_selection *selection;
	const struct ix_cancel *cancel;
	bool attributes; /* user attributes count, too */
	size_t *unknown; /* indexes of entries that the cache does not know */
	size_t nunknown;
	atomic_size_t next;
	pthread_mutex_t lock;
	struct ix_err err; /* the first failure */
	bool failed;
};

/* The user attributes of a file, by name. */
static int user_attributes(int fd, const char *path, struct ix_strv *ret_names, struct ix_err *err)
{
	ix_auto_free char *list = ix_malloc(XATTR_LIST_MAX);
	ssize_t n = flistxattr(fd, list, XATTR_LIST_MAX);

	if (n < 0 && errno != ENOTSUP)
		return ix_err_sys(err, "attributes of %s", path);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1)
		if (ix_starts(list + i, "user.") && !ix_starts(list + i, "user.overlay."))
			ix_strv_add(ret_names, list + i);
	ix_strv_sort(ret_names);
	return 0;
}

/* SHA-256 of the digest so far and each attribute, where there is one. */
static int hash_attributes(int fd, const char *path, struct ix_hash *hash, struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_free char *value = NULL;
	ix_auto_strv names = { 0 };
	int r = user_attributes(fd, path, &names, err);

	if (r < 0 || names.count == 0)
		return r;
	value = ix_malloc(XATTR_SIZE_MAX);
	ix_hash_digest(hash, 1, digest);
	for (size_t i = 0; i < names.count; i++) {
		ssize_t n = fgetxattr(fd, names.items[i], value, XATTR_SIZE_MAX);

		if (n < 0)
			return ix_err_sys(err, "attribute %s of %s", names.items[i], path);
		ix_hash_text(hash, 3, names.items[i]);
		ix_hash_field(hash, 4, value, (size_t)n);
	}
	ix_hash_final(hash, digest);
	return 0;
}

/* Contents, and the file capabilities when there are any: they change what the file is. */
static int hash_fd(int fd, const char *path, struct ix_hash *hash, char *chunk, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct ix_digest contents;
	char caps[64];
	ssize_t n;

	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0 && errno != EINTR)
			return ix_err_sys(err, "read %s", path);
		if (n > 0)
			ix_hash_bytes(hash, chunk, (size_t)n);
	}
	ix_hash_final(hash, &contents);
	*ret_digest = contents;
	n = fgetxattr(fd, "security.capability", caps, sizeof(caps));
	if (n > 0) {
		ix_hash_digest(hash, 1, &contents);
		ix_hash_field(hash, 2, caps, (size_t)n);
		ix_hash_final(hash, ret_digest);
	}
	return 0;
}

int context_hash_fd(int fd, const char *path, struct ix_digest *ret_digest, struct ix_err *err)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_auto_free char *chunk = ix_malloc(CHUNK);

	return hash_fd(fd, path, hash, chunk, ret_digest, err);
}

static int hash_entry(struct job *job, struct ix_entry *entry, struct ix_hash *hash, char *chunk, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	int64_t now = ix_time_s();
	struct stat before, after;
	int r;

	if ((r = ix_cancel_check(job->cancel, err)) < 0 || (r = context_open(job->context, entry, &fd, err)) < 0)
		return r;
	if (fstat(fd, &before) < 0)
		return ix_err_sys(err, "stat %s", entry->path);
	r = hash_fd(fd, entry->path, hash, chunk, &entry->digest, err);
	if (r < 0)
		return r;
	if (fstat(fd, &after) < 0)
		return ix_err_sys(err, "stat %s", entry->path);
	if (job->attributes)
		return hash_attributes(fd, entry->path, hash, &entry->digest, err);
	if (before.st_size == after.st_size && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
	    before.st_mtim.tv_nsec == after.st_mtim.tv_nsec)
		statcache_put(job->context->cache, &after, now, &entry->digest);
	return 0;
}

static void *worker(void *data)
{
	struct job *job = data;
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_auto_free char *chunk = ix_malloc(CHUNK);

	for (;;) {
		size_t from = atomic_fetch_add(&job->next, BATCH);

		for (size_t i = from; i < from + BATCH && i < job->nunknown; i++) {
			struct ix_err err = { 0 };

			if (hash_entry(job, &job->selection->entries[job->unknown[i]], hash, chunk, &err) == 0)
				continue;
			pthread_mutex_lock(&job->lock);
			if (!job->failed)
				job->err = err;
			job->failed = true;
			pthread_mutex_unlock(&job->lock);
			atomic_store(&job->next, job->nunknown);
			return NULL;
		}
		if (from + BATCH >= job->nunknown)
			return NULL;
	}
}

static void run_workers(struct job *job)
{
	pthread_t threads[THREADS_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t want = cpus < 1 ? 1 : (size_t)cpus, n = 0;

	if (want > THREADS_MAX)
		want = THREADS_MAX;
	if (want > (job->nunknown + BATCH - 1) / BATCH)
		want = (job->nunknown + BATCH - 1) / BATCH;
	while (n + 1 < want && pthread_create(&threads[n], NULL, worker, job) == 0)
		n++;
	worker(job);
	while (n > 0)
		pthread_join(threads[--n], NULL);
}

static bool known(const struct ix_context *context, struct ix_entry *entry)
{
	struct stat st;

	return context->cache && fstatat(context->root_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       statcache_get(context->cache, &st, &entry->digest);
}

int context_hash(const struct ix_context *context, struct ix_selection *selection, const struct ix_select_opts *opts, struct ix_err *err)
{
	struct job job = { .context = context, .selection = selection, .cancel = opts->cancel, .attributes = opts->image };

	job.unknown = ix_malloc((selection->nentries + 1) * sizeof(*job.unknown));
	for (size_t i = 0; i < selection->nentries; i++)
		if (S_ISREG(selection->entries[i].mode) && !known(context, &selection->entries[i]))
			job.unknown[job.nunknown++] = i;
	pthread_mutex_init(&job.lock, NULL);
	if (job.nunknown > 0)
		run_workers(&job);
	pthread_mutex_destroy(&job.lock);
	free(job.unknown);
	return job.failed ? ix_err_copy(err, &job.err) : 0;
}
