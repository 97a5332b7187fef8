#include "statcache_int.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "io/digest.h"

/* On disk: header, then records sorted by (dev, ino). Native byte order: the file never leaves the machine. */
struct header {
	char magic[8];
	uint64_t count;
	uint8_t digest[32]; /* of the records */
};

struct record {
	uint64_t dev, ino, size;
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
	uint8_t digest[32];
};
_Static_assert(sizeof(struct header) == 48, "header is an on-disk format");
_Static_assert(sizeof(struct record) == 80, "record is an on-disk format");

static const char magic[8] = { 'i', 'x', 's', 't', 'a', 't', '0', '1' };
enum { RECORDS_MAX = 2000000, SETTLED_S = 2 };

struct ix_stat_cache {
	char *path;
	void *map;
	size_t map_len;
	const struct record *old;
	size_t nold;
	pthread_mutex_t lock;
	struct record *fresh; /* open-addressing table by (dev, ino) */
	size_t nfresh, nslots;
};

static void map_file(struct ix_stat_cache *cache)
{
	ix_auto_close int fd = open(cache->path, O_RDONLY | O_CLOEXEC);
	const struct header *header;
	struct stat st;
	struct ix_digest digest;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*header))
		return;
	cache->map_len = (size_t)st.st_size;
	cache->map = mmap(NULL, cache->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (cache->map == MAP_FAILED) {
		cache->map = NULL;
		return;
	}
	header = cache->map;
	if (memcmp(header->magic, magic, sizeof(magic)) != 0 || header->count > RECORDS_MAX ||
	    cache->map_len != sizeof(*header) + header->count * sizeof(struct record))
		return;
	ix_digest_of(header + 1, header->count * sizeof(struct record), &digest);
	if (memcmp(digest.bytes, header->digest, sizeof(header->digest)) != 0)
		return;
	cache->old = (const struct record *)(header + 1);
	cache->nold = header->count;
}

struct ix_stat_cache *ix_stat_cache_open(const char *path)
{
	struct ix_stat_cache *cache = ix_calloc(1, sizeof(*cache));

	cache->path = ix_strdup(path);
	pthread_mutex_init(&cache->lock, NULL);
	map_file(cache);
	return cache;
}

static int compare(const struct record *a, const struct record *b)
{
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

static struct record record_of(const struct stat *st)
{
	return (struct record){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_s = st->st_ctim.tv_sec,
		.ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
	};
}

static bool same_file(const struct record *a, const struct record *b)
{
	return memcmp(a, b, offsetof(struct record, digest)) == 0;
}

static const struct record *find_old(const struct ix_stat_cache *cache, const struct record *key)
{
	size_t low = 0, high = cache->nold;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = compare(&cache->old[mid], key);

		if (c == 0)
			return &cache->old[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* The slot of a key in the fresh table: its own or the empty one where it belongs. ino 0 marks an empty slot. */
static struct record *fresh_slot(const struct ix_stat_cache *cache, const struct record *key)
{
	uint64_t h = (key->ino ^ key->dev << 40) * 0x9e3779b97f4a7c15u;
	size_t at = (size_t)(h >> 20) & (cache->nslots - 1);

	while (cache->fresh[at].ino != 0 && compare(&cache->fresh[at], key) != 0)
		at = (at + 1) & (cache->nslots - 1);
	return &cache->fresh[at];
}

bool statcache_get(struct ix_stat_cache *cache, const struct stat *st, struct ix_digest *ret_digest)
{
	struct record key = record_of(st);
	const struct record *hit;
	bool found;

	if (!cache)
		return false;
	hit = find_old(cache, &key);
	if (hit && same_file(hit, &key)) {
		memcpy(ret_digest->bytes, hit->digest, sizeof(hit->digest));
		return true;
	}
	pthread_mutex_lock(&cache->lock);
	hit = cache->nslots ? fresh_slot(cache, &key) : NULL;
	found = hit && hit->ino != 0 && same_file(hit, &key);
	if (found)
		memcpy(ret_digest->bytes, hit->digest, sizeof(hit->digest));
	pthread_mutex_unlock(&cache->lock);
	return found;
}

static void fresh_grow(struct ix_stat_cache *cache)
{
	struct record *old = cache->fresh;
	size_t n = cache->nslots;

	cache->nslots = n ? n * 2 : 1024;
	cache->fresh = ix_calloc(cache->nslots, sizeof(*cache->fresh));
	for (size_t i = 0; i < n; i++)
		if (old[i].ino != 0)
			*fresh_slot(cache, &old[i]) = old[i];
	free(old);
}

void statcache_put(struct ix_stat_cache *cache, const struct stat *st, int64_t now_s, const struct ix_digest *digest)
{
	struct record record = record_of(st);
	struct record *slot;

	if (!cache || record.ino == 0 || record.mtime_s > now_s - SETTLED_S || record.ctime_s > now_s - SETTLED_S)
		return;
	memcpy(record.digest, digest->bytes, sizeof(record.digest));
	pthread_mutex_lock(&cache->lock);
	if (cache->nfresh * 2 >= cache->nslots)
		fresh_grow(cache);
	slot = fresh_slot(cache, &record);
	if (slot->ino == 0)
		cache->nfresh++;
	*slot = record;
	pthread_mutex_unlock(&cache->lock);
}

static int compare_records(const void *a, const void *b)
{
	return compare(a, b);
}

/* Fresh records win over old ones of the same inode. */
static void write_merged(struct ix_stat_cache *cache)
{
	size_t total = cache->nold + cache->nfresh > RECORDS_MAX ? cache->nfresh : cache->nold + cache->nfresh;
	ix_auto_free char *bytes = ix_malloc(sizeof(struct header) + total * sizeof(struct record));
	struct header *header = (struct header *)(void *)bytes;
	struct record *out = (struct record *)(header + 1);
	size_t n = 0, count;
	struct ix_err ignored;

	for (size_t i = 0; i < cache->nslots; i++)
		if (cache->fresh[i].ino != 0)
			out[n++] = cache->fresh[i];
	for (size_t i = 0; total > cache->nfresh && i < cache->nold; i++)
		if (fresh_slot(cache, &cache->old[i])->ino == 0)
			out[n++] = cache->old[i];
	count = n;
	qsort(out, count, sizeof(*out), compare_records);
	memcpy(header->magic, magic, sizeof(magic));
	header->count = count;
	ix_digest_of(out, count * sizeof(*out), (struct ix_digest *)(void *)header->digest);
	if (ix_publish_file(AT_FDCWD, cache->path, bytes, sizeof(*header) + count * sizeof(*out), 0600, &ignored) < 0)
		return;
}

void ix_stat_cache_close(struct ix_stat_cache *cache)
{
	if (!cache)
		return;
	if (cache->nfresh > 0)
		write_merged(cache);
	if (cache->map)
		munmap(cache->map, cache->map_len);
	pthread_mutex_destroy(&cache->lock);
	free(cache->fresh);
	free(cache->path);
	free(cache);
}
