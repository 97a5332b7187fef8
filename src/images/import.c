#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "image/image.h"
#include "images/images.h"
#include "io/compress.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "store/store.h"

/* Passes a tar on to the compressor as it is, while an entry-wise reader checks that it is one. */
struct tee_reader {
	struct ix_reader base;
	struct ix_reader *next;
	struct ix_writer *to;
};

static ssize_t tee_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct tee_reader *self = (struct tee_reader *)reader;
	ssize_t n = ix_read(self->next, bytes, len, err);
	int r;

	if (n > 0 && (r = ix_write(self->to, bytes, (size_t)n, err)) < 0)
		return r;
	return n;
}

static void tee_free(struct ix_reader *reader)
{
	(void)reader;
}

static const struct ix_reader_ops tee_ops = { tee_read, tee_free };

static int check_tar(struct ix_reader *stream, int64_t *ret_newest_s, struct ix_err *err)
{
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(stream);
	const struct ix_tar_entry *entry;
	char rest[16384];
	ssize_t n;
	int r;

	while ((r = ix_tar_next(tar, &entry, err)) > 0)
		if (*ret_newest_s < entry->mtime_s)
			*ret_newest_s = entry->mtime_s;
	if (r < 0)
		return r;
	while ((n = ix_read(stream, rest, sizeof(rest), err)) > 0)
		;
	return (int)n;
}

static int import_layer(const struct ix_image_opts *opts, int fd, struct ix_layer_info *info, int64_t *newest_s, struct ix_err *err)
{
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *file = ix_fd_reader_new(fd);
	ix_scoped(ix_reader_freep) struct ix_reader *plain = ix_decompress_reader_new(file);
	ix_scoped(ix_writer_freep) struct ix_writer *digest = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *compress = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *diff = NULL;
	struct tee_reader tee = { .base.ops = &tee_ops, .next = plain };
	int r = ix_blob_begin(opts->store, &blob, err);

	if (r < 0)
		return r;
	digest = ix_digest_writer_new(ix_blob_stream(blob), &info->digest, &info->size);
	compress = ix_compress_writer_new(digest, opts->compression, opts->compression_level, 0);
	diff = ix_digest_writer_new(compress, &info->diff_id, &info->tar_size);
	tee.to = diff;
	if ((r = check_tar(&tee.base, newest_s, err)) < 0 || (r = ix_write_finish(diff, err)) < 0 ||
	    (r = ix_write_finish(compress, err)) < 0 || (r = ix_write_finish(digest, err)) < 0)
		return r;
	return ix_blob_commit(ix_steal(&blob), &info->digest, err);
}

int ix_import_rootfs(const struct ix_image_opts *opts, int fd, const char *name, const struct ix_platform *platform,
		     struct ix_digest *ret_manifest, struct ix_err *err)
{
	ix_auto_image image = { 0 };
	struct ix_layer_info info;
	struct ix_layer_ref *layer;
	int64_t newest_s = 0;
	char made[32];
	uint64_t size;
	int r = import_layer(opts, fd, &info, &newest_s, err);

	if (r < 0)
		return r;
	/* The time of its newest file, not of today: one tar is one image on every machine, and so are all that stand on it. */
	ix_rfc3339(opts->epoch >= 0 && newest_s > opts->epoch ? opts->epoch : newest_s, made);
	layer = ix_image_add_layer(&image);
	layer->blob = (struct ix_descriptor){ .media_type = ix_strdup(ix_layer_media_type(opts->compression)),
					      .digest = info.digest,
					      .size = info.size };
	layer->diff_id = info.diff_id;
	layer->content = info.diff_id;
	image.config.platform = *platform;
	image.config.created = ix_strdup(made);
	ix_config_add_diff_id(&image.config, &info.diff_id);
	{
		struct ix_history *entry = ix_config_add_history(&image.config);

		entry->created = ix_strdup(made);
		entry->created_by = ix_strdup("ix import");
	}
	r = ix_image_store(opts, &image, NULL, NULL, ret_manifest, &size, err);
	if (r < 0)
		return r;
	return ix_store_tag(opts->store, name, ret_manifest, IX_MEDIA_MANIFEST, size, err);
}
