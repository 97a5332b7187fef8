#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* FNV-1a with a final mix; tables hold names of a project, not hostile bulk, and are bounded by their inputs' limits. */
static uint64_t hash_of(const char *key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 0x100000001b3u;
	h ^= h >> 32;
	return h;
}

static size_t slot_of(const struct ix_map *map, const char *key, uint64_t hash)
{
	size_t at = hash & (map->nslots - 1);

	while (map->slots[at]) {
		const struct ix_map_entry *entry = &map->entries[map->slots[at] - 1];

		if (entry->hash == hash && strcmp(entry->key, key) == 0)
			break;
		at = (at + 1) & (map->nslots - 1);
	}
	return at;
}

void *ix_map_get(const struct ix_map *map, const char *key)
{
	size_t at;

	if (map->count == 0)
		return NULL;
	at = slot_of(map, key, hash_of(key));
	return map->slots[at] ? map->entries[map->slots[at] - 1].value : NULL;
}

static void rehash(struct ix_map *map, size_t nslots)
{
	free(map->slots);
	map->slots = ix_calloc(nslots, sizeof(*map->slots));
	map->nslots = nslots;
	for (size_t i = 0; i < map->count; i++) {
		size_t at = slot_of(map, map->entries[i].key, map->entries[i].hash);

		map->slots[at] = (uint32_t)(i + 1);
	}
}

void ix_map_set(struct ix_map *map, const char *key, void *value)
{
	uint64_t hash = hash_of(key);
	size_t at;

	if (map->nslots < 2 * (map->count + 1))
		rehash(map, map->nslots ? map->nslots * 2 : 16);
	at = slot_of(map, key, hash);
	if (map->slots[at]) {
		map->entries[map->slots[at] - 1].value = value;
		return;
	}
	IX_GROW(&map->entries, map->count, &map->cap);
	map->entries[map->count++] = (struct ix_map_entry){ .key = ix_strdup(key), .value = value, .hash = hash };
	map->slots[at] = (uint32_t)map->count;
}

void ix_map_release(struct ix_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free(map->entries[i].key);
	free(map->entries);
	free(map->slots);
	*map = (struct ix_map){ 0 };
}
