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
#include "image/image.h"
#include "images/images.h"
#include "io/digest.h"
#include "io/stream.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

/* A file that appears whole or not at all; "-" and NULL are standard output. */
struct output {
	int fd;
	char *tmp;
	const char *dest;
};

static int output_open(const char *dest, struct output *ret_output, struct ix_err *err)
{
	char random[13];
	int r;

	*ret_output = (struct output){ .fd = -1 };
	if (!dest || strcmp(dest, "-") == 0) {
		ret_output->fd = dup(STDOUT_FILENO);
		return ret_output->fd < 0 ? ix_err_sys(err, "standard output") : 0;
	}
	ix_random_name(random);
	ret_output->dest = dest;
	ret_output->tmp = ix_asprintf("%s.tmp-%s", dest, random);
	ret_output->fd = open(ret_output->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644 & ~ix_umask_of_caller());
	if (ret_output->fd >= 0)
		return 0;
	r = ix_err_sys(err, "create %s", dest);
	free(ret_output->tmp);
	ret_output->tmp = NULL;
	return r;
}

static int output_close(struct output *output, int r, struct ix_err *err)
{
	if (r == 0 && output->tmp && (fsync(output->fd) < 0 || rename(output->tmp, output->dest) < 0))
		r = ix_err_sys(err, "write %s", output->dest);
	ix_closep(&output->fd);
	if (r < 0 && output->tmp)
		unlink(output->tmp);
	free(output->tmp);
	return r;
}

/* --- archives of image layouts --- */

struct archive {
	const struct ix_image_opts *opts;
	struct ix_layer_writer *tar;
	int dir_fd; /* a layout directory instead; -1 for a tar */
	struct ix_strv done;
};

static int put_dir(struct archive *self, const char *path, struct ix_err *err)
{
	struct ix_tar_entry entry = { .path = (char *)(uintptr_t)path, .mode = S_IFDIR | 0755 };

	if (self->dir_fd >= 0)
		return ix_mkdir_p(self->dir_fd, path, 0755 & ~ix_umask_of_caller(), err);
	return ix_layer_add(self->tar, &entry, -1, self->opts->cancel, err);
}

static int put_bytes(struct archive *self, const char *path, const void *bytes, size_t len, struct ix_err *err)
{
	struct ix_tar_entry entry = { .path = (char *)(uintptr_t)path, .mode = S_IFREG | 0644, .size = len };

	if (self->dir_fd >= 0)
		return ix_publish_file(self->dir_fd, path, bytes, len, 0644, err);
	return ix_layer_add_bytes(self->tar, &entry, bytes, err);
}

static int copy_to_dir(struct archive *self, const char *path, int fd, struct ix_err *err)
{
	ix_scoped(ix_reader_freep) struct ix_reader *reader = ix_fd_reader_new(fd);
	ix_scoped(ix_writer_freep) struct ix_writer *writer = NULL;
	ix_auto_close int to = -1;

	if (ix_path_exists(self->dir_fd, path))
		return 0;
	to = openat(self->dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644 & ~ix_umask_of_caller());
	if (to < 0)
		return ix_err_sys(err, "create %s", path);
	writer = ix_fd_writer_new(to);
	return ix_copy(reader, writer, self->opts->cancel, err);
}

static int put_blob(struct archive *self, const char *image, const struct ix_descriptor *blob, struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	ix_auto_free char *path = ix_asprintf("blobs/sha256/%s", ix_digest_hex(&blob->digest, hex));
	struct ix_tar_entry entry = { .path = path, .mode = S_IFREG | 0644 };
	ix_auto_close int fd = -1;
	int r;

	if (ix_strv_has(&self->done, path))
		return 0;
	ix_strv_add(&self->done, path);
	if ((r = ix_cache_need_sound(self->opts->cache, image, blob, NULL, err)) < 0 ||
	    (r = ix_blob_open(self->opts->store, &blob->digest, &fd, &entry.size, err)) < 0)
		return r;
	if (self->dir_fd >= 0)
		return copy_to_dir(self, path, fd, err);
	return ix_layer_add(self->tar, &entry, fd, self->opts->cancel, err);
}

/* docker load's manifest.json (docker save format 1.2): paths may be those of the layout's blobs. */
static void docker_manifest(const struct ix_manifest *manifest, const char *const *names, struct ix_buf *json)
{
	char hex[IX_DIGEST_HEX + 1];

	ix_buf_printf(json, "[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[", ix_digest_hex(&manifest->config.digest, hex));
	for (size_t i = 0; names && names[i]; i++)
		ix_buf_printf(json, "%s\"%s\"", i ? "," : "", names[i]); /* references hold nothing that JSON escapes */
	ix_buf_puts(json, "],\"Layers\":[");
	for (size_t i = 0; i < manifest->nlayers; i++)
		ix_buf_printf(json, "%s\"blobs/sha256/%s\"", i ? "," : "", ix_digest_hex(&manifest->layers[i].digest, hex));
	ix_buf_puts(json, "]}]");
}

static void index_json(const struct ix_digest *digest, uint64_t size, const struct ix_manifest *manifest,
		       const struct ix_platform *platform, const char *const *names, struct ix_buf *json)
{
	ix_auto_index index = { 0 };
	size_t i = 0;

	do {
		struct ix_descriptor *entry = ix_index_add(&index);

		entry->media_type = ix_strdup(manifest->media_type);
		entry->digest = *digest;
		entry->size = size;
		entry->has_platform = platform->arch[0] != '\0';
		entry->platform = *platform;
		if (names && names[i]) {
			const char *colon = strrchr(names[i], ':');

			ix_pairs_set(&entry->annotations, "io.containerd.image.name", names[i]);
			ix_pairs_set(&entry->annotations, "org.opencontainers.image.ref.name",
				     colon && !strchr(colon, '/') ? colon + 1 : names[i]);
		}
	} while (names && names[i] && names[++i]);
	ix_index_json(&index, json);
}

static int write_archive(struct archive *self, const struct ix_digest *digest, const char *image, const struct ix_export *spec,
			 struct ix_err *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_buf index = { 0 }, docker = { 0 };
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	struct ix_descriptor itself;
	int r;

	if ((r = ix_cache_image(self->opts->cache, image, digest, &manifest, &config, err)) < 0 ||
	    (r = ix_blob_read(self->opts->store, digest, &body, err)) < 0)
		return r;
	itself = (struct ix_descriptor){ .digest = *digest, .size = body.len };
	index_json(digest, body.len, &manifest, &config.platform, spec->names, &index);
	if ((r = put_dir(self, "blobs", err)) < 0 || (r = put_dir(self, "blobs/sha256", err)) < 0)
		return r;
	for (size_t i = 0; i < manifest.nlayers; i++)
		if ((r = put_blob(self, image, &manifest.layers[i], err)) < 0)
			return r;
	if ((r = put_blob(self, image, &manifest.config, err)) < 0 || (r = put_blob(self, image, &itself, err)) < 0 ||
	    (r = put_bytes(self, "index.json", index.data, index.len, err)) < 0)
		return r;
	if (spec->kind == IX_EXPORT_DOCKER) {
		docker_manifest(&manifest, spec->names, &docker);
		r = put_bytes(self, "manifest.json", docker.data, docker.len, err);
		if (r < 0)
			return r;
	}
	return put_bytes(self, "oci-layout", layout, strlen(layout), err);
}

static int export_tar(const struct ix_image_opts *opts, const char *dest,
		      int (*fill)(struct archive *, const struct ix_digest *, const char *, const struct ix_export *, struct ix_err *),
		      const struct ix_digest *digest, const char *image, const struct ix_export *spec, struct ix_err *err)
{
	const struct ix_layer_opts plain = { .compression = IX_COMPRESSION_NONE, .epoch = opts->epoch };
	struct archive self = { .opts = opts, .dir_fd = -1 };
	struct ix_writer *writer;
	struct ix_layer_info info;
	struct output output;
	int r;

	r = output_open(dest, &output, err);
	if (r < 0)
		return r;
	writer = ix_fd_writer_new(output.fd);
	self.tar = ix_layer_begin(writer, &plain);
	r = fill(&self, digest, image, spec, err);
	if (r == 0)
		r = ix_layer_finish(self.tar, &info, err);
	ix_layer_writer_free(self.tar);
	ix_writer_free(writer);
	ix_strv_release(&self.done);
	return output_close(&output, r, err);
}

static int export_layout_dir(const struct ix_image_opts *opts, const struct ix_digest *digest, const char *image,
			     const struct ix_export *spec, struct ix_err *err)
{
	struct archive self = { .opts = opts };
	int r;

	if (!spec->dest)
		return ix_err_set(err, IX_EARG, "a layout directory needs dest=");
	r = ix_mkdir_p(AT_FDCWD, spec->dest, 0755 & ~ix_umask_of_caller(), err);
	if (r < 0)
		return r;
	self.dir_fd = open(spec->dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self.dir_fd < 0)
		return ix_err_sys(err, "open %s", spec->dest);
	r = write_archive(&self, digest, image, spec, err);
	close(self.dir_fd);
	ix_strv_release(&self.done);
	return r;
}

/* --- root file systems --- */

static int open_root(const struct ix_image_opts *opts, const struct ix_digest *digest, const char *image, int *ret_fd, struct ix_err *err)
{
	ix_auto_image loaded = { 0 };
	int r = ix_image_load(opts, image, digest, &loaded, err);

	if (r < 0)
		return r;
	return ix_rootfs_open(opts, &loaded, NULL, ret_fd, err);
}

static int fill_rootfs(struct archive *self, const struct ix_digest *digest, const char *image, const struct ix_export *spec,
		       struct ix_err *err)
{
	ix_auto_close int root = -1;

	(void)spec;
	int r = open_root(self->opts, digest, image, &root, err);
	if (r < 0)
		return r;
	return ix_layer_pack_tree(self->tar, root, self->opts->cancel, err);
}

static int export_local(const struct ix_image_opts *opts, const struct ix_digest *digest, const char *image, const struct ix_export *spec,
			struct ix_err *err)
{
	const struct ix_unpack_opts how = { .userns = ix_sandbox_rootless(), .no_owners = true, .cancel = opts->cancel };
	ix_scoped(ix_reader_freep) struct ix_reader *reader = NULL;
	ix_auto_free char *dir = NULL;
	ix_auto_free char *tar = NULL;
	ix_auto_close int to = -1;
	int fd, r;

	if (!spec->dest)
		return ix_err_set(err, IX_EARG, "type=local needs dest=DIRECTORY");
	r = ix_mkdir_p(AT_FDCWD, spec->dest, 0755 & ~ix_umask_of_caller(), err);
	if (r < 0)
		return r;
	to = open(spec->dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0)
		return ix_err_sys(err, "open %s", spec->dest);
	r = ix_store_tmpdir(opts->store, &dir, err);
	if (r < 0)
		return r;
	tar = ix_asprintf("%s/root.tar", dir);
	r = export_tar(opts, tar, fill_rootfs, digest, image, spec, err);
	fd = r < 0 ? -1 : open(tar, O_RDONLY | O_CLOEXEC);
	unlink(tar);
	rmdir(dir);
	if (fd < 0)
		return r < 0 ? r : ix_err_sys(err, "open %s", tar);
	reader = ix_fd_reader_new_take(fd);
	return ix_layer_unpack(reader, to, &how, err);
}

int ix_export_image(const struct ix_image_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_export *spec,
		    struct ix_err *err)
{
	switch (spec->kind) {
	case IX_EXPORT_OCI:
		if (spec->directory)
			return export_layout_dir(opts, manifest, image, spec, err);
		return export_tar(opts, spec->dest, write_archive, manifest, image, spec, err);
	case IX_EXPORT_DOCKER:
		return export_tar(opts, spec->dest, write_archive, manifest, image, spec, err);
	case IX_EXPORT_TAR:
		return export_tar(opts, spec->dest, fill_rootfs, manifest, image, spec, err);
	case IX_EXPORT_LOCAL:
		break;
	}
	return export_local(opts, manifest, image, spec, err);
}
