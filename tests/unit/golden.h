/*
 * Golden cases: files of sections, each begun by a line "@NAME". A case whose @EXPECT (or @ERROR) differs fails and shows both;
 * IX_GOLDEN_UPDATE=1 rewrites them instead, to be reviewed as a diff.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <dirent.h>
#include <fcntl.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "unit.h"

/* The text of a section, NULL when it is not there. Caller frees. */
static char *golden_section(const char *text, const char *name)
{
	ix_auto_free char *head = ix_asprintf("@%s\n", name);
	const char *at = ix_starts(text, head) ? text : NULL, *end;
	ix_auto_free char *inner = ix_asprintf("\n%s", head);

	if (!at) {
		at = strstr(text, inner);
		if (!at)
			return NULL;
		at++;
	}
	at += strlen(head);
	for (end = at; *end; end += strcspn(end, "\n"), end += *end == '\n')
		if (*end == '@' && end[1] >= 'A' && end[1] <= 'Z')
			break;
	return ix_strndup(at, (size_t)(end - at));
}

/* Run one case: fill got with what came out, and say whether it was an error. */
typedef bool golden_fn(const char *text, struct ix_buf *got);

static void golden_case(const char *path, golden_fn *run)
{
	ix_auto_buf file = { 0 }, got = { 0 };
	ix_auto_free char *expect = NULL;
	struct ix_err err;
	const char *name;

	assert_ok(ix_read_file(AT_FDCWD, path, &file, &err), &err);
	name = run(ix_buf_str(&file), &got) ? "ERROR" : "EXPECT";
	if (got.len > 0 && got.data[got.len - 1] != '\n')
		ix_buf_putc(&got, '\n');
	expect = golden_section(ix_buf_str(&file), name);
	if (expect && strcmp(expect, ix_buf_str(&got)) == 0)
		return;
	if (getenv("IX_GOLDEN_UPDATE")) {
		char *cut = strstr(file.data, "\n@EXPECT\n") ? strstr(file.data, "\n@EXPECT\n") : strstr(file.data, "\n@ERROR\n");
		ix_auto_buf out = { 0 };

		ix_buf_put(&out, file.data, cut ? (size_t)(cut + 1 - file.data) : file.len);
		ix_buf_printf(&out, "@%s\n%s", name, ix_buf_str(&got));
		assert_ok(ix_publish_file(AT_FDCWD, path, out.data, out.len, 0644, &err), &err);
		return;
	}
	fail_msg("%s: @%s is\n%s\nexpected\n%s", path, name, ix_buf_str(&got), expect ? expect : "(the other outcome)");
}

/* Every *.case of a folder of tests/golden, at least least of them. */
static void golden_run(const char *folder, golden_fn *run, size_t least)
{
	const char *data = getenv("IX_TESTDATA");
	ix_auto_free char *dir = ix_asprintf("%s/golden/%s", data ? data : "tests", folder);
	ix_auto_closedir DIR *stream = opendir(dir);
	ix_auto_strv names = { 0 };
	struct dirent *entry;

	assert_non_null(stream);
	while ((entry = readdir(stream)) != NULL)
		if (ix_ends(entry->d_name, ".case"))
			ix_strv_add(&names, entry->d_name);
	ix_strv_sort(&names);
	if (names.count < least)
		fail_msg("%s holds %zu cases, there were %zu", dir, names.count, least);
	for (size_t i = 0; i < names.count; i++) {
		ix_auto_free char *path = ix_asprintf("%s/%s", dir, names.items[i]);

		golden_case(path, run);
	}
}

#endif
