/*
 * What a graph's sources from outside are, found out in one pass before any key is computed: images of registries by digest, repositories by commit, files
 * by checksum, all asked for at the same time. Hashing asks nobody. What cannot be found out is told by the step that needs it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/map.h"
#include "cache/cache.h"
#include "oci/image.h"
#include "remote/remote.h"
#include "sched/sched.h"
#include "workspace_int.h"

enum { AT_ONCE = 16 };

struct resolved {
	struct workspace *ws;
	const struct ix_source *image; /* or */
	const struct ix_remote *remote;
	struct ix_digest digest;
	char *identity;
	int result;
	struct ix_err err;
};

/* The same text may mean another file or commit with a checksum. Caller frees. */
static char *image_name(const struct ix_source *source)
{
	return ix_asprintf("image %s@%s %s", source->text, source->layout_ref ? source->layout_ref : "", source->platform);
}

static char *remote_name(const struct ix_remote *remote)
{
	return ix_asprintf("remote %d %s#%s %s", (int)remote->kind, remote->url, remote->ref ? remote->ref : "",
			   remote->checksum ? remote->checksum : "");
}

int resolve_image(struct workspace *ws, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct ix_platform platform;
	bool pinned;
	int r = ix_platform_parse(source->platform, &platform, err);

	if (r < 0)
		return r;
	if (source->kind == IX_SOURCE_LAYOUT)
		return ix_cache_resolve_layout(ws->base.cache, source->text, source->layout_ref, &platform, ret_digest, err);
	r = pins_image(ws, source, &pinned, ret_digest, err);
	return r < 0 || pinned ? r : ix_cache_resolve(ws->base.cache, source->text, &platform, ret_digest, err);
}

/* --- asking for all --- */

struct asking {
	struct workspace *ws;
	struct resolved **items;
	size_t count, cap;
};

static void ask(struct asking *self, char *name_take, const struct ix_source *image, const struct ix_remote *remote)
{
	ix_auto_free char *name = name_take;
	struct resolved *resolved;

	if (ix_map_get(&self->ws->resolved, name))
		return;
	resolved = ix_calloc(1, sizeof(*resolved));
	*resolved = (struct resolved){ .ws = self->ws, .image = image, .remote = remote };
	ix_map_set(&self->ws->resolved, name, resolved);
	IX_GROW(&self->items, self->count, &self->cap);
	self->items[self->count++] = resolved;
}

static void ask_image(struct asking *self, const struct ix_source *source)
{
	if (source->kind == IX_SOURCE_IMAGE || source->kind == IX_SOURCE_LAYOUT)
		ask(self, image_name(source), source, NULL);
}

static void ask_step(struct asking *self, const struct ix_step *step)
{
	ask_image(self, &step->from);
	for (size_t i = 0; i < step->nmounts; i++)
		ask_image(self, &step->mounts[i].from);
	for (size_t i = 0; step->remotes && i < step->nwords; i++)
		if (step->remotes[i].kind != IX_REMOTE_NONE)
			ask(self, remote_name(&step->remotes[i]), NULL, &step->remotes[i]);
}

static int answer(void *data, struct ix_err *err)
{
	struct resolved *self = data;

	(void)err;
	if (self->image)
		self->result = resolve_image(self->ws, self->image, &self->digest, &self->err);
	else
		self->result = ix_remote_identity(self->ws->base.remotes, self->remote, &self->identity, &self->err);
	return 0; /* told by who needs it */
}

int resolve_all(struct workspace *ws, const bool *needed, struct ix_err *err)
{
	ix_scoped(ix_cancel_freep) struct ix_cancel *cancel = ix_cancel_new_below(ws->cancel);
	struct asking self = { .ws = ws };
	struct ix_sched *sched;
	int r = 0;

	for (size_t i = 0; i < ws->base.graph->nstages; i++) {
		const struct ix_stage *stage = ws->base.graph->stages[i];

		if (!needed[i])
			continue;
		ask_image(&self, &stage->base);
		for (size_t j = 0; j < stage->nsteps; j++)
			ask_step(&self, &stage->steps[j]);
	}
	if (self.count == 1) {
		(void)answer(self.items[0], err);
	} else if (self.count > 1) {
		sched = ix_sched_new(self.count < AT_ONCE ? (unsigned)self.count : AT_ONCE, cancel);
		for (size_t i = 0; i < self.count; i++)
			(void)ix_sched_add(sched, 1, answer, self.items[i]);
		r = ix_sched_run(sched, err);
		ix_sched_free(sched);
	}
	free(self.items);
	return r;
}

/* --- answers --- */

int resolved_image(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct workspace *ws = data;
	ix_auto_free char *name = image_name(source);
	const struct resolved *resolved = ix_map_get(&ws->resolved, name);

	if (!resolved)
		ix_bug("%s was not asked for", name);
	*ret_digest = resolved->digest;
	return resolved->result < 0 ? ix_err_copy(err, &resolved->err) : 0;
}

int resolved_remote(void *data, const struct ix_remote *remote, char **ret_identity, struct ix_err *err)
{
	struct workspace *ws = data;
	ix_auto_free char *name = remote_name(remote);
	const struct resolved *resolved = ix_map_get(&ws->resolved, name);

	if (!resolved)
		ix_bug("%s was not asked for", name);
	if (resolved->result < 0)
		return ix_err_copy(err, &resolved->err);
	*ret_identity = ix_strdup(resolved->identity);
	return 0;
}

void resolve_release(struct workspace *ws)
{
	for (size_t i = 0; i < ws->resolved.count; i++) {
		struct resolved *resolved = ws->resolved.entries[i].value;

		free(resolved->identity);
		free(resolved);
	}
	ix_map_release(&ws->resolved);
}
