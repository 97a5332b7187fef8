/*
 * OCI distribution client (distribution-spec 1.1): authentication, resolving, fetching, pushing, mirrors. It does not know the store: blobs
 * go into a writer and come from a reader it is given. It never prints.
 *
 * All calls may be made from several threads at once. Errors name the URL and what to do. Retries (408, 429, 5xx, connection resets) happen
 * inside, with jitter, Retry-After and a budget.
 */
#ifndef IX_REGISTRY_REGISTRY_H
#define IX_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"
#include "io/stream.h"
#include "oci/reference.h"

/* What the user configured about one registry host. All strings are borrowed by ix_registry_new's caller contract: copied. */
struct ix_registry_host {
	const char *name;     /* "docker.io", "127.0.0.1:5000" */
	const char *username; /* NULL: from docker's config.json and helpers */
	const char *password;
	const char *ca_file; /* PEM, in addition to the system's; NULL: none */
	bool insecure;       /* plain http allowed and certificates not checked */
	const char *const
		*mirrors; /* NULL terminated host[:port][/prefix], tried in order before the host itself, for pulls only; may be NULL */
};

struct ix_registry_opts {
	const struct ix_registry_host *hosts;
	size_t nhosts;
	const char *docker_config; /* directory holding config.json; NULL: $DOCKER_CONFIG or ~/.docker */
	const struct ix_cancel *cancel;
	unsigned connections; /* per host in batches; 0: 8 */
	unsigned timeout_s;   /* without a byte either way before a connection counts as broken; 0: 60 */
	unsigned retry_s;     /* the most that one call waits between its retries, all together; 0: 120 */
	/* A registry has something to tell its users (Warning: 299): called once for each text of each host, from any thread, with text as it came. */
	void (*warn)(void *data, const char *host, const char *text);
	void *warn_data;
};

struct ix_registry;

/* Loopback hosts (127.0.0.0/8, ::1, localhost) may use plain http without being configured insecure: https is tried first only when a CA
 * file is configured for them. Everything else is https unless configured insecure. */
int ix_registry_new(const struct ix_registry_opts *opts, struct ix_registry **ret_registry, struct ix_err *err);
void ix_registry_free(struct ix_registry *registry);
IX_DEFINE_FREEP(struct ix_registry, ix_registry_free)

/* What went over the wire since the registry was made: HTTP requests, body bytes down and up. */
struct ix_registry_stats {
	uint64_t requests;
	uint64_t bytes_down;
	uint64_t bytes_up;
};
void ix_registry_stats(const struct ix_registry *registry, struct ix_registry_stats *ret_stats);

/* Progress of a transfer, called often, from the transferring thread. */
typedef void ix_transfer_fn(void *data, uint64_t done, uint64_t total);

struct ix_manifest_head {
	int result; /* 0 found, -IX_ENOTFOUND, or another negative code with err set */
	struct ix_err err;
	struct ix_digest digest; /* from Docker-Content-Digest; zero when the registry did not send it */
	char media_type[128];
};
/* HEAD many manifests in one parallel batch. heads has n entries. Always completes; failures are per entry. pull uses mirrors. */
void ix_registry_head_many(struct ix_registry *registry, const struct ix_ref *const *refs, size_t n, struct ix_manifest_head *heads);

/* A manifest or index, bytes exactly as sent (limit IX_MANIFEST_MAX), verified against the reference's digest when it has one, and against
 * Docker-Content-Digest when it was sent. 404 is IX_ENOTFOUND. */
int ix_registry_get_manifest(struct ix_registry *registry, const struct ix_ref *ref, struct ix_buf *body, char media_type[static 128],
			     struct ix_digest *ret_digest, struct ix_err *err);
/* A blob into writer, resumed with Range after a broken connection, verified: the writer's finish is called only when every byte was there and
 * matches digest. size 0: unknown. */
int ix_registry_get_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size,
			 struct ix_writer *writer, ix_transfer_fn *progress, void *data, struct ix_err *err);

/* Is the blob in the repository? 0 yes, -IX_ENOTFOUND no. */
int ix_registry_has_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, struct ix_err *err);

enum ix_push_result { IX_PUSH_EXISTED, IX_PUSH_MOUNTED, IX_PUSH_UPLOADED };
/* Put a blob of exactly size bytes, read from fd at offset 0 (pread, so it can be sent again after a failure). HEAD, then mount from
 * mount_from (a repository of the same host, NULL: none), then POST and one PUT. Single flight per digest and repository in this process. unasked: it is
 * uploaded without HEAD and mount, because what is there is bad, or it is so small that asking costs as much. */
int ix_registry_put_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size, int fd,
			 const char *mount_from, bool unasked, ix_transfer_fn *progress, void *data, enum ix_push_result *ret_result,
			 struct ix_err *err);
/* The same without the bytes: HEAD, then mount. -IX_ENOTFOUND: it has to be uploaded. */
int ix_registry_mount_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, const char *mount_from,
			   enum ix_push_result *ret_result, struct ix_err *err);
/* Put a manifest under ref's tag (or digest). The reply's digest is checked. -IX_ENOTFOUND: the registry does not see one of its blobs, which
 * may also be because another client is writing it just now: look at the blobs again and repeat. */
int ix_registry_put_manifest(struct ix_registry *registry, const struct ix_ref *ref, const void *bytes, size_t len, const char *media_type,
			     struct ix_err *err);
/* All tags of ref's repository, following Link pagination, appended. */
int ix_registry_list_tags(struct ix_registry *registry, const struct ix_ref *ref, struct ix_strv *tags, struct ix_err *err);

/* --- logins --- */

/* Are these good at host? 0, or -IX_EAUTH: they are refused. A server that asks nobody who he is takes any. They are what is sent there from now on. */
int ix_registry_log_in(struct ix_registry *registry, const char *host, const char *username, const char *password, struct ix_err *err);
/* Keep them where docker does: with the helper that its config.json names for the host, else in config.json, readable by its owner. *ret_where
 * says where, for people. Caller frees. */
int ix_registry_keep_login(struct ix_registry *registry, const char *host, const char *username, const char *password, char **ret_where,
			   struct ix_err *err);
/* Forget what is kept there: -IX_ENOTFOUND when nothing is. *ret_left: where credentials for the host are still found; NULL: nowhere. Caller frees. */
int ix_registry_forget_login(struct ix_registry *registry, const char *host, char **ret_left, struct ix_err *err);

#endif
