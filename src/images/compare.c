/* Two images of the same steps: the first file that differs. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cache/cache.h"
#include "image/image.h"
#include "images/images.h"
#include "io/compress.h"
#include "io/digest.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "store/store.h"

static int open_layer(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, struct ix_reader **ret_file,
		      struct ix_reader **ret_tar, struct ix_err *err)
{
	int fd;
	int r;

	if ((r = ix_cache_need_sound(opts->cache, layer->image, &layer->blob, NULL, err)) < 0 ||
	    (r = ix_blob_open(opts->store, &layer->blob.digest, &fd, NULL, err)) < 0)
		return r;
	*ret_file = ix_fd_reader_new_take(fd);
	*ret_tar = ix_decompress_reader_new(*ret_file);
	return 0;
}

static int compare_layer(const struct ix_image_opts *opts, const struct ix_layer_ref *a, const struct ix_layer_ref *b,
			 struct ix_layer_difference *ret_difference, struct ix_err *err)
{
	ix_scoped(ix_reader_freep) struct ix_reader *file_a = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *file_b = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar_a = NULL;
	ix_scoped(ix_reader_freep) struct ix_reader *tar_b = NULL;
	int r;

	if (ix_digest_eq(&a->diff_id, &b->diff_id))
		return 0;
	if ((r = open_layer(opts, a, &file_a, &tar_a, err)) < 0 || (r = open_layer(opts, b, &file_b, &tar_b, err)) < 0)
		return r;
	return ix_layer_compare(tar_a, tar_b, ret_difference, err);
}

/* What docker history says of the step that made layer i. */
static const char *made_by(const struct ix_image *image, size_t i)
{
	for (size_t j = 0; j < image->config.nhistory; j++)
		if (!image->config.history[j].empty_layer && i-- == 0)
			return image->config.history[j].created_by;
	return NULL;
}

int ix_image_compare(const struct ix_image_opts *opts, const struct ix_digest *a, const char *image_a, const struct ix_digest *b,
		     struct ix_image_difference *ret_difference, struct ix_err *err)
{
	struct ix_image_difference difference = { 0 };
	ix_auto_image before = { 0 }, now = { 0 };
	struct ix_output output_a, output_b;
	int r;

	if ((r = ix_image_load(opts, image_a, a, &before, err)) < 0 || (r = ix_image_load(opts, NULL, b, &now, err)) < 0)
		return r;
	for (size_t i = 0; i < before.nlayers && i < now.nlayers && (!difference.what || difference.times_only); i++) {
		struct ix_layer_difference layer = { 0 };

		r = compare_layer(opts, &before.layers[i], &now.layers[i], &layer, err);
		if (r < 0) {
			free(difference.path);
			return r;
		}
		if (!layer.what || (difference.what && layer.times_only)) {
			free(layer.path);
			continue;
		}
		free(difference.path);
		difference = (struct ix_image_difference){
			.layer = i + 1, .path = layer.path, .what = layer.what, .times_only = layer.times_only
		};
		snprintf(difference.step, sizeof(difference.step), "%.120s", made_by(&now, i) ? made_by(&now, i) : "");
	}
	ix_image_output(&before, &output_a);
	ix_image_output(&now, &output_b);
	if ((!difference.what || difference.times_only) && (before.nlayers != now.nlayers || !ix_digest_eq(&output_a.id, &output_b.id))) {
		free(difference.path);
		difference = (struct ix_image_difference){ .path = ix_strdup("config"),
							   .what = before.nlayers != now.nlayers ? "another number of layers"
												 : "another config" };
	}
	*ret_difference = difference;
	return 0;
}
