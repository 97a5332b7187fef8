/* Runs a fuzz target over the files of its corpus: each find stays an ordinary test. One cmocka-like line for the runner to count. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fsutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	ix_auto_closedir DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	unsigned n = 0;

	if (!dir) {
		fprintf(stderr, "usage: replay CORPUS\n");
		return 2;
	}
	while ((entry = readdir(dir)) != NULL) {
		ix_auto_buf bytes = { 0 };
		struct ix_err err;

		if (entry->d_name[0] == '.')
			continue;
		if (ix_read_file(dirfd(dir), entry->d_name, &bytes, &err) < 0) {
			fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)ix_buf_str(&bytes), bytes.len);
		n++;
	}
	printf("[       OK ] corpus %s, %u inputs\n", argv[1], n);
	return n == 0;
}
