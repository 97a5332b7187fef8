/* The tables of tests/vectors: INPUT, a tab, and what docker makes of it, "!" for a refusal; bytes may be written %XX. */
#ifndef IX_TESTS_VECTORS_H
#define IX_TESTS_VECTORS_H

#include "unit.h"

#include <fcntl.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fsutil.h"
#include "base/str.h"

static inline char *vector_decode(const char *text, size_t len)
{
	ix_auto_buf out = { 0 };

	for (size_t i = 0; i < len; i++) {
		unsigned byte = (unsigned char)text[i];

		if (byte == '%' && sscanf(text + i + 1, "%2X", &byte) == 1)
			i += 2;
		ix_buf_putc(&out, (char)byte);
	}
	return ix_buf_steal(&out);
}

/* visit(data, input, want) for each line: input decoded, want as it is in the table. head(data, line) for lines that begin with "# ". */
static inline void vectors_read(const char *name, void (*head)(void *, const char *), void (*visit)(void *, const char *, const char *),
				void *data)
{
	ix_auto_free char *path = ix_asprintf("%s/vectors/%s.txt", getenv("IX_TESTDATA"), name);
	ix_auto_buf text = IX_BUF_INIT(IX_TEXT_MAX);
	struct ix_err err;
	unsigned lines = 0;
	char *line, *rest;

	assert_ok(ix_read_file(AT_FDCWD, path, &text, &err), &err);
	rest = text.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *tab = strchr(line, '\t');
		ix_auto_free char *input = tab ? vector_decode(line, (size_t)(tab - line)) : NULL;

		if (tab) {
			visit(data, input, tab + 1);
			lines++;
		} else if (line[0] == '#') {
			head(data, line + 2);
		}
	}
	if (lines < 400)
		fail_msg("%s holds %u lines", path, lines);
}

#endif
