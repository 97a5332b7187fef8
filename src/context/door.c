/* Reading a file of a selection, and only what was selected. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "context_int.h"
#include "io/digest.h"

static bool looks_the_same(const struct ix_entry *entry, const struct stat *st)
{
	return (uint64_t)st->st_size == entry->size && st->st_mtim.tv_sec == entry->mtime_s &&
	       (uint32_t)st->st_mtim.tv_nsec == entry->mtime_ns && st->st_ctim.tv_sec == entry->ctime_s &&
	       (uint32_t)st->st_ctim.tv_nsec == entry->ctime_ns && st->st_ino == entry->ino && st->st_dev == entry->dev;
}

/* Times tell that something happened; the digest, whether it matters. */
static int check(const struct ix_context *context, const struct ix_entry *entry, int fd, const struct stat *st, struct ix_err *err)
{
	bool has_digest = !ix_digest_is_zero(&entry->digest), same = looks_the_same(entry, st);
	struct ix_digest now;

	if (same && (!entry->fresh || !has_digest))
		return 0;
	if (!has_digest || (uint64_t)st->st_size != entry->size)
		return context_changed(context, entry, err);
	int r = context_hash_fd(fd, entry->path, &now, err);
	if (r < 0)
		return r;
	if (!ix_digest_eq(&now, &entry->digest))
		return context_changed(context, entry, err);
	return lseek(fd, 0, SEEK_SET) < 0 ? ix_err_sys(err, "seek %s", entry->path) : 0;
}

int ix_context_open_entry(const struct ix_context *context, const struct ix_entry *entry, struct ix_context_file *ret_file,
			  struct ix_err *err)
{
	ix_auto_close int fd = -1;
	struct stat st;
	int r = context_open(context, entry, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat %s", entry->path);
	if (context->owns_fd && !entry->socket && (r = check(context, entry, fd, &st, err)) < 0)
		return r;
	*ret_file = (struct ix_context_file){
		.fd = ix_steal_fd(&fd),
		.size = (uint64_t)st.st_size,
		.mtime_s = st.st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
		.ctime_s = st.st_ctim.tv_sec,
		.ctime_ns = (uint32_t)st.st_ctim.tv_nsec,
	};
	return 0;
}

/* A new name or mode moves the ctime alone: then a look at the contents decides. */
static int check_again(const struct ix_context *context, const struct ix_entry *entry, const struct ix_context_file *file,
		       struct ix_err *err)
{
	struct ix_digest now;
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return ix_err_sys(err, "stat %s", entry->path);
	if ((uint64_t)st.st_size != file->size || st.st_mtim.tv_sec != file->mtime_s || (uint32_t)st.st_mtim.tv_nsec != file->mtime_ns)
		return context_changed(context, entry, err);
	if (st.st_ctim.tv_sec == file->ctime_s && (uint32_t)st.st_ctim.tv_nsec == file->ctime_ns)
		return 0;
	if (ix_digest_is_zero(&entry->digest) || lseek(file->fd, 0, SEEK_SET) < 0)
		return context_changed(context, entry, err);
	int r = context_hash_fd(file->fd, entry->path, &now, err);
	if (r < 0)
		return r;
	return ix_digest_eq(&now, &entry->digest) ? 0 : context_changed(context, entry, err);
}

int ix_context_close_entry(const struct ix_context *context, const struct ix_entry *entry, struct ix_context_file *file, struct ix_err *err)
{
	int r = context->owns_fd ? check_again(context, entry, file, err) : 0;

	ix_context_file_release(file);
	return r;
}

void ix_context_file_release(struct ix_context_file *file)
{
	ix_closep(&file->fd);
	file->fd = -1;
}
