/*
 * Blobs out: HEAD, mount, POST and one PUT. A PUT that broke is continued where the registry says it stands (GET, PATCH, PUT) when that saves
 * enough, and begun anew otherwise. Where something on the way takes no body that large (413) it goes in pieces that are small enough, and so do all
 * later ones.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "base/trace.h"
#include "http/http.h"
#include "io/digest.h"
#include "registry/asked_int.h"
#include "registry/flight_int.h"
#include "registry/message_int.h"

enum {
	CONTINUE_MIN = 1 << 20, /* less is sent again faster than asked about */
	CHUNK_FIRST = 64 << 20, /* after a 413 */
	CHUNK_MIN = 64 << 10,
};

struct push {
	struct ix_registry *registry;
	struct endpoint *ep;
	const char *repository;
	const struct ix_digest *digest;
	uint64_t size;
	int fd;
	ix_transfer_fn *progress;
	void *data;
	struct ix_retry retry;
	char *location;     /* of an upload that was begun; NULL: none */
	uint64_t chunk_min; /* the least that the registry takes, but for the last piece */
	bool too_large;     /* what was sent last was more than something on the way takes */
	bool again;         /* the last failure may pass */
	uint64_t after_ms;  /* and the registry said when */
};

static int head_blob(struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
		     const struct ix_digest *digest, struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_free char *rest = ix_asprintf("blobs/%s", ix_digest_text(digest, text));
	auto_asked asked = { 0 };
	int r;

	if ((r = asked_init(&asked, registry, ep, repository, actions, "HEAD", rest, err)) < 0 || (r = ix_http_run(&asked.req, err)) < 0)
		return r;
	return asked.req.reply.status == 200 ? 0 : reply_error(&asked.req, err);
}

int ix_registry_has_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, struct ix_err *err)
{
	struct upstream *upstream;
	int r = hosts_upstream(&registry->hosts, ref->host, &upstream, err);

	if (r < 0)
		return r;
	return head_blob(registry, upstream_origin(upstream), ref->repository, "pull", digest, err);
}

/* --- one step of an upload --- */

static void push_sent(void *data, uint64_t done)
{
	struct push *push = data;

	if (push->progress)
		push->progress(push->data, done, push->size);
}

/* Run a request of the upload and judge whether what went wrong may pass. status stays 0 without a reply. */
static int step(struct push *push, struct ix_http_request *req, struct ix_err *err)
{
	push->again = push->too_large = false;
	push->after_ms = 0;
	int r = ix_http_run(req, err);
	if (r < 0) {
		push->again = req->unreachable && err->code != IX_ECANCELED && !req->sink_failed;
		return r;
	}
	/* 404 and 416: the upload is gone or stands elsewhere than we think; a new one is in order */
	push->again = ix_retry_status(req->reply.status) || req->reply.status == 404 || req->reply.status == 416;
	push->too_large = req->reply.status == 413;
	push->after_ms = ix_http_retry_after(&req->reply);
	return 0;
}

/* The reply's Location is where the upload goes on. */
static int keep_location(struct push *push, const struct ix_http_request *req, struct ix_err *err)
{
	const char *sent = ix_http_header(&req->reply, "Location", 0);
	char *location;

	if (!sent)
		return 0;
	if (ix_http_locate(req, sent, &location, err) < 0)
		return ix_http_error(req, err);
	free(push->location);
	push->location = location;
	return 0;
}

/* A request to the upload's own URL. */
static void at_location(struct push *push, struct asked *asked, const char *method, const char *url)
{
	asked_init_at(asked, push->registry, push->ep, push->repository, "pull,push", method, url);
}

static int begin_upload(struct push *push, struct ix_err *err)
{
	struct ix_http_body nothing = { .bytes = "" };
	auto_asked asked = { 0 };
	const char *least;
	int r = asked_init(&asked, push->registry, push->ep, push->repository, "pull,push", "POST", "blobs/uploads/", err);

	if (r < 0)
		return r;
	asked.req.body = &nothing;
	r = step(push, &asked.req, err);
	if (r < 0)
		return r;
	if (asked.req.reply.status != 202) {
		push->again = false; /* the request itself has tried again already */
		return reply_error(&asked.req, err);
	}
	r = keep_location(push, &asked.req, err);
	if (r < 0)
		return r;
	least = ix_http_header(&asked.req.reply, "OCI-Chunk-Min-Length", 0);
	if (!least || !ix_parse_u64(least, INT64_MAX, &push->chunk_min))
		push->chunk_min = 0;
	if (push->location)
		return 0;
	ix_err_set(err, IX_EFAIL, "the registry did not say where to upload to");
	return ix_http_error(&asked.req, err);
}

/* The last request: the bytes, or none when PATCH brought them, and the digest they must have. */
static int put_upload(struct push *push, struct ix_http_body *body, struct ix_err *err)
{
	ix_auto_buf url = { 0 };
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;
	char text[IX_DIGEST_TEXT];

	ix_buf_puts(&url, push->location);
	ix_url_add_query(&url, "digest", ix_digest_text(push->digest, text));
	at_location(push, &asked, "PUT", ix_buf_str(&url));
	ix_strv_add(&req->headers, "Content-Type: application/octet-stream");
	req->body = body;
	req->sent = push_sent;
	req->sent_data = push;
	int r = step(push, req, err);
	if (r < 0)
		return r;
	if (req->reply.status != 201 && req->reply.status != 200 && req->reply.status != 204)
		return reply_error(req, err);
	push->again = false;
	if (reply_check_digest(&req->reply, push->digest, "blob", err) < 0)
		return ix_http_error(req, err);
	return 0;
}

/* --- going on after a break --- */

static int upload_offset(struct push *push, uint64_t *ret_offset, struct ix_err *err)
{
	auto_asked asked = { 0 };
	const struct ix_http_reply *reply = &asked.req.reply;
	const char *range;

	at_location(push, &asked, "GET", push->location);
	int r = step(push, &asked.req, err);
	if (r < 0)
		return r;
	range = ix_http_header(reply, "Range", 0);
	*ret_offset = 0;
	if (reply->status != 204 && reply->status != 200)
		return reply_error(&asked.req, err);
	if (range && !ix_http_received_range(range, ret_offset))
		*ret_offset = 0;
	return keep_location(push, &asked.req, err);
}

/* So many bytes were too many. False: fewer cannot be sent. */
static bool shrink(struct push *push, uint64_t sent)
{
	uint64_t chunk = sent / 2 < CHUNK_FIRST ? sent / 2 : CHUNK_FIRST;

	if (!push->too_large || chunk < CHUNK_MIN || chunk < push->chunk_min)
		return false;
	ix_trace("registry", "%s takes no %llu bytes at once: pieces of %llu", push->ep->host, (unsigned long long)sent,
		 (unsigned long long)chunk);
	endpoint_set_chunk(push->ep, chunk);
	return true;
}

/* One piece from *offset on, which moves to where the registry says that it is. */
static int patch_piece(struct push *push, uint64_t *offset, struct ix_err *err)
{
	uint64_t left = push->size - *offset, chunk = endpoint_chunk(push->ep), end;
	struct ix_http_body piece = { .fd = push->fd, .offset = *offset, .size = left < chunk ? left : chunk };
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;
	const char *range;

	at_location(push, &asked, "PATCH", push->location);
	ix_strv_add(&req->headers, "Content-Type: application/octet-stream");
	ix_strv_addf(&req->headers, "Content-Range: %llu-%llu", (unsigned long long)*offset,
		     (unsigned long long)(*offset + piece.size - 1));
	req->body = &piece;
	req->sent = push_sent;
	req->sent_data = push;
	int r = step(push, req, err);
	if (r < 0)
		return r;
	if (shrink(push, piece.size))
		return 0;
	if (req->reply.status != 202)
		return reply_error(req, err);
	range = ix_http_header(&req->reply, "Range", 0);
	end = *offset + piece.size;
	if (range && (!ix_http_received_range(range, &end) || end <= *offset || end > *offset + piece.size)) {
		push->again = true;
		ix_err_set(err, IX_EFAIL, "the registry kept another part than was sent");
		return ix_http_error(req, err);
	}
	*offset = end;
	push->retry.tries = 0; /* it got somewhere: only the budget ends this */
	return keep_location(push, req, err);
}

/* The rest, and the digest that all of it must have. */
static int patch_upload(struct push *push, uint64_t offset, struct ix_err *err)
{
	struct ix_http_body nothing = { .bytes = "" };
	int r = 0;

	while (r == 0 && offset < push->size)
		r = patch_piece(push, &offset, err);
	return r < 0 ? r : put_upload(push, &nothing, err);
}

static void forget_location(struct push *push)
{
	free(push->location);
	push->location = NULL;
}

/* Bring the upload at push->location to its end. Failure leaves no location: the next attempt begins anew. */
static int continue_upload(struct push *push, struct ix_err *err)
{
	uint64_t offset;
	int r = upload_offset(push, &offset, err);

	if (r == 0 && (offset < CONTINUE_MIN || offset > push->size))
		r = ix_err_set(err, IX_EFAIL, "nothing to continue");
	if (r == 0)
		ix_trace("registry", "upload goes on at %llu of %llu", (unsigned long long)offset, (unsigned long long)push->size);
	if (r == 0)
		r = patch_upload(push, offset, err);
	forget_location(push);
	return r;
}

/* Some uploads were committed although the answer was lost on its way. */
static bool is_there(struct push *push)
{
	struct ix_err ignored;

	return head_blob(push->registry, push->ep, push->repository, "pull,push", push->digest, &ignored) == 0;
}

static int upload(struct push *push, struct ix_err *err)
{
	struct ix_http_body whole = { .fd = push->fd, .size = push->size };
	bool first = push->retry.tries == 0;

	if (!first && is_there(push))
		return 0;
	if (!first && push->location && continue_upload(push, err) == 0)
		return 0;
	int r = ix_cancel_check(ix_http_cancel(push->registry->http), err);
	if (r < 0)
		return r;
	if (!push->location && (r = begin_upload(push, err)) < 0)
		return r;
	if (push->size > endpoint_chunk(push->ep))
		return patch_upload(push, 0, err);
	r = put_upload(push, &whole, err);
	if (r == 0 || !shrink(push, push->size))
		return r;
	forget_location(push);
	r = begin_upload(push, err);
	return r < 0 ? r : patch_upload(push, 0, err);
}

static int upload_with_retries(struct push *push, struct ix_err *err)
{
	uint64_t wait;

	for (;;) {
		int r = upload(push, err);

		if (r == 0 || !push->again || !ix_retry_again(&push->retry, push->after_ms, &wait))
			return r;
		ix_trace("registry", "upload: %s, again in %llu ms", err->msg, (unsigned long long)wait);
		r = ix_cancel_sleep(ix_http_cancel(push->registry->http), wait, err);
		if (r < 0)
			return r;
	}
}

/* --- the whole --- */

/* 201: it is there now. 202: an upload was begun instead. Whatever else the answer is, a plain upload may still work. */
static int mount(struct push *push, const char *from, bool *ret_mounted, struct ix_err *err)
{
	ix_auto_buf rest = { 0 };
	ix_auto_free char *source = endpoint_repository(push->ep, from);
	struct ix_http_body nothing = { .bytes = "" };
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;
	char text[IX_DIGEST_TEXT];

	ix_buf_puts(&rest, "blobs/uploads/");
	ix_url_add_query(&rest, "mount", ix_digest_text(push->digest, text));
	ix_url_add_query(&rest, "from", source);
	int r = asked_init(&asked, push->registry, push->ep, push->repository, "pull,push", "POST", ix_buf_str(&rest), err);
	if (r < 0)
		return r;
	asked_widen(&asked, source, "pull");
	req->body = &nothing;
	req->retry.max_tries = 1;
	*ret_mounted = false;
	if (ix_http_run(req, err) < 0)
		return err->code == IX_ECANCELED ? -IX_ECANCELED : 0;
	*ret_mounted = req->reply.status == 201;
	return req->reply.status == 202 ? keep_location(push, req, err) : 0;
}

/* Without its bytes: 0 when it is there now, -IX_ENOTFOUND when it has to be uploaded. */
static int have_blob(struct push *push, const char *mount_from, enum ix_push_result *ret_result, struct ix_err *err)
{
	bool mounted = false;
	int r = head_blob(push->registry, push->ep, push->repository, "pull,push", push->digest, err);

	*ret_result = IX_PUSH_EXISTED;
	if (r != -IX_ENOTFOUND || !mount_from || strcmp(mount_from, push->repository) == 0)
		return r;
	r = mount(push, mount_from, &mounted, err);
	if (r < 0)
		return r;
	*ret_result = IX_PUSH_MOUNTED;
	return mounted ? 0 : ix_err_set(err, IX_ENOTFOUND, "it cannot be mounted from %s", mount_from);
}

static int put_blob(struct push *push, const char *mount_from, bool unasked, enum ix_push_result *ret_result, struct ix_err *err)
{
	int r = unasked ? -IX_ENOTFOUND : have_blob(push, mount_from, ret_result, err);

	if (r != -IX_ENOTFOUND)
		return r;
	*ret_result = IX_PUSH_UPLOADED;
	return upload_with_retries(push, err);
}

static int start_push(struct push *push, struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest,
		      char **ret_key, struct ix_err *err)
{
	struct upstream *upstream;
	char text[IX_DIGEST_TEXT];
	int r = hosts_upstream(&registry->hosts, ref->host, &upstream, err);

	if (r < 0)
		return r;
	push->registry = registry;
	push->repository = ref->repository;
	push->digest = digest;
	push->retry = ix_http_retry(registry->http);
	push->ep = upstream_origin(upstream);
	*ret_key = ix_asprintf("%s/%s@%s", push->ep->authority, ref->repository, ix_digest_text(digest, text));
	return flight_begin(&registry->uploads, *ret_key, err);
}

int ix_registry_put_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size, int fd,
			 const char *mount_from, bool unasked, ix_transfer_fn *progress, void *data, enum ix_push_result *ret_result,
			 struct ix_err *err)
{
	ix_auto_free char *key = NULL;
	struct push push = { .size = size, .fd = fd, .progress = progress, .data = data };
	int r = start_push(&push, registry, ref, digest, &key, err);

	if (r < 0)
		return r;
	/* who had to wait finds with HEAD what the other sent */
	r = put_blob(&push, mount_from, unasked && r == 0, ret_result, err);
	free(push.location);
	flight_end(&registry->uploads, key);
	return r;
}

int ix_registry_mount_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, const char *mount_from,
			   enum ix_push_result *ret_result, struct ix_err *err)
{
	ix_auto_free char *key = NULL;
	struct push push = { .fd = -1 };
	int r = start_push(&push, registry, ref, digest, &key, err);

	if (r < 0)
		return r;
	r = have_blob(&push, mount_from, ret_result, err);
	free(push.location);
	flight_end(&registry->uploads, key);
	return r;
}
