#include "copy_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "context/context.h"
#include "image/image.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "store/store.h"

/* The layer of a COPY or an ADD, in the order of paths. */

static int compare_outs(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)(*(struct out *const *)a)->path;
	const unsigned char *y = (const unsigned char *)(*(struct out *const *)b)->path;

	while (*x && *x == *y)
		x++, y++;
	if (*x == '/' || *y == '/')
		return *x == *y ? 0 : *x == '/' ? (*y ? -1 : 1) : (*x ? 1 : -1);
	return (int)*x - (int)*y;
}

/* Of this machine's files only capabilities come along, which are part of the key; other attributes tell about the machine. */
static void keep_capabilities(struct ix_tar_entry *entry)
{
	size_t kept = 0;

	for (size_t i = 0; i < entry->nxattrs; i++) {
		if (strcmp(entry->xattrs[i].name, "security.capability") == 0) {
			entry->xattrs[kept++] = entry->xattrs[i];
		} else {
			free(entry->xattrs[i].name);
			free(entry->xattrs[i].value);
		}
	}
	entry->nxattrs = kept;
}

static int write_file(struct copy *self, struct ix_layer_writer *layer, struct out *out, struct ix_err *err)
{
	ix_auto_context_file file = { .fd = -1 };
	int r;

	if ((r = ix_context_open_entry(out->context, out->from, &file, err)) < 0 ||
	    (r = ix_xattrs_read(file.fd, out->path, &out->entry, err)) < 0)
		return r;
	if (self->source_fd < 0)
		keep_capabilities(&out->entry);
	out->written = true;
	r = ix_layer_add(layer, &out->entry, file.fd, self->task->image.cancel, err);
	if (r < 0)
		return r;
	return ix_context_close_entry(out->context, out->from, &file, err);
}

static int write_out(struct copy *self, struct ix_layer_writer *layer, struct out *out, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	int r;

	if (out->text)
		return ix_layer_add_bytes(layer, &out->entry, out->text, err);
	if (out->is_blob) {
		if ((r = ix_blob_check(self->task->image.store, &out->blob, err)) < 0 ||
		    (r = ix_blob_open(self->task->image.store, &out->blob, &fd, NULL, err)) < 0)
			return r;
		return ix_layer_add(layer, &out->entry, fd, self->task->image.cancel, err);
	}
	if (out->from && S_ISREG(out->entry.mode)) {
		if (out->same_as && out->same_as->written) {
			out->entry.hardlink = true;
			out->entry.size = 0;
			out->entry.link = ix_strdup(out->same_as->path);
			return ix_layer_add(layer, &out->entry, -1, self->task->image.cancel, err);
		}
		return write_file(self, layer, out, err);
	}
	return ix_layer_add(layer, &out->entry, -1, self->task->image.cancel, err);
}

int copy_write(struct copy *self, struct ix_layer_writer *layer, struct ix_err *err)
{
	size_t n = self->by_path.count;
	ix_auto_free struct out **outs = ix_calloc(n, sizeof(struct out *));
	int r;

	for (size_t i = 0; i < n; i++)
		outs[i] = self->by_path.entries[i].value;
	qsort(outs, n, sizeof(struct out *), compare_outs);
	for (size_t i = 0; i < n; i++)
		if ((r = write_out(self, layer, outs[i], err)) < 0)
			return r;
	return 0;
}

/* Is anything done in the root after this? Links stand on an empty one. */
static bool is_read_later(const struct task *task)
{
	const struct ix_operations *operations = task->build->operations;

	for (size_t i = 0; i < operations->count; i++)
		if (operations->items[i].index > task->operation->index && !operations->items[i].step->link)
			return true;
	return false;
}

static int write_blob(struct copy *self, struct ix_writer *tar, struct ix_layer_info *ret_info, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	const struct ix_layer_opts how = { opts->compression, opts->compression_level, self->task->build->stage->epoch, tar };
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_layer_writer_freep) struct ix_layer_writer *layer = NULL;
	int r = ix_blob_begin(opts->store, &blob, err);

	if (r < 0)
		return r;
	layer = ix_layer_begin(ix_blob_stream(blob), &how);
	if ((r = copy_write(self, layer, err)) < 0 || (r = ix_layer_finish(layer, ret_info, err)) < 0)
		return r;
	return ix_blob_commit(ix_steal(&blob), &ret_info->digest, err);
}

int copy_write_layer(struct copy *self, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->task->image;
	ix_scoped(ix_unpacking_freep) struct ix_unpacking *unpacking = NULL;
	struct ix_layer_info info;
	int r = is_read_later(self->task) ? ix_unpacking_begin(opts, &unpacking, err) : 0;

	if (r == 0)
		r = write_blob(self, unpacking ? ix_unpacking_writer(unpacking) : NULL, &info, err);
	if (r < 0)
		return r;
	ret_result->digest = info.digest;
	ret_result->size = info.size;
	ret_result->diff_id = info.diff_id;
	ret_result->content = info.content;
	snprintf(ret_result->media_type, sizeof(ret_result->media_type), "%s", ix_layer_media_type(opts->compression));
	r = unpacking ? ix_unpacking_keep(unpacking, &info, err) : 0;
	/* Without it the layer is unpacked by whoever reads it, who tells why it cannot be. */
	return r == -IX_ECORRUPT ? ix_err_wrap(err, "layer") : 0;
}
