/*
 * Other builders write layers of files without the directories they are in (bazel, nix, scripts). An unpacked layer has to have them, and on top of
 * others its directory is the one that is seen: so it gets owner and mode of the one below. Which that is depends on the image, so the layer
 * is unpacked once more, under a name of its own, for each way its directories come out.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "cache/cache.h"
#include "image_int.h"
#include "io/digest.h"
#include "layer/layer.h"
#include "store/store.h"

static const char topic[] = "made parents";

int parents_note(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const struct ix_strv *made, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	ix_auto_buf text = { 0 };

	if (made->count == 0)
		return 0;
	for (size_t i = 0; i < made->count; i++)
		ix_buf_put(&text, made->items[i], strlen(made->items[i]) + 1);
	return ix_store_set_fact(opts->store, topic, ix_digest_hex(&layer->diff_id, hex), text.data, text.len, err);
}

static int read_note(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, struct ix_strv *made, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	ix_auto_buf text = { 0 };
	int r = ix_store_fact(opts->store, topic, ix_digest_hex(&layer->diff_id, hex), &text, NULL, err);

	if (r < 0)
		return r == -IX_ENOTFOUND ? 0 : r;
	for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
		ix_strv_add(made, text.data + at);
	return 0;
}

/* --- the directory below --- */

/* 1: the layer has the directory, in *ret_fd; 0: it does not speak of it; -1: it hides what is below. */
static int look(const char *dir, const char *path, int *ret_fd)
{
	ix_auto_close int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_free char *part = ix_strdup(path);
	bool opaque = false;

	for (char *slash = strchr(part, '/');; slash = strchr(slash + 1, '/')) {
		ix_auto_close int fd = -1;
		struct stat st;

		if (slash)
			*slash = '\0';
		if (root < 0 || fstatat(root, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return opaque ? -1 : 0;
		if (!S_ISDIR(st.st_mode))
			return -1;
		fd = openat(root, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (!slash) {
			*ret_fd = ix_steal_fd(&fd);
			return *ret_fd < 0 ? -1 : 1;
		}
		opaque = opaque || ix_layer_is_opaque(fd);
		*slash = '/';
	}
}

static int open_below(char *const *dirs, size_t n, const char *path)
{
	int fd = -1;

	while (n > 0) {
		int r = look(dirs[--n], path, &fd);

		if (r != 0)
			return r > 0 ? fd : -1;
	}
	return -1;
}

/* --- */

/* The ones that are otherwise below, and a name for the layer with them. */
struct inherited {
	struct ix_strv paths;
	int *fds; /* of the directories below */
	struct ix_digest name;
};

static void inherited_release(struct inherited *inherited)
{
	for (size_t i = 0; i < inherited->paths.count; i++)
		close(inherited->fds[i]);
	free(inherited->fds);
	ix_strv_release(&inherited->paths);
}

static void hash_dir(struct ix_hash *hash, const char *path, int fd)
{
	struct ix_tar_entry entry = { 0 };
	struct ix_err ignored;
	struct stat st = { 0 };

	(void)fstat(fd, &st);
	ix_hash_text(hash, 2, path);
	ix_hash_u64(hash, st.st_mode);
	ix_hash_u64(hash, st.st_uid);
	ix_hash_u64(hash, st.st_gid);
	ix_hash_u64(hash, (uint64_t)st.st_mtim.tv_sec);
	if (ix_xattrs_read(fd, path, &entry, &ignored) == 0)
		for (size_t i = 0; i < entry.nxattrs; i++) {
			ix_hash_text(hash, 3, entry.xattrs[i].name);
			ix_hash_field(hash, 4, entry.xattrs[i].value, entry.xattrs[i].len);
		}
	ix_tar_entry_release(&entry);
}

static int find_inherited(const struct ix_strv *made, const struct ix_layer_ref *layer, char *const *dirs, size_t n,
			  struct inherited *ret_inherited, struct ix_err *err)
{
	ix_auto_close int own = open(dirs[n], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	if (own < 0)
		return ix_err_sys(err, "open %s", dirs[n]);
	ret_inherited->fds = ix_calloc(made->count, sizeof(int));
	ix_hash_digest(hash, 1, &layer->diff_id);
	for (size_t i = 0; i < made->count; i++) {
		ix_auto_close int ours = ix_open_beneath(own, made->items[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);
		ix_auto_close int below = open_below(dirs, n, made->items[i]);

		if (ours < 0)
			continue; /* a later entry of the layer took its place */
		if (below < 0 || ix_layer_same_dir(ours, below))
			continue;
		hash_dir(hash, made->items[i], below);
		ret_inherited->fds[ret_inherited->paths.count] = ix_steal_fd(&below);
		ix_strv_add(&ret_inherited->paths, made->items[i]);
	}
	ix_hash_final(hash, &ret_inherited->name);
	return 0;
}

static int unpack_with(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const struct inherited *inherited,
		       const char *dir, struct ix_err *err)
{
	ix_auto_close int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return ix_err_sys(err, "open %s", dir);
	int r = unpack_blob_into(opts, layer, dir, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < inherited->paths.count; i++) {
		const char *path = inherited->paths.items[i];
		ix_auto_close int fd = ix_open_beneath(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);

		if (fd < 0)
			return fd;
		r = ix_layer_copy_dir(inherited->fds[i], fd, path, err);
		if (r < 0)
			return r;
	}
	return ix_layer_dir_commit(opts->store, dir, &inherited->name, err);
}

static int make_variant(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const struct inherited *inherited,
			const char *stage, char **ret_dir, struct ix_err *err)
{
	int r = ix_layer_dir(opts->store, &inherited->name, ret_dir, err);
	ix_auto_free char *dir = NULL;
	struct ix_err ignored;

	if (r != -IX_ENOTFOUND)
		return r;
	if ((r = ix_cache_need_sound(opts->cache, layer->image, &layer->blob, stage, err)) < 0 ||
	    (r = ix_store_tmpdir(opts->store, &dir, err)) < 0)
		return r;
	r = unpack_with(opts, layer, inherited, dir, err);
	if (r < 0) {
		(void)ix_remove_tree(AT_FDCWD, dir, &ignored);
		return r;
	}
	return ix_layer_dir(opts->store, &inherited->name, ret_dir, err);
}

int parents_inherit(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, char **dirs, size_t n, const char *stage,
		    struct ix_err *err)
{
	ix_scoped(inherited_release) struct inherited inherited = { 0 };
	ix_auto_strv made = { 0 };
	char *variant;
	int r = read_note(opts, layer, &made, err);

	if (r < 0 || made.count == 0)
		return r;
	r = find_inherited(&made, layer, dirs, n, &inherited, err);
	if (r < 0 || inherited.paths.count == 0)
		return r;
	r = make_variant(opts, layer, &inherited, stage, &variant, err);
	if (r < 0)
		return ix_err_wrap(err, "layer with directories of another");
	free(dirs[n]);
	dirs[n] = variant;
	return 0;
}
