/* Manifests and blobs in. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "base/trace.h"
#include "http/http.h"
#include "io/digest.h"
#include "io/stream.h"
#include "oci/reference.h"
#include "registry/asked_int.h"
#include "registry/message_int.h"

/* --- manifests --- */

static int check_manifest(const struct asked *asked, const struct ix_ref *ref, const struct ix_buf *body, struct ix_digest *ret_digest,
			  struct ix_err *err)
{
	struct ix_digest want;
	char got_text[IX_DIGEST_TEXT];

	ix_digest_of(body->data ? body->data : "", body->len, ret_digest);
	int r = reply_check_digest(&asked->req.reply, ret_digest, "manifest", err);
	if (r < 0)
		return r;
	if (!ref->digest)
		return 0;
	r = ix_digest_parse(ref->digest, &want, err);
	if (r < 0)
		return r;
	if (!ix_digest_eq(&want, ret_digest))
		return ix_err_set(err, IX_ECORRUPT, "the manifest's bytes are %s", ix_digest_text(ret_digest, got_text));
	return 0;
}

static int manifest_from(struct ix_registry *registry, struct endpoint *ep, const struct ix_ref *ref, struct ix_buf *body,
			 char media_type[static 128], struct ix_digest *ret_digest, bool *ret_final, struct ix_err *err)
{
	ix_auto_free char *rest = ix_asprintf("manifests/%s", ix_ref_selector(ref));
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;

	*ret_final = false;
	int r = asked_init(&asked, registry, ep, ref->repository, "pull", "GET", rest, err);
	if (r < 0)
		return r;
	ix_strv_add(&req->headers, asked_accept);
	req->into = body;
	r = ix_http_run(req, err);
	if (r < 0) {
		*ret_final = !asked_falls_through(req);
		return r;
	}
	if (req->reply.status != 200)
		return reply_error(req, err);
	if (check_manifest(&asked, ref, body, ret_digest, err) < 0)
		return ix_http_error(req, err);
	reply_media_type(&req->reply, media_type);
	return 0;
}

int ix_registry_get_manifest(struct ix_registry *registry, const struct ix_ref *ref, struct ix_buf *body, char media_type[static 128],
			     struct ix_digest *ret_digest, struct ix_err *err)
{
	struct upstream *upstream;
	struct endpoint *ep;
	bool final = false;
	int r = hosts_upstream(&registry->hosts, ref->host, &upstream, err);

	for (size_t i = 0; r == 0 && (ep = upstream_at(upstream, &i)) != NULL; i++) {
		r = manifest_from(registry, ep, ref, body, media_type, ret_digest, &final, err);
		if (r == 0 || final || i + 1 == upstream->count)
			return r;
		ix_trace("registry", "mirror: %s", err->msg);
		r = 0;
	}
	return r;
}

/* --- blobs --- */

struct fetch {
	const struct ix_digest *digest;
	uint64_t size;     /* UINT64_MAX: unknown */
	uint64_t done;     /* bytes the writer has */
	uint64_t skip;     /* bytes of this reply it has already */
	unsigned exchange; /* the reply seen last */
	struct ix_writer *writer;
	struct ix_hash *hash;
	ix_transfer_fn *progress;
	void *data;
};

/* The first bytes of a reply: does it continue where we are? A server may also ignore Range and start over with 200. */
static int begin_reply(struct fetch *fetch, const struct ix_http_request *req, struct ix_err *err)
{
	const char *range = ix_http_header(&req->reply, "Content-Range", 0);
	uint64_t first = 0, total = req->reply.length;

	if (req->reply.status == 206 && (!ix_http_content_range(range, &first, &total) || first > fetch->done)) {
		ix_auto_free char *shown = ix_printable(range ? range : "", 80);

		return ix_err_set(err, IX_EFAIL, "asked for bytes from %llu, it sent another range: '%s'", (unsigned long long)fetch->done,
				  shown);
	}
	if (fetch->size != UINT64_MAX && total != UINT64_MAX && total != fetch->size)
		return ix_err_set(err, IX_ECORRUPT, "the blob has %llu bytes, it should have %llu", (unsigned long long)total,
				  (unsigned long long)fetch->size);
	fetch->skip = fetch->done - first;
	fetch->exchange = req->exchanges;
	return 0;
}

static int take(void *data, struct ix_http_request *req, const void *bytes, size_t len, struct ix_err *err)
{
	struct fetch *fetch = data;
	size_t skipped;
	int r;

	if (fetch->exchange != req->exchanges && (r = begin_reply(fetch, req, err)) < 0)
		return r;
	skipped = len < fetch->skip ? len : (size_t)fetch->skip;
	fetch->skip -= skipped;
	bytes = (const char *)bytes + skipped;
	len -= skipped;
	if (len > fetch->size - fetch->done)
		return ix_err_set(err, IX_ECORRUPT, "the blob is longer than the %llu bytes it should have",
				  (unsigned long long)fetch->size);
	ix_hash_bytes(fetch->hash, bytes, len);
	r = ix_write(fetch->writer, bytes, len, err);
	if (r < 0)
		return r;
	fetch->done += len;
	if (fetch->progress && len > 0)
		fetch->progress(fetch->data, fetch->done, fetch->size == UINT64_MAX ? 0 : fetch->size);
	return 0;
}

static int check_blob(struct fetch *fetch, const struct ix_http_request *req, struct ix_err *err)
{
	struct ix_digest got;
	char text[IX_DIGEST_TEXT];

	ix_hash_final(fetch->hash, &got);
	if (ix_digest_eq(&got, fetch->digest))
		return 0;
	ix_err_set(err, IX_ECORRUPT, "the blob's bytes are %s", ix_digest_text(&got, text));
	return ix_http_error(req, err);
}

static int blob_from(struct ix_registry *registry, struct endpoint *ep, const struct ix_ref *ref, struct fetch *fetch, bool *ret_final,
		     struct ix_err *err)
{
	char text[IX_DIGEST_TEXT];
	ix_auto_free char *rest = ix_asprintf("blobs/%s", ix_digest_text(fetch->digest, text));
	auto_asked asked = { 0 };
	struct ix_http_request *req = &asked.req;
	long status;

	*ret_final = false;
	int r = asked_init(&asked, registry, ep, ref->repository, "pull", "GET", rest, err);
	if (r < 0)
		return r;
	req->sink = take;
	req->sink_data = fetch;
	req->resume = &fetch->done;
	req->expect = fetch->size;
	fetch->exchange = 0;
	r = ix_http_run(req, err);
	if (r < 0) {
		*ret_final = !asked_falls_through(req);
		return r;
	}
	status = req->reply.status;
	/* 416: of a blob whose size nobody told us we may have had everything */
	if (status != 200 && status != 206 && !(status == 416 && fetch->done > 0 && fetch->size == UINT64_MAX))
		return reply_error(req, err);
	*ret_final = true;
	r = check_blob(fetch, req, err);
	if (r < 0)
		return r;
	return ix_write_finish(fetch->writer, err);
}

int ix_registry_get_blob(struct ix_registry *registry, const struct ix_ref *ref, const struct ix_digest *digest, uint64_t size,
			 struct ix_writer *writer, ix_transfer_fn *progress, void *data, struct ix_err *err)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	struct fetch fetch = {
		.digest = digest,
		.size = size ? size : UINT64_MAX,
		.writer = writer,
		.hash = hash,
		.progress = progress,
		.data = data,
	};
	struct upstream *upstream;
	struct endpoint *ep;
	bool final = false;
	int r = hosts_upstream(&registry->hosts, ref->host, &upstream, err);

	for (size_t i = 0; r == 0 && (ep = upstream_at(upstream, &i)) != NULL; i++) {
		r = blob_from(registry, ep, ref, &fetch, &final, err);
		if (r == 0 || final || i + 1 == upstream->count)
			return r;
		ix_trace("registry", "mirror: %s", err->msg);
		r = 0;
	}
	return r;
}
