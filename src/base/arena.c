#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

enum { BLOCK = 16384, ALIGN = 16 };

struct block {
	struct block *next;
	size_t used;
	size_t size;
	_Alignas(ALIGN) unsigned char bytes[];
};

struct ix_arena {
	struct block *blocks;
};

struct ix_arena *ix_arena_new(void)
{
	return ix_calloc(1, sizeof(struct ix_arena));
}

void ix_arena_free(struct ix_arena *arena)
{
	if (!arena)
		return;
	while (arena->blocks) {
		struct block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	free(arena);
}

void *ix_arena_alloc(struct ix_arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	void *memory;

	if (size > SIZE_MAX / 2)
		ix_bug("arena size overflows");
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!block || block->size - block->used < size) {
		size_t room = size > BLOCK ? size : BLOCK;

		block = ix_malloc(sizeof(*block) + room);
		block->next = arena->blocks;
		block->used = 0;
		block->size = room;
		arena->blocks = block;
	}
	memory = block->bytes + block->used;
	block->used += size;
	return memset(memory, 0, size);
}

char *ix_arena_strndup(struct ix_arena *arena, const char *text, size_t len)
{
	char *copy = ix_arena_alloc(arena, len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *ix_arena_strdup(struct ix_arena *arena, const char *text)
{
	return text ? ix_arena_strndup(arena, text, strlen(text)) : NULL;
}

char *ix_arena_printf(struct ix_arena *arena, const char *fmt, ...)
{
	ix_auto_buf buf = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&buf, fmt, args);
	va_end(args);
	return ix_arena_strndup(arena, ix_buf_str(&buf), buf.len);
}

/* Capacities are powers of two from 4, so the count alone tells when the array is full. */
void *ix_arena_grow(struct ix_arena *arena, void *array, size_t count, size_t size)
{
	void *grown;

	if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
		return array;
	grown = ix_arena_alloc(arena, (count ? count * 2 : 4) * size);
	if (count > 0)
		memcpy(grown, array, count * size);
	return grown;
}
