#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "dockerfile/dockerfile.h"
#include "workspace_int.h"

/* SOURCE_DATE_EPOCH. */

enum { REPRODUCIBLE_TIME = 315619200 };

static const char *epoch_text(const struct workspace *ws)
{
	const struct ix_strv *args = &ws->base.request->build_args;
	const char *value = NULL, *env = getenv("SOURCE_DATE_EPOCH");

	for (size_t i = 0; i < args->count; i++)
		if (ix_starts(args->items[i], "SOURCE_DATE_EPOCH="))
			value = args->items[i] + 18;
	/* Keys of stages with a time in them are as many as there are times: a project says whether it wants that. */
	if (!value && env && *env && (!ws->base.project || ws->base.project->reproducible))
		value = env;
	if (!value && !ws->base.project && ws->nfiles > 0)
		value = ix_dockerfile_global(ws->files[ws->nfiles - 1], "SOURCE_DATE_EPOCH");
	return value && *value ? value : NULL;
}

int epoch_find(struct workspace *ws, int64_t *ret_epoch, struct ix_err *err)
{
	const char *text = epoch_text(ws);
	uint64_t seconds;

	/* Without a time of its own, what is reproducible gets one that zip and its relatives can hold: 1980-01-02. */
	*ret_epoch = ws->base.project && ws->base.project->reproducible ? REPRODUCIBLE_TIME : -1;
	if (!text)
		return 0;
	if (strcmp(text, "context") == 0) {
		if (ws->context_time > 0)
			*ret_epoch = ws->context_time; /* a directory of this machine has no time of its own */
		return 0;
	}
	if (!ix_parse_u64(text, INT64_MAX, &seconds))
		return ix_err_set(
			err, IX_EARG,
			"invalid SOURCE_DATE_EPOCH: %s: seconds since 1970 or \"context\" (a stage's time, docker/dockerfile:1.24, is "
			"not supported)",
			text);
	*ret_epoch = (int64_t)seconds;
	return 0;
}
