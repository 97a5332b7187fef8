/* ix.lock at work: what is pinned is taken as it says, and what is not pinned can be refused. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "project/project.h"
#include "workspace_int.h"

char *ix_workspace_lock_path(const struct ix_workspace *workspace)
{
	return ix_path_join(workspace->project->dir, "ix.lock");
}

int pins_load(struct workspace *ws, struct ix_err *err)
{
	ix_auto_free char *path = NULL;
	int r;

	if (!ws->base.project)
		return 0;
	path = ix_workspace_lock_path(&ws->base);
	r = ix_lock_load(path, &ws->base.lock, err);
	if (r == -IX_ENOTFOUND && ws->base.request->locked)
		return ix_err_set(err, IX_EARG, "--locked: there is no %s: write it with ix lock", path);
	return r == -IX_ENOTFOUND ? 0 : r;
}

static int not_pinned(const struct workspace *ws, const char *what, const char *name, struct ix_err *err)
{
	if (!ws->base.request->locked)
		return 0;
	return ix_err_set(err, IX_EARG, "--locked: %s %s is not in ix.lock: run ix lock", what, name);
}

int pins_image(const struct workspace *ws, const struct ix_source *source, bool *ret_pinned, struct ix_digest *ret_digest,
	       struct ix_err *err)
{
	const char *pin = ws->base.lock ? ix_lock_get(ws->base.lock, IX_LOCK_IMAGE, source->text, source->platform) : NULL;

	*ret_pinned = pin != NULL;
	if (pin)
		return ix_digest_parse(pin, ret_digest, err);
	/* A digest in the reference is a pin of its own. */
	return strchr(source->text, '@') ? 0 : not_pinned(ws, "image", source->text, err);
}

static int pin_remote(struct workspace *ws, struct ix_remote *remote, struct ix_err *err)
{
	ix_auto_free char *git = remote->kind == IX_REMOTE_GIT ? ix_remote_git_text(remote) : NULL;
	const char *pin;

	if (remote->kind == IX_REMOTE_NONE || (remote->kind == IX_REMOTE_HTTP && remote->checksum))
		return 0;
	pin = ws->base.lock ? ix_lock_get(ws->base.lock, git ? IX_LOCK_GIT : IX_LOCK_HTTP, git ? git : remote->url, NULL) : NULL;
	if (!pin)
		return not_pinned(ws, git ? "repository" : "file", git ? git : remote->url, err);
	if (git && remote->checksum && !ix_starts(pin, remote->checksum))
		return ix_err_set(err, IX_EARG, "%s: --checksum=%s, but ix.lock says %s: run ix lock --update '%s'", git, remote->checksum,
				  pin, git);
	if (git)
		remote->ref = pin;
	else
		remote->checksum = pin;
	return 0;
}

int pins_apply(struct workspace *ws, struct ix_err *err)
{
	for (size_t i = 0; i < ws->base.graph->nstages; i++) {
		const struct ix_stage *stage = ws->base.graph->stages[i];

		for (size_t j = 0; j < stage->nsteps; j++)
			for (size_t k = 0; stage->steps[j].remotes && k < stage->steps[j].nwords; k++)
				if (pin_remote(ws, &stage->steps[j].remotes[k], err) < 0)
					return ix_err_wrap(err, "%s:%u:%u", stage->steps[j].pos.file ? stage->steps[j].pos.file : "",
							   stage->steps[j].pos.line, stage->steps[j].pos.column);
	}
	return 0;
}
