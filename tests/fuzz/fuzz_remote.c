/* URLs of files and repositories: what is accepted can be handed to git and to a file system. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "graph/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool climbs(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/'), at = at ? at + 1 : NULL)
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || !at[2]))
			return true;
	return false;
}

static void check(const struct ix_remote *remote)
{
	if (remote->kind == IX_REMOTE_HTTP && (!*remote->name || strchr(remote->name, '/') || strcmp(remote->name, "..") == 0))
		abort();
	if (remote->kind != IX_REMOTE_GIT)
		return;
	if (remote->url[0] == '-' || (remote->ref && remote->ref[0] == '-') || remote->subdir[0] == '/' || climbs(remote->subdir))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_scoped(ix_arena_freep) struct ix_arena *arena = ix_arena_new();
	ix_auto_free char *text = ix_strndup((const char *)data, size);
	struct ix_remote remote;
	struct ix_err err;

	if (ix_remote_parse(arena, text, &remote, &err) == 0)
		check(&remote);
	return 0;
}
