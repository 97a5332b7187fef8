/* Manifests out. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "io/digest.h"
#include "registry/asked_int.h"
#include "registry/message_int.h"

/* Immutable tags: the registry refuses to write again even what is there already. */
static bool is_there(struct ix_registry *registry, struct endpoint *ep, const struct ix_ref *ref, const char *rest,
		     const struct ix_digest *digest)
{
	auto_asked asked = { 0 };
	struct ix_digest there;
	struct ix_err ignored;
	const struct ix_http_reply *reply = &asked.req.reply;

	if (asked_init(&asked, registry, ep, ref->repository, "pull,push", "HEAD", rest, &ignored) < 0)
		return false;
	ix_strv_add(&asked.req.headers, asked_accept);
	return ix_http_run(&asked.req, &ignored) == 0 && reply->status == 200 && reply_digest(reply, &there) &&
	       ix_digest_eq(&there, digest);
}

static bool is_conflict(long status)
{
	return status == 400 || status == 409 || status == 412;
}

/* MANIFEST_BLOB_UNKNOWN, or what a registry says that reads the link to a blob while another client writes it. */
static bool misses_blobs(const struct ix_http_reply *reply)
{
	const char *text = ix_buf_str(&reply->text);

	return (reply->status == 400 || reply->status == 404) && (strstr(text, "BLOB_UNKNOWN") || strstr(text, "DIGEST_INVALID"));
}

static int put(struct ix_registry *registry, struct endpoint *ep, const struct ix_ref *ref, struct ix_http_body *body,
	       const char *media_type, const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_free char *rest = ix_asprintf("manifests/%s", ref->tag ? ref->tag : ref->digest);
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;
	long status;
	int r = asked_init(&asked, registry, ep, ref->repository, "pull,push", "PUT", rest, err);

	if (r < 0)
		return r;
	ix_strv_addf(&req->headers, "Content-Type: %s", media_type);
	req->body = body;
	req->idempotent_body = true;
	r = ix_http_run(req, err);
	if (r < 0)
		return r;
	status = req->reply.status;
	if (is_conflict(status) && is_there(registry, ep, ref, rest, digest))
		return 0;
	if (misses_blobs(&req->reply)) {
		(void)reply_error(req, err);
		err->code = IX_ENOTFOUND;
		return -IX_ENOTFOUND;
	}
	if (status != 201 && status != 200 && status != 202 && status != 204)
		return reply_error(req, err);
	if (reply_check_digest(&req->reply, digest, "manifest", err) < 0)
		return ix_http_error(req, err);
	return 0;
}

int ix_registry_put_manifest(struct ix_registry *registry, const struct ix_ref *ref, const void *bytes, size_t len, const char *media_type,
			     struct ix_err *err)
{
	struct ix_http_body body = { .bytes = bytes ? bytes : "", .size = len };
	struct upstream *upstream;
	struct ix_digest digest, want;
	char text[IX_DIGEST_TEXT];
	int r;

	ix_digest_of(body.bytes, len, &digest);
	if (ref->digest && (r = ix_digest_parse(ref->digest, &want, err)) < 0)
		return r;
	if (ref->digest && !ix_digest_eq(&want, &digest))
		return ix_err_set(err, IX_ECORRUPT, "put manifest %s: its bytes are %s", ref->digest, ix_digest_text(&digest, text));
	if (len > IX_MANIFEST_MAX)
		return ix_err_set(err, IX_ELIMIT, "put manifest: larger than the %d bytes that registries take", IX_MANIFEST_MAX);
	if (strpbrk(media_type, "\r\n"))
		return ix_err_set(err, IX_EARG, "put manifest: bad media type");
	r = hosts_upstream(&registry->hosts, ref->host, &upstream, err);
	if (r < 0)
		return r;
	return put(registry, upstream_origin(upstream), ref, &body, media_type, &digest, err);
}
