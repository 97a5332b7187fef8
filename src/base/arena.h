/* Memory for trees that die together: syntax trees, graphs, configuration. Nothing is freed one by one. */
#ifndef IX_BASE_ARENA_H
#define IX_BASE_ARENA_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/scope.h"

struct ix_arena;

/* Freeing it frees all that came from it. */
struct ix_arena *ix_arena_new(void);
void ix_arena_free(struct ix_arena *arena);
IX_DEFINE_FREEP(struct ix_arena, ix_arena_free)

void *ix_arena_alloc(struct ix_arena *arena, size_t size);       /* zeroed, aligned for any type */
char *ix_arena_strdup(struct ix_arena *arena, const char *text); /* NULL gives NULL */
char *ix_arena_strndup(struct ix_arena *arena, const char *text, size_t len);
char *ix_arena_printf(struct ix_arena *arena, const char *fmt, ...) ix_printf(2, 3);
/* Room for one more element of an array that lives in the arena (old copies are left behind): the new array. */
void *ix_arena_grow(struct ix_arena *arena, void *array, size_t count, size_t size);
#define IX_ARENA_PUSH(arena, array, count) ((array) = ix_arena_grow((arena), (array), (count), sizeof(*(array))), &(array)[(count)++])

#endif
