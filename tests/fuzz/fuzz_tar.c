/* Layers: decompressed and read entry by entry. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scope.h"
#include "layer/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_scoped(ix_reader_freep) struct ix_reader *bytes = ix_mem_reader_new(data, size);
	ix_scoped(ix_reader_freep) struct ix_reader *plain = ix_decompress_reader_new(bytes);
	ix_scoped(ix_tar_reader_freep) struct ix_tar_reader *tar = ix_tar_reader_new(plain);
	const struct ix_tar_entry *entry;
	struct ix_err err;
	char chunk[4096];

	for (int n = 0; n < 10000 && ix_tar_next(tar, &entry, &err) > 0; n++) {
		/* No name may climb: what is below relies on it. */
		if (entry->path[0] == '/' || (entry->path[0] == '.' && entry->path[1] == '.' && (!entry->path[2] || entry->path[2] == '/')))
			abort();
		(void)(ix_tar_read(tar, chunk, sizeof(chunk), &err) > 0);
	}
	return 0;
}
