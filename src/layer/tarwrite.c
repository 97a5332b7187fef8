#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "io/compress.h"
#include "io/digest.h"
#include "io/stream.h"
#include "tar_int.h"

enum { CHUNK = 256 << 10 };

struct ix_layer_writer {
	struct ix_layer_info info;
	struct ix_writer *blob_digest; /* -> blob */
	struct ix_writer *compress;    /* -> blob_digest */
	struct ix_writer *both;        /* -> compress and tar, or NULL */
	struct ix_writer *diff;        /* -> both or compress; tar bytes go here */
	struct ix_hash *content;
	int64_t epoch;
	char *chunk;
};

/* Field tags of the content digest; docs/identity.md lists them. */
enum { C_PATH = 1, C_LINK, C_XATTR_NAME, C_XATTR_VALUE };

/* Attributes that belong to the file and not to overlayfs or this machine's security modules. */
bool tar_carries_xattr(const char *name)
{
	return strcmp(name, "security.capability") == 0 || (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct ix_xattr *)a)->name, ((const struct ix_xattr *)b)->name);
}

int ix_xattrs_read(int fd, const char *what, struct ix_tar_entry *entry, struct ix_err *err)
{
	char names[4096], value[65536];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP || errno == EBADF ? 0 : ix_err_sys(err, "list attributes of %s", what);
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		ssize_t len;

		if (!tar_carries_xattr(name))
			continue;
		len = fgetxattr(fd, name, value, sizeof(value));
		if (len < 0)
			return ix_err_sys(err, "attribute %s of %s", name, what);
		entry->xattrs = ix_realloc_array(entry->xattrs, entry->nxattrs + 1, sizeof(*entry->xattrs));
		entry->xattrs[entry->nxattrs++] = (struct ix_xattr){ ix_strdup(name), ix_strndup(value, (size_t)len), (size_t)len };
	}
	if (entry->nxattrs > 1)
		qsort(entry->xattrs, entry->nxattrs, sizeof(*entry->xattrs), compare_xattrs);
	return 0;
}

struct ix_layer_writer *ix_layer_begin(struct ix_writer *blob, const struct ix_layer_opts *opts)
{
	struct ix_layer_writer *layer = ix_calloc(1, sizeof(*layer));

	layer->blob_digest = ix_digest_writer_new(blob, &layer->info.digest, &layer->info.size);
	layer->compress = ix_compress_writer_new(layer->blob_digest, opts->compression, opts->level, 0);
	layer->both = opts->tar ? ix_tee_writer_new(layer->compress, opts->tar) : NULL;
	layer->diff = ix_digest_writer_new(layer->both ? layer->both : layer->compress, &layer->info.diff_id, &layer->info.tar_size);
	layer->content = ix_hash_new();
	layer->epoch = opts->epoch;
	layer->chunk = ix_malloc(CHUNK);
	return layer;
}

void ix_layer_writer_free(struct ix_layer_writer *layer)
{
	if (!layer)
		return;
	ix_writer_free(layer->diff);
	ix_writer_free(layer->both);
	ix_writer_free(layer->compress);
	ix_writer_free(layer->blob_digest);
	ix_hash_free(layer->content);
	free(layer->chunk);
	free(layer);
}

/* --- pax records: "<length> <key>=<value>\n" where the length counts itself --- */

static void pax_put(struct ix_buf *pax, const char *key, const void *value, size_t len)
{
	size_t body = strlen(key) + len + 3; /* blank, '=', newline */
	size_t total = body + 1;
	char digits[24];

	while (total != body + (size_t)snprintf(digits, sizeof(digits), "%zu", total))
		total = body + strlen(digits);
	ix_buf_printf(pax, "%zu %s=", total, key);
	ix_buf_put(pax, value, len);
	ix_buf_putc(pax, '\n');
}

static void pax_puts(struct ix_buf *pax, const char *key, const char *value)
{
	pax_put(pax, key, value, strlen(value));
}

static void put_octal(char *field, size_t len, uint64_t value)
{
	field[len - 1] = '\0';
	for (size_t i = len - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

/* A number into its field, or, when it does not fit, into a pax record. */
static void put_number(struct ix_buf *pax, const char *key, char *field, size_t len, uint64_t value)
{
	if (value >> (3 * (len - 1)) == 0) {
		put_octal(field, len, value);
		return;
	}
	put_octal(field, len, 0);
	if (key) {
		char text[24];

		snprintf(text, sizeof(text), "%" PRIu64, value);
		pax_puts(pax, key, text);
	}
}

static bool fits_header(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false; /* pax says what the bytes mean */
	return true;
}

static void put_path(struct ix_buf *pax, struct tar_header *header, const char *path)
{
	if (fits_header(path, sizeof(header->name))) {
		memcpy(header->name, path, strlen(path));
		return;
	}
	pax_puts(pax, "path", path);
	memcpy(header->name, path, strnlen(path, sizeof(header->name) - 1));
}

static char type_of(const struct ix_tar_entry *entry)
{
	if (entry->hardlink)
		return '1';
	switch (entry->mode & S_IFMT) {
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return '0';
	}
}

int64_t tar_time(const struct ix_layer_writer *layer, int64_t seconds)
{
	return layer->epoch >= 0 && seconds > layer->epoch ? layer->epoch : seconds;
}

/* Whole seconds, as docker and containerd write layers: a fraction would cost a pax header for every file. */
static void put_time(const struct ix_layer_writer *layer, struct ix_buf *pax, struct tar_header *header, int64_t seconds)
{
	char text[24];

	seconds = tar_time(layer, seconds);
	if (seconds >= 0 && seconds >> 33 == 0) {
		put_octal(header->mtime, sizeof(header->mtime), (uint64_t)seconds);
		return;
	}
	put_octal(header->mtime, sizeof(header->mtime), 0);
	snprintf(text, sizeof(text), "%" PRId64, seconds);
	pax_puts(pax, "mtime", text);
}

static void fill_header(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, struct tar_header *header, struct ix_buf *pax)
{
	ix_auto_free char *path = ix_asprintf("%s%s", entry->path, S_ISDIR(entry->mode) ? "/" : "");

	*header = (struct tar_header){ .type = type_of(entry), .magic = "ustar", .version = { '0', '0' } };
	put_time(layer, pax, header, entry->mtime_s);
	if (entry->link) {
		if (fits_header(entry->link, sizeof(header->link)))
			memcpy(header->link, entry->link, strlen(entry->link));
		else
			pax_puts(pax, "linkpath", entry->link);
	}
	put_path(pax, header, *path == '/' ? "./" : path);
	put_number(pax, NULL, header->mode, sizeof(header->mode), entry->mode & 07777);
	put_number(pax, "uid", header->uid, sizeof(header->uid), entry->uid);
	put_number(pax, "gid", header->gid, sizeof(header->gid), entry->gid);
	put_number(pax, "size", header->size, sizeof(header->size), entry->size);
	put_number(pax, NULL, header->major, sizeof(header->major), entry->rdev_major);
	put_number(pax, NULL, header->minor, sizeof(header->minor), entry->rdev_minor);
	for (size_t i = 0; i < entry->nxattrs; i++) {
		ix_auto_free char *key = ix_asprintf("SCHILY.xattr.%s", entry->xattrs[i].name);

		pax_put(pax, key, entry->xattrs[i].value, entry->xattrs[i].len);
	}
}

static void seal(struct tar_header *header)
{
	put_octal(header->checksum, 7, tar_checksum(header));
	header->checksum[7] = ' ';
}

/* Everything of an entry but its times; its bytes follow. */
static void hash_entry(struct ix_hash *hash, const struct ix_tar_entry *entry)
{
	const uint64_t numbers[] = { (uint64_t)type_of(entry), entry->mode & 07777, entry->uid,     entry->gid,
				     entry->rdev_major,        entry->rdev_minor,   entry->nxattrs, entry->size };

	ix_hash_text(hash, C_PATH, entry->path);
	ix_hash_text(hash, C_LINK, entry->link);
	for (size_t i = 0; i < entry->nxattrs; i++) {
		ix_hash_text(hash, C_XATTR_NAME, entry->xattrs[i].name);
		ix_hash_field(hash, C_XATTR_VALUE, entry->xattrs[i].value, entry->xattrs[i].len);
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(numbers); i++)
		ix_hash_u64(hash, numbers[i]);
}

static const char zeros[TAR_BLOCK * 2];

/* Bytes of a file's contents. */
static int put_contents(struct ix_layer_writer *layer, const void *bytes, size_t len, struct ix_err *err)
{
	ix_hash_bytes(layer->content, bytes, len);
	return ix_write(layer->diff, bytes, len, err);
}

static int put_padded(struct ix_layer_writer *layer, const void *bytes, size_t len, struct ix_err *err)
{
	int r = ix_write(layer->diff, bytes, len, err);

	if (r < 0)
		return r;
	return ix_write(layer->diff, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK, err);
}

static int put_headers(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, struct ix_err *err)
{
	struct tar_header header, extended;
	ix_auto_buf pax = { 0 };
	int r;

	hash_entry(layer->content, entry);
	fill_header(layer, entry, &header, &pax);
	if (pax.len > 0) {
		extended = (struct tar_header){ .type = 'x', .magic = "ustar", .version = { '0', '0' }, .name = "PaxHeaders/entry" };
		put_octal(extended.mode, sizeof(extended.mode), 0644);
		put_octal(extended.uid, sizeof(extended.uid), 0);
		put_octal(extended.gid, sizeof(extended.gid), 0);
		put_octal(extended.size, sizeof(extended.size), pax.len);
		put_octal(extended.mtime, sizeof(extended.mtime), 0);
		seal(&extended);
		if ((r = ix_write(layer->diff, &extended, sizeof(extended), err)) < 0 ||
		    (r = put_padded(layer, pax.data, pax.len, err)) < 0)
			return r;
	}
	seal(&header);
	return ix_write(layer->diff, &header, sizeof(header), err);
}

int ix_layer_add(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, int fd, const struct ix_cancel *cancel,
		 struct ix_err *err)
{
	uint64_t left = entry->size;
	int r;

	if ((r = ix_cancel_check(cancel, err)) < 0 || (r = put_headers(layer, entry, err)) < 0)
		return r;
	while (left > 0) {
		ssize_t n = read(fd, layer->chunk, left < CHUNK ? (size_t)left : CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ix_err_sys(err, "read %s", entry->path);
		if (n == 0)
			return ix_err_set(err, IX_EFAIL, "%s became shorter while it was being read", entry->path);
		if ((r = put_contents(layer, layer->chunk, (size_t)n, err)) < 0 || (r = ix_cancel_check(cancel, err)) < 0)
			return r;
		left -= (uint64_t)n;
	}
	return ix_write(layer->diff, zeros, (TAR_BLOCK - entry->size % TAR_BLOCK) % TAR_BLOCK, err);
}

int ix_layer_add_tar(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, struct ix_tar_reader *tar,
		     const struct ix_cancel *cancel, struct ix_err *err)
{
	uint64_t left = entry->size;
	int r;

	if ((r = ix_cancel_check(cancel, err)) < 0 || (r = put_headers(layer, entry, err)) < 0)
		return r;
	while (left > 0) {
		ssize_t n = ix_tar_read(tar, layer->chunk, left < CHUNK ? (size_t)left : CHUNK, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return ix_err_set(err, IX_ECORRUPT, "%s ends early", entry->path);
		if ((r = put_contents(layer, layer->chunk, (size_t)n, err)) < 0 || (r = ix_cancel_check(cancel, err)) < 0)
			return r;
		left -= (uint64_t)n;
	}
	return ix_write(layer->diff, zeros, (TAR_BLOCK - entry->size % TAR_BLOCK) % TAR_BLOCK, err);
}

int ix_layer_add_bytes(struct ix_layer_writer *layer, const struct ix_tar_entry *entry, const void *bytes, struct ix_err *err)
{
	int r = put_headers(layer, entry, err);

	if (r < 0)
		return r;
	ix_hash_bytes(layer->content, bytes, entry->size);
	return put_padded(layer, bytes, entry->size, err);
}

int ix_layer_finish(struct ix_layer_writer *layer, struct ix_layer_info *ret_info, struct ix_err *err)
{
	int r;

	if ((r = ix_write(layer->diff, zeros, sizeof(zeros), err)) < 0 || (r = ix_write_finish(layer->diff, err)) < 0 ||
	    (r = ix_write_finish(layer->both ? layer->both : layer->compress, err)) < 0 ||
	    (r = ix_write_finish(layer->blob_digest, err)) < 0)
		return r;
	ix_hash_final(layer->content, &layer->info.content);
	*ret_info = layer->info;
	return 0;
}
