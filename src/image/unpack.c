#include "image_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsutil.h"
#include "io/compress.h"
#include "io/digest.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

/* blob -> decompress -> (another thread's worth of work: digest, files). The diff id is verified before the directory becomes visible. */
int unpack_blob_into(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const char *dir, struct ix_strv *made,
		     struct ix_err *err)
{
	struct ix_unpack_opts how = { .overlay = true, .userns = ix_sandbox_rootless(), .made = made, .cancel = opts->cancel };
	ix_auto_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_reader_freep) struct ix_reader *blob = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *plain = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *ahead = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar = NULL;
	struct ix_digest got;
	uint64_t size, compressed;
	int fd;

	if (dir_fd < 0)
		return ix_err_sys(err, "open %s", dir);
	int r = ix_blob_open(opts->store, &layer->blob.digest, &fd, &compressed, err);
	if (r < 0)
		return r;
	ix_unpack_limits(compressed, &how.max_entries, &how.max_bytes);
	blob = ix_fd_reader_new_take(fd);
	plain = ix_decompress_reader_new(blob);
	ahead = ix_readahead_reader_new(plain);
	tar = ix_digest_reader_new(ahead, &got, &size);
	r = ix_layer_unpack(tar, dir_fd, &how, err);
	if (r < 0)
		return r;
	if (!ix_digest_eq(&got, &layer->diff_id))
		return ix_err_set(err, IX_ECORRUPT, "does not match its diff id");
	return 0;
}

/* --- IX_CHECK_LAYERS=1 --- */

static bool checks_layers(void)
{
	const char *text = getenv("IX_CHECK_LAYERS"); /* NOLINT(concurrency-mt-unsafe): nothing sets it */

	return text && strcmp(text, "1") == 0;
}

static int compare(const struct ix_image_opts *opts, const char *dir, const char *other, const struct ix_layer_info *info,
		   struct ix_err *err)
{
	const struct ix_layer_ref layer = { .blob = { .digest = info->digest }, .diff_id = info->diff_id };
	struct ix_layer_difference difference = { 0 };
	ix_auto_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_close int other_fd = open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir_fd < 0 || other_fd < 0)
		return ix_err_sys(err, "open %s", dir_fd < 0 ? dir : other);
	if ((r = unpack_blob_into(opts, &layer, other, NULL, err)) < 0 ||
	    (r = ix_layer_compare_dirs(dir_fd, other_fd, &difference, err)) < 0)
		return r;
	if (difference.what)
		r = ix_err_set(err, IX_ECORRUPT, "it is not what its blob unpacks to: /%s: %s", difference.path, difference.what);
	free(difference.path);
	return r;
}

int unpack_check(const struct ix_image_opts *opts, const char *dir, const struct ix_layer_info *info, struct ix_err *err)
{
	ix_auto_free char *other = NULL;
	struct ix_err ignored;
	int r;

	if (!checks_layers())
		return 0;
	r = ix_store_tmpdir(opts->store, &other, err);
	if (r < 0)
		return r;
	r = compare(opts, dir, other, info, err);
	(void)ix_remove_tree(AT_FDCWD, other, &ignored);
	return r;
}
