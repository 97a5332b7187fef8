/* Ignore rules, and a path to match after the last NUL or newline. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "context/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = NULL;
	ix_auto_free char *path = NULL;
	struct ix_err err;
	size_t cut = size;

	while (cut > 0 && data[cut - 1] != '\n')
		cut--;
	path = ix_strndup((const char *)data + cut, size - cut < 200 ? size - cut : 200);
	if (cut < 2000 && ix_ignore_parse("x", (const char *)data, cut, &ignore, &err) == 0)
		(void)ix_ignore_match(ignore, path);
	return 0;
}
