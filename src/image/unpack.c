#include "image_int.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
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
	const struct ix_unpack_opts how = { .overlay = true, .userns = ix_sandbox_rootless(), .made = made, .cancel = opts->cancel };
	ix_auto_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_reader_freep) struct ix_reader *blob = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *plain = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *ahead = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar = NULL;
	struct ix_digest got;
	uint64_t size;
	int fd;

	if (dir_fd < 0)
		return ix_err_sys(err, "open %s", dir);
	int r = ix_blob_open(opts->store, &layer->blob.digest, &fd, NULL, err);
	if (r < 0)
		return r;
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
