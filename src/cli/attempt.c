/* What was found and could not be had when it was needed is built: the plan is made again without it, and what was built already is found. */
#include <string.h>

#include "base/alloc.h"
#include "cli_int.h"

/* "stage 'webpack'", or the reference. */
static char *damaged_name(const struct session *session, const char *ref)
{
	for (size_t i = 0; i < session->plan->nstages; i++)
		if (ix_streq(session->plan->stages[i].ref, ref))
			return ix_asprintf("the image of stage '%s'", session->plan->stages[i].stage->name);
	return ix_strdup(ref);
}

bool session_again(struct session *session, const struct ix_err *err)
{
	size_t known = session->ndamaged;
	bool again = false;
	unsigned lost;
	const char *ref, *why;
	bool gone;

	if (err->code == IX_ECANCELED || !session->plan)
		return false;
	lost = ix_cache_lost(session->cache);
	if (lost > session->nlost) {
		session_warn(session, "a layer that was here is gone, making it again: %s", err->msg);
		session->nlost = lost;
		again = true;
	}
	while ((ref = ix_cache_damaged(session->cache, session->ndamaged, &why, &gone)) != NULL) {
		ix_auto_free char *name = damaged_name(session, ref);

		session_warn(session,
			     gone ? "%s in the registry is damaged, building it again: %s"
				  : "%s cannot be had from the registry, building it again: %s",
			     name, why);
		session->ndamaged++;
	}
	return again || session->ndamaged > known;
}
