#ifndef IX_REMOTE_REMOTE_INT_H
#define IX_REMOTE_REMOTE_INT_H

#include <pthread.h>

#include "base/map.h"
#include "base/str.h"
#include "http/http.h"
#include "remote/remote.h"

struct known {
	struct ix_remote_file file; /* HTTP */
	bool fetched;
	char *commit; /* GIT */
	char *dir;    /* GIT: checked out */
};

struct ix_remotes {
	struct ix_remotes_opts opts;
	struct ix_http *http;
	pthread_mutex_t lock; /* one fetch at a time: they are few, and most are of the same URL */
	struct ix_map known;  /* remote_name() -> struct known */
	struct ix_strv dirs;  /* to remove */
};

/* A secret for a host: "<id><separator><host>", then "<id>" alone where alone is true. -IX_ENOTFOUND. */
int remote_secret(const struct ix_remotes *remotes, const char *id, char separator, const char *host, bool alone, struct ix_buf *ret_value,
		  struct ix_err *err);
/* The host of a URL, without user and port. Caller frees. */
char *remote_host(const char *url);

/* Download, or learn that what the store has is still it. */
int file_fetch(struct ix_remotes *remotes, const struct ix_remote *remote, struct ix_remote_file *ret_file, struct ix_err *err);
int git_resolve(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_commit, struct ix_err *err);
int git_checkout(struct ix_remotes *remotes, const struct ix_remote *remote, const char *commit, char **ret_dir, struct ix_err *err);

#endif
