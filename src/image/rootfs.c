#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "cache/cache.h"
#include "image_int.h"
#include "io/digest.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

enum { FETCH_THREADS = 4 };

/* The unpacked layers of an image, uppermost first. At least one: an empty directory stands for no layers. */
struct lowers {
	char **dirs;
	size_t count;
};

static void lowers_release(struct lowers *lowers)
{
	for (size_t i = 0; i < lowers->count; i++)
		free(lowers->dirs[i]);
	free(lowers->dirs);
	*lowers = (struct lowers){ 0 };
}
#define auto_lowers ix_scoped(lowers_release) struct lowers

static int unpack_blob(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, struct ix_err *err)
{
	ix_auto_free char *dir = NULL;
	ix_auto_strv made = { 0 };
	struct ix_err ignored;
	int r;

	r = ix_store_tmpdir(opts->store, &dir, err);
	if (r < 0)
		return r;
	r = unpack_blob_into(opts, layer, dir, &made, err);
	if (r == 0)
		r = parents_note(opts, layer, &made, err);
	if (r == 0)
		r = ix_layer_dir_commit(opts->store, dir, &layer->diff_id, err);
	if (r < 0)
		(void)ix_remove_tree(AT_FDCWD, dir, &ignored);
	return r;
}

static int unpack_layer(const struct ix_image_opts *opts, const struct ix_layer_ref *layer, const char *stage, char **ret_dir,
			struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_close int lock = -1;
	int r;

	r = ix_layer_dir(opts->store, &layer->diff_id, ret_dir, err);
	if (r != -IX_ENOTFOUND)
		return r;
	if ((r = ix_cache_need_blob(opts->cache, layer->image, &layer->blob, stage, err)) < 0 ||
	    (r = ix_store_lock(opts->store, "unpack", &layer->diff_id, opts->cancel, &lock, err)) < 0)
		return r;
	r = ix_layer_dir(opts->store, &layer->diff_id, ret_dir, err);
	if (r != -IX_ENOTFOUND)
		return r; /* another process was first */
	r = unpack_blob(opts, layer, err);
	/* A blob that was damaged after it was written is fetched once more. */
	if (r == -IX_ECORRUPT) {
		struct ix_err why = *err;

		r = ix_cache_mend_blob(opts->cache, layer->image, &layer->blob, stage, err);
		if (r > 0)
			r = unpack_blob(opts, layer, err);
		else if (r == 0)
			*err = why, r = -IX_ECORRUPT;
	}
	if (r < 0)
		return ix_err_wrap(err, "layer %s", ix_digest_text(&layer->blob.digest, text));
	return ix_layer_dir(opts->store, &layer->diff_id, ret_dir, err);
}

/* A directory with nothing in it, for images without layers. */
static int empty_dir(struct ix_store *store, char **ret_dir, struct ix_err *err)
{
	ix_auto_free char *dir = ix_store_sub(store, "layers/empty");
	int r = ix_mkdir_p(AT_FDCWD, dir, 0755, err);

	if (r < 0)
		return r;
	*ret_dir = ix_steal(&dir);
	return 0;
}

/* overlayfs refuses the same directory twice. Of two equal layers the upper one says it all: it puts back whatever was changed in between. */
static bool listed(const struct lowers *lowers, const char *dir)
{
	for (size_t i = 0; i < lowers->count; i++)
		if (strcmp(lowers->dirs[i], dir) == 0)
			return true;
	return false;
}

/* Layers of one image on their way, several at once: one waits for the network while another is decompressed. */
struct fetch {
	const struct ix_image_opts *opts;
	const struct ix_image *image;
	const char *stage;
	char **dirs; /* by layer */
	atomic_size_t next;
	pthread_mutex_t lock;
	bool failed;
	struct ix_err err;
};

static void *fetch_layers(void *data)
{
	struct fetch *self = data;
	size_t i;

	while ((i = atomic_fetch_add(&self->next, 1)) < self->image->nlayers) {
		struct ix_err err;

		if (unpack_layer(self->opts, &self->image->layers[i], self->stage, &self->dirs[i], &err) == 0)
			continue;
		pthread_mutex_lock(&self->lock);
		if (!self->failed)
			self->err = err;
		self->failed = true;
		pthread_mutex_unlock(&self->lock);
		atomic_store(&self->next, self->image->nlayers);
	}
	return NULL;
}

static int fetch_all(struct fetch *self, struct ix_err *err)
{
	pthread_t threads[FETCH_THREADS];
	size_t n = 0, want = 0;

	for (size_t i = 0; i < self->image->nlayers && want < FETCH_THREADS; i++) {
		ix_auto_free char *there = NULL;

		want += ix_layer_dir(self->opts->store, &self->image->layers[i].diff_id, &there, err) < 0;
	}
	pthread_mutex_init(&self->lock, NULL);
	while (n + 1 < want && pthread_create(&threads[n], NULL, fetch_layers, self) == 0)
		n++;
	fetch_layers(self);
	while (n > 0)
		pthread_join(threads[--n], NULL);
	pthread_mutex_destroy(&self->lock);
	return self->failed ? ix_err_copy(err, &self->err) : 0;
}

static int rootfs_lowers(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage, struct lowers *ret_lowers,
			 struct ix_err *err)
{
	auto_lowers lowers = { .dirs = ix_calloc(image->nlayers + 1, sizeof(char *)) };
	ix_auto_free char **dirs = ix_calloc(image->nlayers + 1, sizeof(char *));
	struct fetch fetch = { .opts = opts, .image = image, .stage = stage, .dirs = dirs };
	int r = fetch_all(&fetch, err);

	for (size_t i = 1; r == 0 && i < image->nlayers; i++)
		r = parents_inherit(opts, &image->layers[i], dirs, i, stage, err);
	for (size_t i = image->nlayers; i-- > 0;) {
		if (r == 0 && !listed(&lowers, dirs[i]))
			lowers.dirs[lowers.count++] = ix_steal(&dirs[i]);
		free(dirs[i]);
	}
	if (r < 0)
		return r;
	if (lowers.count == 0) {
		r = empty_dir(opts->store, &lowers.dirs[0], err);
		if (r < 0)
			return r;
		lowers.count = 1;
	}
	for (size_t i = 0; opts->perturbed && i < lowers.count; i++)
		if ((r = perturb_dir(opts->perturbed, &lowers.dirs[i], err)) < 0)
			return r;
	*ret_lowers = lowers;
	lowers = (struct lowers){ 0 };
	return 0;
}

int ix_rootfs_open(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage, int *ret_fd, struct ix_err *err)
{
	auto_lowers lowers = { 0 };
	int r = rootfs_lowers(opts, image, stage, &lowers, err);

	if (r < 0)
		return r;
	return ix_overlay_open(&(struct ix_overlay){ .lowers = (const char *const *)lowers.dirs, .nlowers = lowers.count }, ret_fd, err);
}

int ix_scratch_open(const struct ix_image_opts *opts, const struct ix_image *image, const char *stage, struct ix_scratch *ret_scratch,
		    struct ix_err *err)
{
	ix_auto_scratch scratch = { .root_fd = -1 };
	ix_auto_free char *work = NULL;
	auto_lowers lowers = { 0 };
	struct ix_overlay overlay;
	int r;

	if ((r = rootfs_lowers(opts, image, stage, &lowers, err)) < 0 || (r = ix_store_tmpdir(opts->store, &scratch.dir, err)) < 0)
		return r;
	scratch.upper = ix_asprintf("%s/upper", scratch.dir);
	work = ix_asprintf("%s/work", scratch.dir);
	if (mkdir(scratch.upper, 0755) < 0 || mkdir(work, 0700) < 0)
		return ix_err_sys(err, "mkdir %s", work);
	overlay = (struct ix_overlay){
		.lowers = (const char *const *)lowers.dirs, .nlowers = lowers.count, .upper = scratch.upper, .work = work
	};
	r = ix_overlay_open(&overlay, &scratch.root_fd, err);
	if (r < 0)
		return r;
	*ret_scratch = scratch;
	scratch = (struct ix_scratch){ .root_fd = -1 };
	return 0;
}

void ix_scratch_release(struct ix_scratch *scratch)
{
	struct ix_err ignored;

	ix_closep(&scratch->root_fd);
	scratch->root_fd = -1;
	if (scratch->dir)
		(void)ix_remove_tree(AT_FDCWD, scratch->dir, &ignored);
	free(scratch->dir);
	free(scratch->upper);
	scratch->dir = scratch->upper = NULL;
}

static int pack_changes(const struct ix_image_opts *opts, struct ix_scratch *scratch, int lower_fd, int64_t epoch,
			struct ix_layer_info *ret_info, struct ix_err *err)
{
	const struct ix_layer_opts how = { opts->compression, opts->compression_level, epoch };
	ix_auto_close int upper_fd = open(scratch->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_layer_writer_freep) struct ix_layer_writer *layer = NULL;
	size_t entries;

	if (upper_fd < 0)
		return ix_err_sys(err, "open %s", scratch->upper);
	int r = ix_blob_begin(opts->store, &blob, err);
	if (r < 0)
		return r;
	layer = ix_layer_begin(ix_blob_stream(blob), &how);
	if ((r = ix_layer_pack_upper(layer, upper_fd, lower_fd, opts->cancel, &entries, err)) < 0 ||
	    (r = ix_layer_finish(layer, ret_info, err)) < 0)
		return r;
	return ix_blob_commit(ix_steal(&blob), &ret_info->digest, err);
}

int ix_scratch_commit(const struct ix_image_opts *opts, struct ix_scratch *scratch, const struct ix_image *image, const char *stage,
		      int64_t epoch, struct ix_step_result *ret_result, struct ix_err *err)
{
	ix_auto_close int lower_fd = -1;
	struct ix_layer_info info;

	/* The overlay goes first: what it still holds in memory has to be in the upper directory. */
	ix_closep(&scratch->root_fd);
	scratch->root_fd = -1;
	if (ix_rootfs_open(opts, image, stage, &lower_fd, err) < 0 || pack_changes(opts, scratch, lower_fd, epoch, &info, err) < 0 ||
	    unpack_check(opts, scratch->upper, &info, err) < 0)
		return ix_err_wrap(err, "layer");
	ret_result->digest = info.digest;
	ret_result->size = info.size;
	ret_result->diff_id = info.diff_id;
	ret_result->content = info.content;
	snprintf(ret_result->media_type, sizeof(ret_result->media_type), "%s", ix_layer_media_type(opts->compression));
	/* A finished step's upper directory, settled by the packer, is the unpacked layer. */
	return ix_layer_dir_commit(opts->store, scratch->upper, &info.diff_id, err);
}
