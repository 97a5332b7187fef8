/* Memory. Out of memory aborts: ix is a command. Sizes that come from outside are checked against a limit before they get here. */
#ifndef IX_BASE_ALLOC_H
#define IX_BASE_ALLOC_H

#include <stddef.h>

#include "base/compiler.h"

/* Never NULL; size or count 0 gives what can be freed. ix_calloc zeroes, ix_realloc_array does not zero what is new; both know overflow. */
void *ix_malloc(size_t size);
void *ix_calloc(size_t count, size_t size);
void *ix_realloc_array(void *old, size_t count, size_t size);
char *ix_strdup(const char *text); /* NULL gives NULL */
char *ix_strndup(const char *text, size_t len);
char *ix_asprintf(const char *fmt, ...) ix_printf(1, 2);

/* Make room for one more element of a growing array: IX_GROW(&v.items, v.count, &v.cap). */
#define IX_GROW(array, count, cap)                                                                                                         \
	do {                                                                                                                               \
		if ((count) == *(cap)) {                                                                                                   \
			*(cap) = *(cap) ? *(cap)*2 : 8;                                                                                    \
			*(array) = (__typeof__(*(array)))ix_realloc_array(*(array), *(cap), sizeof(**(array)));                            \
		}                                                                                                                          \
	} while (0)

#endif
