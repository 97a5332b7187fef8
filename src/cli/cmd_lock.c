#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fsutil.h"
#include "cache/cache.h"
#include "cli_int.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "oci/image.h"
#include "project/project.h"
#include "remote/remote.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] =
	"Write ix.lock beside the project file: what each base image, repository and file is that the project's stages are\n"
	"built from. What is in it stays as it is; what is new is resolved, what nobody uses is dropped. With --update\n"
	"everything is resolved again, or only the images and URLs named.";

struct locking {
	struct session *session;
	struct ix_lock *lock; /* as it will be */
	const struct ix_strv *names;
	bool update;
};

/* A name stands for itself, or for all tags of an image. */
static bool is_named(const struct ix_strv *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t len = strlen(names->items[i]);

		if (strncmp(name, names->items[i], len) == 0 && (!name[len] || strchr(":#", name[len])))
			return true;
	}
	return false;
}

/* What it was pinned to and stays; NULL: it has to be resolved. */
static const char *kept(const struct locking *self, enum ix_lock_kind kind, const char *name, const char *platform)
{
	if (self->update && (self->names->count == 0 || is_named(self->names, name)))
		return NULL;
	return self->session->ws->lock ? ix_lock_get(self->session->ws->lock, kind, name, platform) : NULL;
}

static int lock_image(struct locking *self, const struct ix_source *source, struct ix_err *err)
{
	const char *pin;
	struct ix_platform platform;
	struct ix_digest digest;
	char hex[IX_DIGEST_TEXT];
	int r;

	if (source->kind != IX_SOURCE_IMAGE || strchr(source->text, '@') ||
	    ix_lock_get(self->lock, IX_LOCK_IMAGE, source->text, source->platform))
		return 0;
	pin = kept(self, IX_LOCK_IMAGE, source->text, source->platform);
	if (!pin) {
		if ((r = ix_platform_parse(source->platform, &platform, err)) < 0 ||
		    (r = ix_cache_resolve(self->session->ws->cache, source->text, &platform, &digest, err)) < 0)
			return r;
		pin = ix_digest_text(&digest, hex);
	}
	ix_lock_set(self->lock, IX_LOCK_IMAGE, source->text, source->platform, pin);
	return 0;
}

static int lock_remote(struct locking *self, const struct ix_remote *remote, struct ix_err *err)
{
	ix_auto_free char *git = remote->kind == IX_REMOTE_GIT ? ix_remote_git_text(remote) : NULL;
	enum ix_lock_kind kind = git ? IX_LOCK_GIT : IX_LOCK_HTTP;
	const char *name = git ? git : remote->url;
	ix_auto_free char *identity = NULL;
	const char *pin;
	int r;

	if (remote->kind == IX_REMOTE_NONE || (!git && remote->checksum))
		return 0;
	pin = kept(self, kind, name, NULL);
	if (!pin && (r = ix_remote_identity(self->session->ws->remotes, remote, &identity, err)) < 0)
		return r;
	ix_lock_set(self->lock, kind, name, NULL, pin ? pin : identity);
	return 0;
}

static int lock_step(struct locking *self, const struct ix_step *step, struct ix_err *err)
{
	int r = lock_image(self, &step->from, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < step->nmounts; i++)
		if ((r = lock_image(self, &step->mounts[i].from, err)) < 0)
			return r;
	for (size_t i = 0; step->remotes && i < step->nwords; i++)
		if ((r = lock_remote(self, &step->remotes[i], err)) < 0)
			return r;
	return 0;
}

static int lock_all(struct locking *self, struct ix_err *err)
{
	const struct ix_graph *graph = self->session->ws->graph;

	for (size_t i = 0; i < graph->nstages; i++) {
		if (lock_image(self, &graph->stages[i]->base, err) < 0)
			return ix_err_wrap(err, "stage '%s'", graph->stages[i]->name);
		for (size_t j = 0; j < graph->stages[i]->nsteps; j++)
			if (lock_step(self, &graph->stages[i]->steps[j], err) < 0)
				return ix_err_wrap(err, "stage '%s'", graph->stages[i]->name);
	}
	return 0;
}

/* What is another pin than before, or new, or gone. */
static size_t tell(const struct locking *self)
{
	const struct ix_lock *old = self->session->ws->lock;
	struct ix_lock_entry entry;
	size_t changes = 0;

	for (size_t i = 0; ix_lock_at(self->lock, i, &entry); i++) {
		const char *before = old ? ix_lock_get(old, entry.kind, entry.name, entry.platform) : NULL;

		if (before && strcmp(before, entry.pin) == 0)
			continue;
		say("%s%s%s %s%s%s\n", entry.name, entry.platform ? " " : "", entry.platform ? entry.platform : "", before ? before : "",
		    before ? " → " : "", entry.pin);
		changes++;
	}
	for (size_t i = 0; old && ix_lock_at(old, i, &entry); i++) {
		if (ix_lock_get(self->lock, entry.kind, entry.name, entry.platform))
			continue;
		say("%s%s%s is used no more\n", entry.name, entry.platform ? " " : "", entry.platform ? entry.platform : "");
		changes++;
	}
	return changes;
}

static int check_names(const struct locking *self, struct ix_err *err)
{
	for (size_t i = 0; i < self->names->count; i++) {
		const struct ix_strv one = { .items = &self->names->items[i], .count = 1 };
		struct ix_lock_entry entry;
		bool found = false;

		for (size_t j = 0; !found && ix_lock_at(self->lock, j, &entry); j++)
			found = is_named(&one, entry.name);
		if (!found)
			return ix_err_set(err, IX_EARG, "nothing is built from '%s'", self->names->items[i]);
	}
	return 0;
}

static int run(struct session *session, const struct ix_strv *names, bool update, struct ix_err *err)
{
	ix_scoped(ix_lock_freep) struct ix_lock *lock = ix_lock_new();
	struct locking self = { session, lock, names, update };
	ix_auto_free char *path = NULL;
	ix_auto_buf body = { 0 };
	int r;

	if (!session->ws->project)
		return ix_err_set(err, IX_EARG, "no ix.yaml here: a lock file belongs to a project");
	if (names->count > 0 && !update)
		return ix_err_set(err, IX_EARG, "names go with --update");
	if ((r = ix_workspace_load(session->ws, err)) < 0 || (r = lock_all(&self, err)) < 0 || (r = check_names(&self, err)) < 0)
		return r;
	path = ix_workspace_lock_path(session->ws);
	ix_lock_text(lock, &body);
	r = ix_publish_file(AT_FDCWD, path, body.data, body.len, 0644, err);
	if (r < 0)
		return r;
	ix_ui_finish(session->ui);
	if (tell(&self) == 0)
		say("ix.lock is up to date\n");
	return 0;
}

int cmd_lock(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	ix_auto_strv names = { 0 };
	bool update = false;
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common), { 0, "update", NULL, OPT_FLAG, &update, "resolve again what is pinned already" },
		KEY_OPTIONS(&request),           NETWORK_OPTION(&request),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "lock", "[--update [NAME...]]", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &names, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	request.pull = request.locking = true;
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    run(&session, &names, update, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return 0;
}
