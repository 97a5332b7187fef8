#include "registry/request_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "registry/auth_int.h"
#include "registry/client_int.h"
#include "registry/url_int.h"

enum { WINDOW = 64, CONNECT_TRIES = 2 };

void request_init(struct request *req, struct ix_registry *registry, struct endpoint *ep, const char *method, char *url_take)
{
	*req = (struct request){
		.registry = registry,
		.ep = ep,
		.method = method,
		.url = url_take,
		.expect = UINT64_MAX,
		.retry = { .max_tries = ep->mirror ? 0 : REGISTRY_TRIES, .budget_ms = registry->retry_s * 1000ULL },
		.reply = { .text = IX_BUF_INIT(REPLY_BODY_MAX) },
	};
	request_rearm(req);
}

void request_rearm(struct request *req)
{
	free(req->current_url);
	req->current_url = ix_strdup(req->url);
	req->state = REQUEST_DUE;
	req->due_ms = 0;
	req->redirects = req->refusals = 0;
	req->retry.tries = 0;
	req->retry.waited_ms = 0;
	req->unreachable = false;
	req->stop_at_challenge = false;
	req->result = 0;
}

void request_release(struct request *req)
{
	free(req->url);
	free(req->current_url);
	secret_release(&req->fixed_auth);
	secret_release(&req->auth);
	ix_strv_release(&req->headers);
	reply_release(&req->reply);
}

/* --- outcomes --- */

static void done(struct request *req, int result)
{
	req->state = REQUEST_DONE;
	req->result = result;
}

/* err is filled without saying about what. */
static void failed(struct request *req)
{
	done(req, request_error(req, &req->err));
}

static void send_again(struct request *req, uint64_t wait_ms, bool from_start)
{
	if (from_start) {
		free(req->current_url);
		req->current_url = ix_strdup(req->url);
		req->redirects = 0;
	}
	req->state = REQUEST_DUE;
	req->due_ms = wait_ms ? ix_now_ms() + wait_ms : 0;
}

static bool may_repeat(const struct request *req)
{
	return !req->probe && (!req->body || req->body->size == 0 || req->idempotent_body);
}

/* --- no reply --- */

static bool is_connect_failure(CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
	       code == CURLE_SSL_CONNECT_ERROR;
}

static bool is_transient(CURLcode code)
{
	return is_connect_failure(code) || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
	       code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM ||
	       code == CURLE_SEND_FAIL_REWIND;
}

static void set_broken(struct request *req, CURLcode code)
{
	req->code = code;
	ix_auto_free char *why = ix_printable(req->why[0] ? req->why : curl_easy_strerror(code), 250);
	const char *advice = "";

	if (code == CURLE_PEER_FAILED_VERIFICATION)
		advice = ": give its CA file under registries: in ix.yaml";
	else if (code == CURLE_SSL_CONNECT_ERROR && !req->ep->loopback)
		advice = ": if it speaks plain http, allow that with insecure: under registries: in ix.yaml";
	ix_err_set(&req->err, IX_EFAIL, "%s%s", why, advice);
}

static void broken(struct request *req, CURLcode code)
{
	uint64_t wait;

	set_broken(req, code);
	req->unreachable = true;
	if (req->ep->mirror && is_connect_failure(code))
		endpoint_set_down(req->ep);
	if (req->resume && *req->resume > req->resumed_at)
		req->retry.tries = 0; /* it got somewhere: only the budget ends this */
	if (!is_transient(code) || !may_repeat(req) || (is_connect_failure(code) && req->retry.tries >= CONNECT_TRIES) ||
	    !retry_again(&req->retry, 0, &wait)) {
		failed(req);
		return;
	}
	send_again(req, wait, true);
}

void request_fail_like(struct request *req, const struct request *other)
{
	memcpy(req->why, other->why, sizeof(req->why));
	set_broken(req, other->code);
	req->unreachable = true;
	failed(req);
}

static void ended_early(struct request *req)
{
	snprintf(req->why, sizeof(req->why), "the body ends %llu bytes early", (unsigned long long)(req->expect - *req->resume));
	broken(req, CURLE_PARTIAL_FILE);
}

/* --- a reply --- */

int request_check_plain(struct ix_registry *registry, struct endpoint *ep, const char *url, struct ix_err *err)
{
	ix_auto_free char *origin = NULL, *authority = NULL, *shown = NULL;
	int r = url_origin(url, &origin, err);

	if (r < 0)
		return r;
	if (url_is_https(origin) || ep->insecure)
		return 0;
	authority = url_authority(url);
	if ((ep->loopback && url_is_loopback(authority)) || hosts_insecure(&registry->hosts, authority))
		return 0;
	shown = url_shown(url);
	return ix_err_set(err, IX_EFAIL, "%s leads to plain http: %s: refused, unless insecure: is set for it under registries: in ix.yaml",
			  ep->host, shown);
}

/* Registries behind a proxy that ends TLS often name themselves with http. They are reached the way they were before. */
static void mend_scheme(const struct request *req, char **url)
{
	ix_auto_free char *authority = url_authority(*url);
	char *mended;

	if (url_is_https(*url) || !url_is_https(req->current_url) || !ix_strcaseeq(authority, req->ep->authority))
		return;
	mended = ix_asprintf("https%s", *url + strlen("http"));
	free(*url);
	*url = mended;
}

int request_locate(const struct request *req, const char *location, char **ret_url, struct ix_err *err)
{
	ix_auto_free char *url = NULL;
	int r = url_resolve(req->current_url, location, &url, err);

	if (r < 0)
		return r;
	mend_scheme(req, &url);
	r = request_check_plain(req->registry, req->ep, url, err);
	if (r < 0)
		return r;
	*ret_url = ix_steal(&url);
	return 0;
}

static bool is_redirect(const struct request *req)
{
	long status = req->reply.status;
	bool reads = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;

	if (!req->reply.location)
		return false;
	return status == 307 || status == 308 || (reads && (status == 301 || status == 302 || status == 303));
}

static void follow(struct request *req)
{
	char *url = NULL;

	if (++req->redirects > REDIRECTS_MAX) {
		ix_err_set(&req->err, IX_EFAIL, "more than %d redirects", REDIRECTS_MAX);
		failed(req);
		return;
	}
	if (request_locate(req, req->reply.location, &url, &req->err) < 0) {
		failed(req);
		return;
	}
	free(req->current_url);
	req->current_url = url;
	send_again(req, 0, false);
}

static void refused(struct request *req)
{
	int r = auth_refused(req->registry, req->ep, req->scope, &req->auth, &req->reply, ++req->refusals, &req->err);

	if (r == 0 && !req->stop_at_challenge)
		send_again(req, 0, true);
	else if (r == 0 || r == -IX_EAUTH)
		done(req, 0); /* the 401 is the answer */
	else
		failed(req);
}

static void later(struct request *req)
{
	uint64_t after = 0, wait;

	if (req->reply.retry_after)
		(void)retry_after_parse(req->reply.retry_after, ix_time_s(), &after);
	if (may_repeat(req) && retry_again(&req->retry, after, &wait))
		send_again(req, wait, true);
	else
		done(req, 0);
}

static void answered(struct request *req)
{
	long status = req->reply.status;

	if (is_redirect(req)) {
		follow(req);
		return;
	}
	if (status == 401 && req->scope && !req->probe && req->redirects == 0) {
		refused(req);
		return;
	}
	if (retry_status(status)) {
		later(req);
		return;
	}
	if (req->scope && (status / 100 == 2 || status == 404) && !req->auth.value)
		auth_note_open(req->ep);
	if (status / 100 == 2 && req->resume && req->expect != UINT64_MAX && *req->resume < req->expect) {
		ended_early(req);
		return;
	}
	done(req, 0);
}

/* Every byte arrived, and only the end of the exchange went wrong. */
static bool is_complete(const struct request *req)
{
	return req->resume && req->expect != UINT64_MAX && *req->resume == req->expect && req->reply.status / 100 == 2;
}

static void finish(struct ix_registry *registry, struct request *req, CURLcode code)
{
	exchange_end(registry, req);
	if (req->stalled)
		snprintf(req->why, sizeof(req->why), "nothing could be sent for %u seconds", registry->timeout_s);
	if (req->sink_failed)
		failed(req);
	else if (code != CURLE_OK && !req->text_cut && !is_complete(req))
		broken(req, req->stalled ? CURLE_OPERATION_TIMEDOUT : code);
	else
		answered(req);
}

/* --- running many --- */

struct run {
	struct ix_registry *registry;
	struct request *const *requests;
	size_t count;
	struct lane *lane;
	size_t flying;
};

static void start(struct run *run, struct request *req)
{
	int r = 0;

	if (req->scope)
		r = auth_header(run->registry, req->ep, req->repository, req->scope, &req->auth, &req->err);
	else
		secret_copy(&req->auth, &req->fixed_auth);
	if (r < 0) {
		done(req, r);
		return;
	}
	if (exchange_begin(run->registry, req, &req->err) < 0) {
		failed(req);
		return;
	}
	if (curl_multi_add_handle(run->lane->multi, req->easy) != CURLM_OK)
		ix_bug("curl_multi_add_handle failed");
	req->state = REQUEST_FLYING;
	run->flying++;
}

/* Start what is due, as far as the window allows. How long until the next is; UINT64_MAX: none waits. */
static uint64_t start_due(struct run *run)
{
	uint64_t now = ix_now_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < run->count && run->flying < WINDOW; i++) {
		struct request *req = run->requests[i];

		if (req->state != REQUEST_DUE)
			continue;
		if (req->due_ms <= now)
			start(run, req);
		else if (req->due_ms - now < next)
			next = req->due_ms - now;
	}
	return next;
}

static bool collect(struct run *run)
{
	CURLMsg *msg;
	int left;
	bool any = false;

	while ((msg = curl_multi_info_read(run->lane->multi, &left)) != NULL) {
		CURL *easy = msg->easy_handle;
		CURLcode code = msg->data.result;
		char *data = NULL;
		struct request *req;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &data);
		req = (struct request *)(void *)data;
		curl_multi_remove_handle(run->lane->multi, easy);
		run->flying--;
		finish(run->registry, req, code);
		any = true;
	}
	return any;
}

static void cancel_all(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		struct request *req = run->requests[i];

		if (req->state == REQUEST_DONE)
			continue;
		if (req->state == REQUEST_FLYING) {
			curl_multi_remove_handle(run->lane->multi, req->easy);
			exchange_end(run->registry, req);
		}
		ix_err_set(&req->err, IX_ECANCELED, "canceled");
		failed(req);
	}
}

static bool all_done(const struct run *run)
{
	for (size_t i = 0; i < run->count; i++)
		if (run->requests[i]->state != REQUEST_DONE)
			return false;
	return true;
}

void requests_run(struct ix_registry *registry, struct request *const *requests, size_t n)
{
	struct run run = { registry, requests, n, lane_borrow(&registry->lanes), 0 };
	const struct ix_cancel *cancel = registry->cancel;
	struct curl_waitfd wake = { .fd = ix_cancel_fd(cancel), .events = CURL_WAIT_POLLIN };

	for (;;) {
		uint64_t next;
		int running;

		if (ix_cancel_raised(cancel)) {
			cancel_all(&run);
			break;
		}
		next = start_due(&run);
		curl_multi_perform(run.lane->multi, &running);
		if (collect(&run))
			continue;
		if (run.flying == 0 && all_done(&run))
			break;
		curl_multi_poll(run.lane->multi, &wake, wake.fd >= 0 ? 1 : 0, next < 1000 ? (int)next : 1000, NULL);
	}
	lane_return(&registry->lanes, run.lane);
}

int request_run(struct ix_registry *registry, struct request *req, struct ix_err *err)
{
	requests_run(registry, &req, 1);
	if (req->result < 0)
		*err = req->err;
	return req->result;
}
