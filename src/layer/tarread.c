#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "io/stream.h"
#include "tar_int.h"

/* What a stranger may make us hold for one entry: names, links and attributes together. */
/* Of all that one entry makes us keep, and of its name. */
enum { EXTENDED_MAX = 1 << 20, NAME_BYTES_MAX = 4096 };

struct ix_tar_reader {
	struct ix_reader *stream;
	struct ix_tar_entry entry;
	uint64_t left;    /* contents of the entry not read yet */
	unsigned padding; /* behind them */
};

struct ix_tar_reader *ix_tar_reader_new(struct ix_reader *stream)
{
	struct ix_tar_reader *tar = ix_calloc(1, sizeof(*tar));

	tar->stream = stream;
	return tar;
}

void ix_tar_reader_free(struct ix_tar_reader *tar)
{
	if (!tar)
		return;
	ix_tar_entry_release(&tar->entry);
	free(tar);
}

ssize_t ix_tar_read(struct ix_tar_reader *tar, void *bytes, size_t len, struct ix_err *err)
{
	ssize_t n;

	if (tar->left == 0)
		return 0;
	n = ix_read(tar->stream, bytes, len < tar->left ? len : (size_t)tar->left, err);
	if (n < 0)
		return n;
	if (n == 0)
		return ix_err_set(err, IX_ECORRUPT, "tar: ends inside %s", tar->entry.path ? tar->entry.path : "a header");
	tar->left -= (uint64_t)n;
	return n;
}

static int skip_rest(struct ix_tar_reader *tar, struct ix_err *err)
{
	char chunk[16384];

	tar->left += tar->padding;
	tar->padding = 0;
	while (tar->left > 0) {
		ssize_t n = ix_tar_read(tar, chunk, sizeof(chunk), err);

		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* Octal, blanks around, or GNU base-256 when the top bit is set. Negative and too large numbers are refused. */
static bool number(const char *field, size_t len, uint64_t *ret_value)
{
	const unsigned char *bytes = (const unsigned char *)field;
	uint64_t value = 0;
	size_t i = 0;

	if (bytes[0] & 0x80) {
		value = bytes[0] & 0x3f;
		if (bytes[0] & 0x40)
			return false;
		for (i = 1; i < len; i++) {
			if (value >> 55)
				return false;
			value = value << 8 | bytes[i];
		}
		*ret_value = value;
		return true;
	}
	while (i < len && bytes[i] == ' ')
		i++;
	for (; i < len && bytes[i] >= '0' && bytes[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(bytes[i] - '0');
	*ret_value = value;
	return i == len || bytes[i] == '\0' || bytes[i] == ' ';
}

static int corrupt(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_ECORRUPT, "tar: bad %s", what);
}

/* The whole contents of an extended header, NUL terminated. kept: bytes of those before it. */
static int read_extended(struct ix_tar_reader *tar, uint64_t size, uint64_t *kept, struct ix_buf *buf, struct ix_err *err)
{
	unsigned padding = (unsigned)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
	char rest[TAR_BLOCK];

	if (size > EXTENDED_MAX - *kept)
		return ix_err_set(err, IX_ELIMIT, "tar: extended headers of more than %d bytes for one entry", EXTENDED_MAX);
	*kept += size;
	ix_buf_reset(buf);
	if (ix_read_exact(tar->stream, ix_buf_reserve(buf, (size_t)size), (size_t)size, err) < 0)
		return ix_err_wrap(err, "tar");
	buf->len = (size_t)size;
	buf->data[size] = '\0';
	return ix_read_exact(tar->stream, rest, padding, err);
}

static void add_xattr(struct ix_tar_entry *entry, const char *name, const char *value, size_t len)
{
	entry->xattrs = ix_realloc_array(entry->xattrs, entry->nxattrs + 1, sizeof(*entry->xattrs));
	entry->xattrs[entry->nxattrs++] = (struct ix_xattr){ ix_strdup(name), ix_strndup(value, len), len };
}

/* What extended headers said about the entry that follows. */
struct extended {
	struct ix_tar_entry entry;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t bytes; /* of the headers */
};

static bool pax_number(const char *value, uint64_t max, uint64_t *ret_value)
{
	return ix_parse_u64(value, max, ret_value);
}

static bool pax_time(const char *value, int64_t *ret_seconds)
{
	bool negative = *value == '-';
	ix_auto_free char *whole = ix_strndup(value + negative, strcspn(value + negative, "."));
	uint64_t seconds;

	if (!ix_parse_u64(whole, INT64_MAX / 2, &seconds))
		return false;
	*ret_seconds = negative ? -(int64_t)seconds -
					  (strpbrk(value, ".") && strspn(strpbrk(value, ".") + 1, "0") != strlen(strpbrk(value, ".") + 1))
				: (int64_t)seconds;
	return true;
}

static bool pax_apply(struct extended *ext, const char *key, char *value, size_t len)
{
	uint64_t n;

	if (strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0) {
		char **to = key[0] == 'p' ? &ext->entry.path : &ext->entry.link;

		if (strlen(value) != len)
			return false;
		free(*to);
		*to = ix_strdup(value);
	} else if (strcmp(key, "size") == 0) {
		ext->has_size = pax_number(value, INT64_MAX, &ext->entry.size);
		return ext->has_size;
	} else if (strcmp(key, "uid") == 0) {
		ext->has_uid = pax_number(value, UINT32_MAX - 1, &n);
		ext->entry.uid = (uint32_t)n;
		return ext->has_uid;
	} else if (strcmp(key, "gid") == 0) {
		ext->has_gid = pax_number(value, UINT32_MAX - 1, &n);
		ext->entry.gid = (uint32_t)n;
		return ext->has_gid;
	} else if (strcmp(key, "mtime") == 0) {
		ext->has_mtime = pax_time(value, &ext->entry.mtime_s);
		return ext->has_mtime;
	} else if (ix_starts(key, "SCHILY.xattr.")) {
		add_xattr(&ext->entry, key + 13, value, len);
	} else if (ix_starts(key, "GNU.sparse.")) {
		return false;
	}
	return true;
}

static int pax_parse(struct extended *ext, char *text, size_t left, struct ix_err *err)
{
	while (left > 0) {
		size_t blank = strcspn(text, " ");
		ix_auto_free char *digits = ix_strndup(text, blank < 20 ? blank : 20);
		char *equals;
		uint64_t len;

		if (!ix_parse_u64(digits, left, &len) || len < blank + 4 || text[len - 1] != '\n')
			return corrupt(err, "pax header");
		text[len - 1] = '\0';
		equals = strchr(text + blank + 1, '=');
		if (!equals)
			return corrupt(err, "pax header");
		*equals = '\0';
		if (!pax_apply(ext, text + blank + 1, equals + 1, (size_t)(text + len - 1 - (equals + 1))))
			return ix_err_set(err, IX_ECORRUPT, "tar: pax record '%.60s' is not supported or malformed", text + blank + 1);
		text += len;
		left -= len;
	}
	return 0;
}

static const uint32_t types[] = { ['0'] = S_IFREG, ['1'] = S_IFREG, ['2'] = S_IFLNK, ['3'] = S_IFCHR,
				  ['4'] = S_IFBLK, ['5'] = S_IFDIR, ['6'] = S_IFIFO, ['7'] = S_IFREG };

/* Fixed-width text fields need not be terminated. */
static char *field_text(const char *field, size_t len)
{
	return ix_strndup(field, strnlen(field, len));
}

static char *header_path(const struct tar_header *header)
{
	ix_auto_free char *name = field_text(header->name, sizeof(header->name));
	ix_auto_free char *prefix = NULL;

	/* GNU tar ("ustar  ") keeps other things where ustar has its prefix. */
	if (memcmp(header->magic, "ustar\0", 6) != 0 || !header->prefix[0])
		return ix_steal(&name);
	prefix = field_text(header->prefix, sizeof(header->prefix));
	return ix_asprintf("%s/%s", prefix, name);
}

/* Absolute and dotted names mean the same as relative ones; ".." cannot climb. */
static char *relative(const char *path)
{
	ix_auto_free char *rooted = ix_asprintf("/%s", path);
	ix_auto_free char *clean = ix_path_clean(rooted);

	return ix_strdup(clean + 1);
}

static int header_numbers(const struct tar_header *header, struct extended *ext, struct ix_tar_entry *entry, struct ix_err *err)
{
	uint64_t mode, uid, gid, size, mtime, major = 0, minor = 0;

	if (!number(header->mode, sizeof(header->mode), &mode) || !number(header->uid, sizeof(header->uid), &uid) ||
	    !number(header->gid, sizeof(header->gid), &gid) || !number(header->size, sizeof(header->size), &size) || size > INT64_MAX)
		return corrupt(err, "header");
	if (!number(header->mtime, sizeof(header->mtime), &mtime) || mtime > INT64_MAX / 2)
		mtime = 0; /* before 1970: GNU's negative base-256 */
	if ((header->type == '3' || header->type == '4') &&
	    (!number(header->major, sizeof(header->major), &major) || !number(header->minor, sizeof(header->minor), &minor)))
		return corrupt(err, "device number");
	if ((!ext->has_uid && uid > UINT32_MAX - 1) || (!ext->has_gid && gid > UINT32_MAX - 1) || major > 4095 || minor > 1048575)
		return corrupt(err, "owner or device number");
	entry->mode = (uint32_t)(mode & 07777);
	entry->uid = ext->has_uid ? ext->entry.uid : (uint32_t)uid;
	entry->gid = ext->has_gid ? ext->entry.gid : (uint32_t)gid;
	entry->size = ext->has_size ? ext->entry.size : size;
	entry->mtime_s = ext->has_mtime ? ext->entry.mtime_s : (int64_t)mtime;
	entry->rdev_major = (uint32_t)major;
	entry->rdev_minor = (uint32_t)minor;
	return 0;
}

static int fill_entry(struct ix_tar_reader *tar, const struct tar_header *header, struct extended *ext, struct ix_err *err)
{
	struct ix_tar_entry *entry = &tar->entry;
	unsigned char type = header->type ? (unsigned char)header->type : '0';
	ix_auto_free char *path = ext->entry.path ? ix_steal(&ext->entry.path) : header_path(header);

	if (type >= IX_ARRAY_LEN(types) || types[type] == 0)
		return ix_err_set(err, IX_ECORRUPT, "tar: %.200s: entries of type '%c' are not supported", path,
				  type > 32 && type < 127 ? type : '?');
	int r = header_numbers(header, ext, entry, err);
	if (r < 0)
		return r;
	/* Old tars mark directories by their name alone. */
	entry->mode |= type == '0' && ix_ends(path, "/") ? S_IFDIR : types[type];
	entry->hardlink = type == '1';
	if (!S_ISREG(entry->mode) || entry->hardlink)
		entry->size = 0;
	if (type == '1' || type == '2') {
		entry->link = ext->entry.link ? ix_steal(&ext->entry.link) : field_text(header->link, sizeof(header->link));
		if (type == '1') {
			char *target = relative(entry->link);

			free(entry->link);
			entry->link = target;
		}
	}
	entry->path = relative(path);
	if (strlen(entry->path) > NAME_BYTES_MAX)
		return ix_err_set(err, IX_ELIMIT, "tar: a name of more than %d bytes: %.100s...", NAME_BYTES_MAX, entry->path);
	entry->xattrs = ix_steal(&ext->entry.xattrs);
	entry->nxattrs = ext->entry.nxattrs;
	ext->entry.nxattrs = 0;
	tar->left = entry->size;
	tar->padding = (unsigned)((TAR_BLOCK - entry->size % TAR_BLOCK) % TAR_BLOCK);
	return 0;
}

/* One header that is not an entry itself. 1: it was one; 0: it is an entry. */
static int take_extended(struct ix_tar_reader *tar, const struct tar_header *header, struct extended *ext, struct ix_buf *buf,
			 struct ix_err *err)
{
	char **name = header->type == 'L' ? &ext->entry.path : &ext->entry.link;
	uint64_t size;

	if (!strchr("xgLK", header->type) || !header->type)
		return 0;
	if (!number(header->size, sizeof(header->size), &size))
		return corrupt(err, "header");
	int r = read_extended(tar, size, &ext->bytes, buf, err);
	if (r < 0)
		return r;
	if (header->type == 'x' && (r = pax_parse(ext, buf->data, buf->len, err)) < 0)
		return r;
	if (header->type == 'L' || header->type == 'K') {
		free(*name);
		*name = ix_strdup(ix_buf_str(buf));
	}
	return 1;
}

/* 1 with a header, 0 at the end of the archive: two zero blocks, or the end of the stream at a block boundary. */
static int read_header(struct ix_tar_reader *tar, struct tar_header *header, struct ix_err *err)
{
	static const struct tar_header zero;
	uint64_t want;
	ssize_t n = ix_read(tar->stream, header, 1, err);

	if (n <= 0)
		return (int)n;
	if (ix_read_exact(tar->stream, (char *)header + 1, sizeof(*header) - 1, err) < 0)
		return ix_err_wrap(err, "tar");
	if (memcmp(header, &zero, sizeof(zero)) == 0)
		return 0;
	if (!number(header->checksum, sizeof(header->checksum), &want) || want != tar_checksum(header))
		return corrupt(err, "header checksum: it is not a tar archive, or damaged");
	return 1;
}

int ix_tar_next(struct ix_tar_reader *tar, const struct ix_tar_entry **ret_entry, struct ix_err *err)
{
	ix_auto_buf buf = { 0 };
	struct extended ext = { 0 };
	struct tar_header header;
	int r;

	r = skip_rest(tar, err);
	if (r < 0)
		return r;
	ix_tar_entry_release(&tar->entry);
	do {
		r = read_header(tar, &header, err);
		if (r > 0)
			r = take_extended(tar, &header, &ext, &buf, err) ?: 2;
	} while (r == 1);
	if (r == 2) {
		int filled = fill_entry(tar, &header, &ext, err);

		r = filled < 0 ? filled : r;
	}
	ix_tar_entry_release(&ext.entry);
	if (r <= 0)
		return r;
	*ret_entry = &tar->entry;
	return 1;
}

void ix_tar_entry_release(struct ix_tar_entry *entry)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		free(entry->xattrs[i].name);
		free(entry->xattrs[i].value);
	}
	free(entry->xattrs);
	free(entry->path);
	free(entry->link);
	*entry = (struct ix_tar_entry){ 0 };
}
