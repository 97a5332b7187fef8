/* The ustar header (POSIX.1-1988) and what GNU and pax made of it. */
#ifndef IX_LAYER_TAR_INT_H
#define IX_LAYER_TAR_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "layer/layer.h"

enum { TAR_BLOCK = 512 };

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "tar header is a wire format");

static inline unsigned tar_checksum(const struct tar_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned sum = 0;

	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : bytes[i];
	return sum;
}

/* Does a layer carry this extended attribute? */
bool tar_carries_xattr(const char *name);
/* The time that a layer says for one of a file. */
int64_t tar_time(const struct ix_layer_writer *layer, int64_t seconds);

#endif
