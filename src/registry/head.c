/* Many HEADs at once. One request to each server goes first and learns how it wants to be spoken to; the rest follow in parallel. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "http/http.h"
#include "io/digest.h"
#include "oci/reference.h"
#include "registry/asked_int.h"
#include "registry/auth_int.h"
#include "registry/message_int.h"

struct head {
	const struct ix_ref *ref;
	struct ix_manifest_head *out;
	struct upstream *upstream;
	size_t at; /* endpoint to ask now */
	struct asked asked;
	bool settled;
};

static void settle(struct head *head, int result)
{
	head->out->result = result;
	head->settled = true;
}

static int fill(struct head *head, struct ix_err *err)
{
	const struct ix_http_reply *reply = &head->asked.req.reply;
	struct ix_digest want;

	if (!reply_digest(reply, &head->out->digest))
		head->out->digest = (struct ix_digest){ 0 };
	reply_media_type(reply, head->out->media_type);
	if (!head->ref->digest)
		return 0;
	int r = ix_digest_parse(head->ref->digest, &want, err);
	if (r < 0)
		return r;
	if (reply_check_digest(reply, &want, "manifest", err) < 0)
		return ix_http_error(&head->asked.req, err);
	head->out->digest = want;
	return 0;
}

/* A request for the head's endpoint. Those that cannot even be addressed count as answered. */
static void prepare(struct ix_registry *registry, struct head *head)
{
	ix_auto_free char *rest = ix_asprintf("manifests/%s", ix_ref_selector(head->ref));

	asked_release(&head->asked);
	head->asked = (struct asked){ 0 };
	if (asked_init(&head->asked, registry, upstream_at(head->upstream, &head->at), head->ref->repository, "pull", "HEAD", rest,
		       &head->out->err) < 0) {
		head->asked.req.state = IX_HTTP_DONE;
		head->asked.req.result = ix_err_code(&head->out->err);
		head->asked.req.err = head->out->err;
		return;
	}
	ix_strv_add(&head->asked.req.headers, asked_accept);
}

/* What the answer means: found, another endpoint to ask, or failure. */
static void judge(struct head *head)
{
	struct ix_http_request *req = &head->asked.req;
	struct ix_err *err = &head->out->err;

	if (req->result == 0 && req->reply.status == 200 && fill(head, err) == 0) {
		settle(head, 0);
		return;
	}
	if (head->at + 1 < head->upstream->count && req->err.code != IX_ECANCELED) {
		head->at++;
		return;
	}
	if (req->result < 0)
		*err = req->err;
	else if (req->reply.status != 200)
		reply_error(req, err);
	settle(head, ix_err_code(err));
}

static void run(struct ix_registry *registry, struct ix_http_request **requests, size_t n)
{
	if (n > 0)
		ix_http_run_many(registry->http, requests, n);
}

static bool has_leader(struct ix_http_request *const *leaders, size_t n, const struct endpoint *ep)
{
	for (size_t i = 0; i < n; i++)
		if (leaders[i]->site == &ep->site)
			return true;
	return false;
}

/* A server that does not answer one does not answer a hundred either. */
static void fail_followers(struct head *heads, size_t n, const struct ix_http_request *leader)
{
	for (size_t i = 0; i < n; i++) {
		struct ix_http_request *req = &heads[i].asked.req;

		if (!heads[i].settled && req->state == IX_HTTP_DUE && req->site == leader->site)
			ix_http_fail_like(req, leader);
	}
}

/* The first request to each server nothing is known of. One that is asked who we are is sent again with the others. */
static void run_leaders(struct ix_registry *registry, struct head *heads, size_t n, struct ix_http_request **requests)
{
	size_t nleaders = 0;

	for (size_t i = 0; i < n; i++) {
		struct endpoint *ep = heads[i].asked.ep;
		struct ix_http_request *req = &heads[i].asked.req;

		if (heads[i].settled || req->state != IX_HTTP_DUE || auth_is_known(ep) || has_leader(requests, nleaders, ep))
			continue;
		req->stop_at_challenge = true;
		requests[nleaders++] = req;
	}
	run(registry, requests, nleaders);
	for (size_t i = 0; i < nleaders; i++) {
		if (requests[i]->result < 0 && requests[i]->unreachable)
			fail_followers(heads, n, requests[i]);
		else if (requests[i]->result == 0 && requests[i]->reply.status == 401 && requests[i]->refusals == 1)
			ix_http_request_rearm(requests[i]);
	}
}

/* Tokens for all repositories, side by side. */
static void fetch_tokens(struct ix_registry *registry, struct head *heads, size_t n)
{
	struct auth_want *wants = ix_calloc(n, sizeof(*wants));
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct asked *asked = &heads[i].asked;
		size_t j;

		if (heads[i].settled || asked->req.state != IX_HTTP_DUE || !auth_wants_token(asked->ep))
			continue;
		for (j = 0; j < count; j++)
			if (wants[j].ep == asked->ep && strcmp(wants[j].scope, asked->scope) == 0)
				break;
		if (j == count)
			wants[count++] = (struct auth_want){ asked->ep, asked->repository, asked->scope };
	}
	if (count > 1)
		auth_prefetch(registry, wants, count);
	free(wants);
}

/* One round over all that are not settled: each asks its present endpoint. */
static bool ask_all(struct ix_registry *registry, struct head *heads, size_t n, struct ix_http_request **requests)
{
	size_t count = 0;
	bool any = false;

	for (size_t i = 0; i < n; i++)
		if (!heads[i].settled)
			prepare(registry, &heads[i]);
	run_leaders(registry, heads, n, requests);
	fetch_tokens(registry, heads, n);
	for (size_t i = 0; i < n; i++)
		if (!heads[i].settled && heads[i].asked.req.state == IX_HTTP_DUE)
			requests[count++] = &heads[i].asked.req;
	run(registry, requests, count);
	for (size_t i = 0; i < n; i++) {
		if (heads[i].settled)
			continue;
		judge(&heads[i]);
		any = any || !heads[i].settled;
	}
	return any;
}

void ix_registry_head_many(struct ix_registry *registry, const struct ix_ref *const *refs, size_t n, struct ix_manifest_head *out)
{
	struct head *heads = ix_calloc(n + 1, sizeof(*heads));
	struct ix_http_request **requests = ix_calloc(n + 1, sizeof(struct ix_http_request *));

	for (size_t i = 0; i < n; i++) {
		struct head *head = &heads[i];

		out[i] = (struct ix_manifest_head){ 0 };
		head->ref = refs[i];
		head->out = &out[i];
		if (hosts_upstream(&registry->hosts, refs[i]->host, &head->upstream, &out[i].err) < 0)
			settle(head, -(int)out[i].err.code);
	}
	while (n > 0 && ask_all(registry, heads, n, requests))
		;
	for (size_t i = 0; i < n; i++)
		asked_release(&heads[i].asked);
	free(requests);
	free(heads);
}
