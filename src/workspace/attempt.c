/* What was found and could not be had when it was needed is built: the plan is made again without it, and what was built already is found. */
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cache/cache.h"
#include "workspace_int.h"

/* "stage 'webpack'", or the reference. */
static char *damaged_name(const struct workspace *ws, const char *ref)
{
	for (size_t i = 0; i < ws->base.plan->nstages; i++)
		if (ix_streq(ws->base.plan->stages[i].ref, ref))
			return ix_asprintf("the image of stage '%s'", ws->base.plan->stages[i].stage->name);
	return ix_strdup(ref);
}

bool ix_workspace_again(struct ix_workspace *workspace, const struct ix_err *err)
{
	struct workspace *ws = workspace_of(workspace);
	size_t known = ws->ndamaged;
	bool again = false;
	unsigned lost;
	const char *ref, *why;
	bool gone;

	if (err->code == IX_ECANCELED || !ws->base.plan)
		return false;
	lost = ix_cache_lost(ws->base.cache);
	if (lost > ws->nlost) {
		workspace_warn(ws, "a layer that was here is gone, making it again: %s", err->msg);
		ws->nlost = lost;
		again = true;
	}
	while ((ref = ix_cache_damaged(ws->base.cache, ws->ndamaged, &why, &gone)) != NULL) {
		ix_auto_free char *name = damaged_name(ws, ref);

		workspace_warn(ws,
			       gone ? "%s in the registry is damaged, building it again: %s"
				    : "%s cannot be had from the registry, building it again: %s",
			       name, why);
		ws->ndamaged++;
	}
	return again || ws->ndamaged > known;
}
