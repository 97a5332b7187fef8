/* What of a base image's config its Dockerfiles need: its environment and ONBUILD triggers. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "cache/cache.h"
#include "oci/image.h"
#include "state/state.h"
#include "workspace_int.h"

static char *facts_name(const struct ix_source *image)
{
	return ix_asprintf("%s@%s %s", image->text, image->layout_ref ? image->layout_ref : "", image->platform);
}

/* A single image is taken as it is; one for another machine is worth a word. */
static void check_platform(struct workspace *ws, const struct ix_source *source, const struct ix_image_config *config)
{
	ix_auto_free char *got = ix_platform_text(&config->platform);
	struct ix_platform want;
	struct ix_err ignored;

	if (config->platform.arch[0] && ix_platform_parse(source->platform, &want, &ignored) == 0 &&
	    (strcmp(want.os, config->platform.os) != 0 || strcmp(want.arch, config->platform.arch) != 0))
		workspace_warn(ws,
			       "InvalidBaseImagePlatform: Base image %s was pulled with platform \"%s\", expected \"%s\" for current build",
			       source->text, got, source->platform);
}

static int fetch_facts(struct workspace *ws, const struct ix_source *source, const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_free char *name = facts_name(source);
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	struct ix_image_facts *facts;

	if (ix_map_get(&ws->facts, name))
		return 0;
	int r = ix_cache_image(ws->base.cache, source->kind == IX_SOURCE_IMAGE ? source->text : NULL, digest, &manifest, &config, err);
	if (r < 0)
		return r;
	check_platform(ws, source, &config);
	facts = ix_calloc(1, sizeof(*facts));
	ix_strv_copy(&facts->env, &config.env);
	ix_strv_copy(&facts->onbuild, &config.onbuild);
	facts->workdir = config.working_dir && *config.working_dir && strcmp(config.working_dir, "/") != 0;
	ix_map_set(&ws->facts, name, facts);
	return 0;
}

const struct ix_image_facts *facts_of(void *data, const struct ix_source *image, bool need, struct ix_err *err)
{
	struct workspace *ws = data;
	ix_auto_free char *name = facts_name(image);
	struct ix_digest digest;

	if (!ix_map_get(&ws->facts, name) && need &&
	    (resolve_image(ws, image, &digest, err) < 0 || fetch_facts(ws, image, &digest, err) < 0))
		return NULL;
	return ix_map_get(&ws->facts, name);
}

/* What is to be built on an external image needs that image's config: it may hold ONBUILD triggers, which are steps of their own.
 * *ret_changed: one of them has some that the graph does not know of, or may say that a word is wrong. */
int facts_learn(struct workspace *ws, bool *ret_changed, struct ix_err *err)
{
	*ret_changed = false;
	for (size_t i = 0; i < ws->base.graph->nstages; i++) {
		const struct ix_stage *stage = ws->base.graph->stages[i];
		const struct ix_source *base = &stage->base;
		ix_auto_free char *name = NULL;
		const struct ix_image_facts *facts;

		if (ws->base.plan->stages[i].decision != IX_PLAN_BUILD || (base->kind != IX_SOURCE_IMAGE && base->kind != IX_SOURCE_LAYOUT))
			continue;
		name = facts_name(base);
		if (ix_map_get(&ws->facts, name))
			continue;
		if (fetch_facts(ws, base, ix_state_image(ws->base.state, base), err) < 0)
			return ix_err_wrap(err, "stage '%s'", stage->name);
		facts = ix_map_get(&ws->facts, name);
		if ((facts && facts->onbuild.count > 0) || ws->base.graph->awaits_bases)
			*ret_changed = true;
	}
	return 0;
}

static void facts_free(struct ix_image_facts *facts)
{
	ix_strv_release(&facts->env);
	ix_strv_release(&facts->onbuild);
	free(facts);
}

void facts_release(struct workspace *ws)
{
	for (size_t i = 0; i < ws->facts.count; i++)
		facts_free(ws->facts.entries[i].value);
	ix_map_release(&ws->facts);
}
