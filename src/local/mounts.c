#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_int.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/str.h"
#include "builder/builder.h"
#include "context/context.h"
#include "graph/graph.h"
#include "image/image.h"
#include "io/digest.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "local_int.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

enum { SECRET_MAX = 1 << 20 };

void mounts_release(struct step_mounts *mounts)
{
	struct ix_err ignored;

	for (size_t i = 0; i < mounts->nfds; i++)
		close(mounts->fds[i]);
	for (size_t i = 0; i < mounts->nagents; i++)
		agent_stop(mounts->agents[i]);
	free(mounts->agents);
	for (size_t i = 0; i < mounts->trees.count; i++)
		(void)ix_remove_tree(AT_FDCWD, mounts->trees.items[i], &ignored);
	for (size_t i = 0; i < mounts->env.count; i++)
		explicit_bzero(mounts->env.items[i], strlen(mounts->env.items[i]));
	free(mounts->items);
	free(mounts->fds);
	ix_strv_release(&mounts->strings);
	ix_strv_release(&mounts->trees);
	ix_strv_release(&mounts->env);
	ix_strv_release(&mounts->caches);
	*mounts = (struct step_mounts){ 0 };
}

static const char *keep(struct step_mounts *mounts, char *text_take)
{
	ix_strv_take(&mounts->strings, text_take);
	return text_take;
}

static void keep_fd(struct step_mounts *mounts, int fd)
{
	mounts->fds = ix_realloc_array(mounts->fds, mounts->nfds + 1, sizeof(*mounts->fds));
	mounts->fds[mounts->nfds++] = fd;
}

void mounts_add(struct step_mounts *mounts, const struct ix_jail_mount *mount)
{
	mounts->items = ix_realloc_array(mounts->items, mounts->count + 1, sizeof(*mounts->items));
	mounts->items[mounts->count++] = *mount;
}

/* A tree of files written out from a tar of them: the one way the engine copies trees. */
static int copy_tree(struct ix_store *store, int from_fd, const char *to, const struct ix_cancel *cancel, struct ix_err *err)
{
	const struct ix_layer_opts plain = { .compression = IX_COMPRESSION_NONE, .epoch = -1 };
	const struct ix_unpack_opts how = { .userns = ix_sandbox_rootless(), .cancel = cancel };
	ix_auto_free char *dir = NULL;
	ix_auto_free char *path = NULL;
	ix_auto_close int file = -1;
	ix_auto_close int to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_writer_freep) struct ix_writer *writer = NULL;
	ix_scoped(ix_layer_writer_freep) struct ix_layer_writer *tar = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	struct ix_layer_info info;
	int r;

	if (to_fd < 0)
		return ix_err_sys(err, "open %s", to);
	r = ix_store_tmpdir(store, &dir, err);
	if (r < 0)
		return r;
	path = ix_asprintf("%s/tree.tar", dir);
	file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = file < 0 ? ix_err_sys(err, "create %s", path) : 0;
	(void)unlink(path);
	(void)rmdir(dir);
	if (r < 0)
		return r;
	writer = ix_fd_writer_new(file);
	tar = ix_layer_begin(writer, &plain);
	if ((r = ix_layer_pack_tree(tar, from_fd, cancel, err)) < 0 || (r = ix_layer_finish(tar, &info, err)) < 0)
		return r;
	if (lseek(file, 0, SEEK_SET) < 0)
		return ix_err_sys(err, "seek");
	reader = ix_fd_reader_new(file);
	return ix_layer_unpack(reader, to_fd, &how, err);
}

/* --- bind --- */

static int copy_entry(struct ix_context *context, const struct ix_entry *entry, int dir_fd, const struct ix_cancel *cancel,
		      struct ix_err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = entry->mtime_s, .tv_nsec = entry->mtime_ns } };
	const char *name = entry->name[0] ? entry->name : "file";
	ix_auto_context_file from = { .fd = -1 };
	ix_auto_close int to = -1;
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *writer = NULL;
	int r;

	if (S_ISDIR(entry->mode))
		return entry->name[0] ? ix_mkdir_p(dir_fd, name, 0755, err) : 0;
	if (strchr(name, '/')) {
		ix_auto_free char *parent = ix_path_dir(name);

		r = ix_mkdir_p(dir_fd, parent, 0755, err);
		if (r < 0)
			return r;
	}
	if (S_ISLNK(entry->mode))
		return symlinkat(entry->link, dir_fd, name) < 0 ? ix_err_sys(err, "link %s", name) : 0;
	if (!S_ISREG(entry->mode))
		return 0;
	r = ix_context_open_entry(context, entry, &from, err);
	if (r < 0)
		return r;
	to = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return ix_err_sys(err, "create %s", name);
	reader = ix_fd_reader_new(from.fd);
	writer = ix_fd_writer_new(to);
	if (ix_copy(reader, writer, cancel, err) < 0)
		return ix_err_wrap(err, "%s", entry->path);
	if (fchmod(to, entry->mode & 07777) < 0 || futimens(to, times) < 0)
		return ix_err_sys(err, "attributes of %s", name);
	return ix_context_close_entry(context, entry, &from, err);
}

/* Modes of directories last: one without write permission could not be filled. */
static int set_dir_modes(const struct ix_selection *files, int dir_fd, struct ix_err *err)
{
	for (size_t i = files->nentries; i-- > 0;) {
		const struct ix_entry *entry = &files->entries[i];

		if (S_ISDIR(entry->mode) && fchmodat(dir_fd, entry->name[0] ? entry->name : ".", entry->mode & 07777, 0) < 0)
			return ix_err_sys(err, "mode of %s", entry->path);
	}
	return 0;
}

static int copy_files(struct ix_context *context, const struct ix_selection *files, const char *to, const struct ix_cancel *cancel,
		      struct ix_err *err)
{
	ix_auto_close int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return ix_err_sys(err, "open %s", to);
	for (size_t i = 0; i < files->nentries; i++)
		if ((r = copy_entry(context, &files->entries[i], fd, cancel, err)) < 0)
			return r;
	return files->matches[0].is_dir ? set_dir_modes(files, fd, err) : 0;
}

/* Files of a context are shown as a copy: without what is ignored, owned by root, and safe from changes made meanwhile. */
static int bind_files(const struct task *task, size_t i, struct ix_jail_mount *mount, struct step_mounts *mounts, struct ix_err *err)
{
	const struct ix_selection *files = task_selection(task, i);
	ix_scoped(ix_context_freep) struct ix_context *context = NULL;
	const struct ix_step *step = task->operation->step;
	const struct ix_dir *dir = step->mounts[i].from.dir;
	ix_auto_free char *copy = NULL;
	int r;

	if (!files || files->nmatches != 1)
		return ix_err_at(err, &task->operation->step->pos, "RUN --mount: source '%s' has to name one file or directory",
				 step->mounts[i].source);
	if ((r = ix_context_open(dir->path, dir->ignore_path, NULL, &context, err)) < 0 ||
	    (r = ix_store_tmpdir(task->image.store, &copy, err)) < 0)
		return r;
	ix_strv_add(&mounts->trees, copy);
	r = copy_files(context, files, copy, task->image.cancel, err);
	if (r < 0)
		return r;
	mount->kind = IX_JAIL_BIND;
	mount->source = keep(mounts, files->matches[0].is_dir ? ix_strdup(copy) : ix_asprintf("%s/file", copy));
	return 0;
}

static int bind_image(const struct task *task, const struct ix_mount *spec, struct ix_jail_mount *mount, struct step_mounts *mounts,
		      struct ix_err *err)
{
	ix_auto_image image = { 0 };
	int r = task_image(task, &spec->from, &image, err);

	if (r < 0)
		return r;
	mount->kind = IX_JAIL_OVERLAY;
	mount->subpath = spec->source ? spec->source : "";
	if (spec->read_only) {
		r = ix_rootfs_open(&task->image, &image, task->build->stage->name, &mount->tree_fd, err);
		if (r < 0)
			return r;
	} else {
		ix_auto_scratch scratch = { .root_fd = -1 };

		/* Writes are allowed and forgotten. */
		r = ix_scratch_open(&task->image, &image, task->build->stage->name, &scratch, err);
		if (r < 0)
			return r;
		mount->tree_fd = ix_steal_fd(&scratch.root_fd);
		ix_strv_take(&mounts->trees, ix_steal(&scratch.dir));
	}
	keep_fd(mounts, mount->tree_fd);
	return 0;
}

/* --- cache --- */

static void hash_seed(struct ix_hash *hash, const struct ix_mount *spec, const struct ix_image *seed)
{
	ix_hash_u64(hash, seed->nlayers);
	for (size_t i = 0; i < seed->nlayers; i++)
		ix_hash_digest(hash, 3, &seed->layers[i].diff_id);
	ix_hash_text(hash, 4, spec->from.kind == IX_SOURCE_DIR ? spec->from.dir->path : NULL);
	ix_hash_text(hash, 5, spec->source);
}

/* A cache of the same id with another owner or mode, or that begins as something else, is another one, as docker has it. */
static void identify_cache(const struct ix_mount *spec, const struct ix_image *seed, const char *id, struct ix_digest *ret_digest)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	ix_auto_free char *owner = NULL;

	ix_hash_text(hash, 1, id);
	if (spec->from.kind != IX_SOURCE_SCRATCH) {
		hash_seed(hash, spec, seed);
	} else if (spec->has_uid || spec->has_gid || spec->has_mode) {
		owner = ix_asprintf("%u:%u %o", spec->uid, spec->gid, spec->has_mode ? spec->mode : 0755);
		ix_hash_text(hash, 2, owner);
	}
	ix_hash_final(hash, ret_digest);
}

/* Through the same door as all that is read of a context: what is ignored is not there, and all belongs to root. */
static int seed_from_context(const struct task *task, const struct ix_mount *spec, const char *to, struct ix_err *err)
{
	const struct ix_select_opts how = { .digest = true, .cancel = task->image.cancel };
	const char *source = spec->source ? spec->source : "/";
	ix_scoped(ix_context_freep) struct ix_context *context = NULL;
	const struct ix_dir *dir = spec->from.dir;
	ix_auto_selection files = { 0 };

	if (ix_context_open(dir->path, dir->ignore_path, NULL, &context, err) < 0 ||
	    ix_context_select(context, source, &how, &files, err) < 0)
		return ix_err_wrap(err, "RUN --mount=type=cache,source=%s", source);
	if (files.nmatches != 1 || !files.matches[0].is_dir)
		return ix_err_set(err, IX_EARG, "RUN --mount=type=cache,source=%s has to name one directory", source);
	return copy_files(context, &files, to, task->image.cancel, err);
}

/* The root of what a cache begins with, the part of it that is wanted; -1 for what is no image. */
static int open_seed(const struct task *task, const struct ix_mount *spec, const struct ix_image *seed, int *ret_fd, struct ix_err *err)
{
	const char *source = spec->source ? spec->source : "";
	ix_auto_close int root = -1;

	*ret_fd = -1;
	if (spec->from.kind == IX_SOURCE_SCRATCH || spec->from.kind == IX_SOURCE_DIR)
		return 0;
	int r = ix_rootfs_open(&task->image, seed, task->build->stage->name, &root, err);
	if (r < 0)
		return r;
	*ret_fd = ix_open_in_root(root, source, O_RDONLY | O_DIRECTORY, err);
	return *ret_fd < 0 ? ix_err_wrap(err, "RUN --mount=type=cache,source=%s", *source ? source : "/") : 0;
}

/* An owner and mode go with a cache that begins empty; another has what it begins with. */
static int fill_cache(const struct task *task, const struct ix_mount *spec, int seed_fd, const char *dir, struct ix_err *err)
{
	struct stat st = { .st_uid = spec->uid, .st_gid = spec->gid, .st_mode = spec->has_mode ? spec->mode : 0755 };
	int r = seed_fd < 0 ? 0 : copy_tree(task->image.store, seed_fd, dir, task->image.cancel, err);

	if (spec->from.kind == IX_SOURCE_DIR)
		return seed_from_context(task, spec, dir, err);
	if (r < 0)
		return r;
	if ((seed_fd >= 0 && fstat(seed_fd, &st) < 0) || chown(dir, st.st_uid, st.st_gid) < 0 || chmod(dir, st.st_mode & 07777) < 0)
		return ix_err_sys(err, "cache mount %s", dir);
	return 0;
}

/* One that another step made meanwhile, and may have mounted, stays. */
static int make_cache(const struct task *task, const struct ix_mount *spec, const struct ix_image *seed, const char *dir,
		      struct ix_err *err)
{
	ix_auto_free char *fresh = NULL;
	ix_auto_close int seed_fd = -1;
	struct ix_err ignored;
	int r;

	if (ix_path_exists(AT_FDCWD, dir))
		return 0;
	r = open_seed(task, spec, seed, &seed_fd, err);
	if (r == 0)
		r = ix_store_tmpdir(task->image.store, &fresh, err);
	if (r < 0)
		return r;
	r = fill_cache(task, spec, seed_fd, fresh, err);
	if (r == 0 && renameat2(AT_FDCWD, fresh, AT_FDCWD, dir, RENAME_NOREPLACE) < 0 && errno != EEXIST)
		r = ix_err_sys(err, "cache mount %s", dir);
	if (ix_path_exists(AT_FDCWD, fresh))
		(void)ix_remove_tree(AT_FDCWD, fresh, &ignored);
	return r;
}

/* The first of a cache's directories that nobody else uses in a way that excludes this one. */
static int claim_free(struct ix_store *store, const struct ix_mount *spec, const struct ix_image *seed, const char *id,
		      struct ix_digest *ret_which, int *ret_lock, struct ix_err *err)
{
	for (unsigned i = 0;; i++) {
		ix_auto_free char *name = i ? ix_asprintf("%s beside %u", id, i) : ix_strdup(id);
		int r;

		identify_cache(spec, seed, name, ret_which);
		r = ix_store_trylock(store, "mount", ret_which, spec->sharing == IX_SHARING_SHARED, ret_lock, err);
		if (r != -IX_EEXIST)
			return r;
	}
}

/* What another mount of this step holds is this one's too. */
static const char *claimed(const struct step_mounts *mounts, const struct ix_digest *which)
{
	char hex[IX_DIGEST_HEX + 1];

	return ix_env_get(&mounts->caches, ix_digest_hex(which, hex));
}

/* Which directory it is, held by a lock as its sharing asks. Who shares it, or has it alone, takes another one where that cannot be. */
static int claim_cache(const struct task *task, const struct ix_mount *spec, const struct ix_image *seed, const char *id, char **ret_dir,
		       struct step_mounts *mounts, struct ix_err *err)
{
	struct ix_store *store = task->image.store;
	char hex[IX_DIGEST_HEX + 1], first[IX_DIGEST_HEX + 1];
	ix_auto_free char *name = NULL;
	struct ix_digest which;
	int lock = -1, r;

	identify_cache(spec, seed, id, &which);
	if (claimed(mounts, &which)) {
		*ret_dir = ix_strdup(claimed(mounts, &which));
		return 0;
	}
	ix_digest_hex(&which, first);
	if (spec->sharing == IX_SHARING_LOCKED)
		r = ix_store_lock(store, "mount", &which, task->image.cancel, &lock, err);
	else
		r = claim_free(store, spec, seed, id, &which, &lock, err);
	if (r < 0)
		return r;
	keep_fd(mounts, lock);
	name = ix_asprintf("mounts/%.32s", ix_digest_hex(&which, hex));
	*ret_dir = ix_store_sub(store, name);
	ix_env_set(&mounts->caches, first, *ret_dir);
	return 0;
}

/* source=: a part of what the cache holds. */
static int part_of_cache(const char *dir, const char *source, struct ix_jail_mount *mount, struct step_mounts *mounts, struct ix_err *err)
{
	ix_auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_context_freep) struct ix_context *root = NULL;
	ix_auto_free char *part = NULL;
	int r;

	if (fd < 0)
		return ix_err_sys(err, "open %s", dir);
	root = ix_context_open_root(fd, "cache");
	r = ix_context_real_path(root, source, &part, err);
	if (r < 0)
		return ix_err_wrap(err, "RUN --mount=type=cache,source=%s", source);
	mount->source = keep(mounts, ix_asprintf("%s/%s", dir, part));
	return 0;
}

static int cache_mount(const struct task *task, const struct ix_mount *spec, const char *given, struct ix_jail_mount *mount,
		       struct step_mounts *mounts, struct ix_err *err)
{
	const char *namespace = task->local->opts.cache_namespace;
	ix_auto_free char *id = namespace ? ix_asprintf("%s/%s", namespace, given) : ix_strdup(given);
	ix_auto_image seed = { 0 };
	char *dir = NULL;
	int r = 0;

	if (spec->from.kind != IX_SOURCE_SCRATCH && spec->from.kind != IX_SOURCE_DIR)
		r = task_image(task, &spec->from, &seed, err);
	if (r == 0)
		r = claim_cache(task, spec, &seed, id, &dir, mounts, err);
	if (r < 0)
		return r;
	mount->kind = IX_JAIL_BIND;
	mount->source = keep(mounts, dir);
	r = make_cache(task, spec, &seed, dir, err);
	if (r < 0 || !spec->source || spec->from.kind != IX_SOURCE_SCRATCH)
		return r;
	return part_of_cache(dir, spec->source, mount, mounts, err);
}

/* --- secret --- */

static bool has_secret(const struct ix_local_opts *opts, const char *id)
{
	for (size_t i = 0; i < opts->nsecrets; i++)
		if (strcmp(opts->secrets[i].id, id) == 0)
			return true;
	return false;
}

/* Of the step alone: no path of this machine leads to it. */
static int private_tree(struct step_mounts *mounts, uint64_t size, const char *name, struct ix_jail_mount *mount, struct ix_err *err)
{
	int r = ix_tmpfs_open(size, &mount->tree_fd, err);

	if (r < 0)
		return r;
	keep_fd(mounts, mount->tree_fd);
	mount->kind = IX_JAIL_OVERLAY;
	mount->subpath = name;
	mount->read_only = true;
	return 0;
}

static int secret_file(const struct ix_mount *spec, const struct ix_buf *value, struct ix_jail_mount *mount, struct step_mounts *mounts,
		       struct ix_err *err)
{
	ix_auto_close int fd = -1;

	if (private_tree(mounts, value->len, "secret", mount, err) < 0)
		return ix_err_wrap(err, "secret");
	fd = openat(mount->tree_fd, "secret", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return ix_err_sys(err, "create a secret's file");
	int r = ix_write_all(fd, ix_buf_str(value), value->len, err);
	if (r < 0)
		return r;
	if (fchown(fd, spec->has_uid ? spec->uid : 0, spec->has_gid ? spec->gid : 0) < 0 ||
	    fchmod(fd, spec->has_mode ? spec->mode : 0400) < 0)
		return ix_err_sys(err, "attributes of the secret");
	return 0;
}

/* *ret_mount: there is a file to mount. */
static int secret_mount(const struct task *task, const struct ix_mount *spec, const char *id, struct ix_jail_mount *mount,
			struct step_mounts *mounts, bool *ret_mount, struct ix_err *err)
{
	const struct ix_local_opts *opts = &task->local->opts;
	ix_auto_buf value = IX_BUF_INIT(SECRET_MAX);
	int r = 0;

	*ret_mount = false;
	if (!has_secret(opts, id)) {
		if (!spec->required)
			return 0;
		return ix_err_at(err, &task->operation->step->pos,
				 "secret %s: not found: pass it with --secret id=%s,src=FILE or --secret id=%s,env=NAME", id, id, id);
	}
	r = ix_build_secret_read(opts->secrets, opts->nsecrets, id, &value, err);
	if (r < 0)
		return r;
	if (spec->env)
		ix_strv_addf(&mounts->env, "%s=%s", spec->env, ix_buf_str(&value));
	if (!spec->env || spec->target) {
		*ret_mount = true;
		r = secret_file(spec, &value, mount, mounts, err);
	}
	explicit_bzero(value.data, value.len);
	return r;
}

/* --- ssh --- */

static const char *find_agent(const struct ix_local_opts *opts, const char *id)
{
	for (size_t i = 0; i < opts->nssh; i++)
		if (strcmp(opts->ssh[i].id, id) == 0)
			return opts->ssh[i].socket;
	return NULL;
}

static int ssh_mount(const struct task *task, const struct ix_mount *spec, const char *id, struct ix_jail_mount *mount,
		     struct step_mounts *mounts, bool *ret_mount, struct ix_err *err)
{
	const struct agent_mode mode = { spec->has_mode ? spec->mode : 0600, spec->has_uid ? spec->uid : 0, spec->has_gid ? spec->gid : 0 };
	const char *socket = find_agent(&task->local->opts, id);
	struct agent *agent;

	/* The first one is the one that ssh asks. */
	if (mounts->nssh++ == 0)
		ix_strv_addf(&mounts->env, "SSH_AUTH_SOCK=%s", mount->target);
	*ret_mount = socket != NULL;
	if (!socket && spec->required)
		return ix_err_at(err, &task->operation->step->pos, "unset ssh forward key %s: pass an agent with --ssh %s", id, id);
	if (!socket)
		return 0;
	if (private_tree(mounts, 0, "agent", mount, err) < 0 || agent_start(socket, mount->tree_fd, "agent", &mode, &agent, err) < 0)
		return ix_err_wrap(err, "ssh agent %s", id);
	mounts->agents = ix_realloc_array(mounts->agents, mounts->nagents + 1, sizeof(struct agent *));
	mounts->agents[mounts->nagents++] = agent;
	return 0;
}

/* --- all of a step --- */

/* The target joined with the working directory, or the place that secrets and agents have by default. */
static int mount_target(const struct task *task, const struct ix_mount *spec, const char *id, unsigned nssh, char **ret_target,
			struct ix_err *err)
{
	ix_auto_free char *target = NULL;

	if (!spec->target) {
		*ret_target = spec->kind == IX_MOUNT_SSH ? ix_asprintf("/run/buildkit/ssh_agent.%u", nssh)
							 : ix_asprintf("/run/secrets/%s", ix_path_base(id));
		return 0;
	}
	target = ix_path_resolve(task->operation->workdir, spec->target);
	if (strcmp(target, "/") == 0)
		return ix_err_at(err, &task->operation->step->pos, "invalid mount target \"%s\"", spec->target);
	*ret_target = ix_steal(&target);
	return 0;
}

/* A cache without an id is known by its target as it is written, a secret by the last element of its. */
static char *mount_id(const struct ix_mount *spec)
{
	if (spec->id)
		return ix_strdup(spec->id);
	if (spec->kind == IX_MOUNT_SSH)
		return ix_strdup("default");
	if (spec->kind == IX_MOUNT_CACHE)
		return ix_path_clean(spec->target);
	return ix_strdup(spec->target ? ix_path_base(spec->target) : spec->env ? spec->env : "");
}

static int prepare_one(const struct task *task, size_t i, struct step_mounts *mounts, struct ix_err *err)
{
	const struct ix_mount *spec = &task->operation->step->mounts[i];
	struct ix_jail_mount mount = { .read_only = spec->read_only, .tree_fd = -1 };
	ix_auto_free char *id = mount_id(spec);
	bool wanted = true;
	char *target = NULL;
	int r = mount_target(task, spec, id, mounts->nssh, &target, err);

	if (r < 0)
		return r;
	mount.target = keep(mounts, target);
	switch (spec->kind) {
	case IX_MOUNT_BIND:
		r = spec->from.kind == IX_SOURCE_DIR ? bind_files(task, i, &mount, mounts, err)
						     : bind_image(task, spec, &mount, mounts, err);
		break;
	case IX_MOUNT_CACHE:
		r = cache_mount(task, spec, id, &mount, mounts, err);
		break;
	case IX_MOUNT_TMPFS:
		mount.kind = IX_JAIL_TMPFS;
		mount.size = spec->size;
		break;
	case IX_MOUNT_SECRET:
		r = secret_mount(task, spec, id, &mount, mounts, &wanted, err);
		break;
	case IX_MOUNT_SSH:
		r = ssh_mount(task, spec, id, &mount, mounts, &wanted, err);
		break;
	}
	if (r == 0 && wanted)
		mounts_add(mounts, &mount);
	return r;
}

static size_t depth(const struct ix_jail_mount *mount)
{
	ix_auto_free char *path = ix_path_clean(mount->target);
	size_t n = 0;

	for (const char *c = path; *c; c++)
		n += *c == '/';
	return n;
}

/* As docker has it: what lies deeper is mounted later, otherwise in the order they are written. */
static void sort_by_depth(struct step_mounts *mounts)
{
	for (size_t i = 1; i < mounts->count; i++) {
		const struct ix_jail_mount mount = mounts->items[i];
		size_t at = i;

		for (; at > 0 && depth(&mounts->items[at - 1]) > depth(&mount); at--)
			mounts->items[at] = mounts->items[at - 1];
		mounts->items[at] = mount;
	}
}

int mounts_prepare(const struct task *task, struct step_mounts *ret_mounts, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < task->operation->step->nmounts; i++)
		if ((r = prepare_one(task, i, ret_mounts, err)) < 0)
			return r;
	sort_by_depth(ret_mounts);
	return 0;
}
