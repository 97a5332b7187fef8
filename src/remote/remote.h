/*
 * Files and repositories that a build fetches by URL: ADD https://..., ADD repo.git#ref, contexts by URL. It says what a source is now (a
 * digest, a commit), and gets it. Files become blobs of the store; repositories are checked out by the git program.
 *
 * What a server said about a URL (ETag, Last-Modified) is remembered, so that asking again costs one request without a body.
 */
#ifndef IX_REMOTE_REMOTE_H
#define IX_REMOTE_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "store/store.h"

struct ix_remotes_opts {
	struct ix_store *store;         /* borrowed */
	const struct ix_cancel *cancel; /* borrowed */
	/* A secret's value appended, -IX_ENOTFOUND when there is none: HTTP_AUTH_HEADER_<host>, HTTP_AUTH_TOKEN_<host>, GIT_AUTH_TOKEN[.<host>],
	 * GIT_AUTH_HEADER[.<host>]. May be NULL. */
	int (*secret)(void *data, const char *id, struct ix_buf *ret_value, struct ix_err *err);
	void *data;
	bool offline; /* what is in the store, or an error */
};

/* Thread-safe. */
struct ix_remotes;
struct ix_remotes *ix_remotes_new(const struct ix_remotes_opts *opts);
void ix_remotes_free(struct ix_remotes *remotes);
IX_DEFINE_FREEP(struct ix_remotes, ix_remotes_free)

/*
 * What the source is: "sha256:..." of a file, the full commit of a repository. Given checksums are not asked for again (a file's) or checked
 * (a commit's beginning). Asked once in a process: all steps see the same. Caller frees.
 */
int ix_remote_identity(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_identity, struct ix_err *err);

struct ix_remote_file {
	struct ix_digest digest; /* of a blob in the store */
	uint64_t size;
	int64_t mtime_s; /* Last-Modified; 0 when the server does not say */
};
/* The file as a blob of the store, verified against its checksum when it has one. */
int ix_remote_file(struct ix_remotes *remotes, const struct ix_remote *remote, struct ix_remote_file *ret_file, struct ix_err *err);

/* The repository at its commit (subdir not yet applied), files 644 or 755 with the commit's time, in a directory that is removed with remotes.
 * Caller frees *ret_dir. */
int ix_remote_checkout(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_dir, struct ix_err *err);

#endif
