#include "remote_int.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/str.h"
#include "http/http.h"
#include "io/digest.h"

struct ix_remotes *ix_remotes_new(const struct ix_remotes_opts *opts)
{
	struct ix_remotes *remotes = ix_calloc(1, sizeof(*remotes));

	remotes->opts = *opts;
	remotes->http = ix_http_new(&(struct ix_http_opts){ .cancel = opts->cancel });
	pthread_mutex_init(&remotes->lock, NULL);
	return remotes;
}

void ix_remotes_free(struct ix_remotes *remotes)
{
	struct ix_err ignored;

	if (!remotes)
		return;
	for (size_t i = 0; i < remotes->known.count; i++) {
		struct known *known = remotes->known.entries[i].value;

		free(known->commit);
		free(known->dir);
		free(known);
	}
	for (size_t i = 0; i < remotes->dirs.count; i++)
		(void)ix_remove_tree(AT_FDCWD, remotes->dirs.items[i], &ignored);
	ix_strv_release(&remotes->dirs);
	ix_map_release(&remotes->known);
	ix_http_free(remotes->http);
	pthread_mutex_destroy(&remotes->lock);
	free(remotes);
}

/* --- what is known --- */

static struct known *known_of(struct ix_remotes *remotes, const struct ix_remote *remote)
{
	ix_auto_free char *name =
		ix_asprintf("%d %s\n%s\n%s\n%d%d%d", (int)remote->kind, remote->url, remote->checksum ? remote->checksum : "",
			    remote->ref ? remote->ref : "", remote->keep_git_dir, remote->no_submodules, remote->fetch_by_commit);
	struct known *known = ix_map_get(&remotes->known, name);

	if (!known) {
		known = ix_calloc(1, sizeof(*known));
		ix_map_set(&remotes->known, name, known);
	}
	return known;
}

static int need_file(struct ix_remotes *remotes, const struct ix_remote *remote, struct known *known, struct ix_err *err)
{
	int r = known->fetched ? 0 : file_fetch(remotes, remote, &known->file, err);

	known->fetched = r == 0;
	return r;
}

static int need_commit(struct ix_remotes *remotes, const struct ix_remote *remote, struct known *known, struct ix_err *err)
{
	return known->commit ? 0 : git_resolve(remotes, remote, &known->commit, err);
}

static int identity(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_identity, struct ix_err *err)
{
	struct known *known = known_of(remotes, remote);
	char text[IX_DIGEST_TEXT];
	int r;

	if (remote->kind == IX_REMOTE_HTTP && remote->checksum) {
		*ret_identity = ix_strdup(remote->checksum);
		return 0;
	}
	if (remote->kind == IX_REMOTE_HTTP) {
		r = need_file(remotes, remote, known, err);
		if (r < 0)
			return r;
		*ret_identity = ix_strdup(ix_digest_text(&known->file.digest, text));
		return 0;
	}
	r = need_commit(remotes, remote, known, err);
	if (r < 0)
		return r;
	*ret_identity = ix_strdup(known->commit);
	return 0;
}

int ix_remote_identity(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_identity, struct ix_err *err)
{
	int r;

	pthread_mutex_lock(&remotes->lock);
	r = identity(remotes, remote, ret_identity, err);
	pthread_mutex_unlock(&remotes->lock);
	return r;
}

int ix_remote_file(struct ix_remotes *remotes, const struct ix_remote *remote, struct ix_remote_file *ret_file, struct ix_err *err)
{
	struct known *known;
	int r;

	pthread_mutex_lock(&remotes->lock);
	known = known_of(remotes, remote);
	r = need_file(remotes, remote, known, err);
	if (r == 0)
		*ret_file = known->file;
	pthread_mutex_unlock(&remotes->lock);
	return r;
}

int ix_remote_checkout(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_dir, struct ix_err *err)
{
	struct known *known;
	int r = 0;

	pthread_mutex_lock(&remotes->lock);
	known = known_of(remotes, remote);
	if (!known->dir) {
		r = need_commit(remotes, remote, known, err);
		if (r == 0)
			r = git_checkout(remotes, remote, known->commit, &known->dir, err);
	}
	if (r == 0)
		*ret_dir = ix_strdup(known->dir);
	pthread_mutex_unlock(&remotes->lock);
	return r;
}
