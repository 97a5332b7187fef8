/* A string-keyed hash table of borrowed values. Keys are copied. Insertion order is kept and is the order of iteration. */
#ifndef IX_BASE_MAP_H
#define IX_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/scope.h"

struct ix_map_entry {
	char *key;
	void *value;
	uint64_t hash;
};

struct ix_map {
	struct ix_map_entry *entries;
	size_t count;
	size_t cap;
	uint32_t *slots; /* 0: empty, otherwise index into entries + 1 */
	size_t nslots;
};

void *ix_map_get(const struct ix_map *map, const char *key);       /* NULL when absent */
void ix_map_set(struct ix_map *map, const char *key, void *value); /* adds or replaces; value is not NULL */
void ix_map_release(struct ix_map *map);                           /* the values are the caller's */
#define ix_auto_map ix_scoped(ix_map_release) struct ix_map

#endif
