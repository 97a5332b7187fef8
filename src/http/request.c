#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "http/exchange_int.h"
#include "http/http_int.h"
#include "http/pace_int.h"

enum { WINDOW = 64, CONNECT_TRIES = 2, SLOW_TRIES = 1, SLOW_WORTH = 1 << 20, REDIRECTS_MAX = 10 };

void ix_http_request_init(struct ix_http_request *req, struct ix_http *http, struct ix_http_site *site, const char *method, char *url_take)
{
	*req = (struct ix_http_request){
		.http = http,
		.site = site,
		.method = method,
		.url = url_take,
		.expect = UINT64_MAX,
		.retry = ix_http_retry(http),
		.reply = { .text = IX_BUF_INIT(REPLY_BODY_MAX) },
	};
	if (site->once)
		req->retry.max_tries = 0;
	ix_http_request_rearm(req);
}

void ix_http_request_rearm(struct ix_http_request *req)
{
	free(req->current_url);
	req->current_url = ix_strdup(req->url);
	req->state = IX_HTTP_DUE;
	req->due_ms = 0;
	req->redirects = req->refusals = 0;
	req->retry.tries = 0;
	req->retry.waited_ms = 0;
	req->slow_tries = 0;
	req->unreachable = false;
	req->stop_at_challenge = false;
	req->result = 0;
}

void ix_http_request_release(struct ix_http_request *req)
{
	free(req->url);
	free(req->current_url);
	free(req->audience);
	ix_secret_release(&req->auth);
	ix_strv_release(&req->headers);
	reply_release(&req->reply);
}

/* --- outcomes --- */

int ix_http_error(const struct ix_http_request *req, struct ix_err *err)
{
	ix_auto_free char *shown = ix_url_shown(req->url);

	return ix_err_wrap(err, "%s %s", req->method, shown);
}

static void done(struct ix_http_request *req, int result)
{
	req->state = IX_HTTP_DONE;
	req->result = result;
}

/* err is filled without saying about what. */
static void failed(struct ix_http_request *req)
{
	done(req, ix_http_error(req, &req->err));
}

static void send_again(struct ix_http_request *req, uint64_t wait_ms, bool from_start)
{
	if (from_start) {
		free(req->current_url);
		req->current_url = ix_strdup(req->url);
		req->redirects = 0;
	}
	req->state = IX_HTTP_DUE;
	req->due_ms = wait_ms ? ix_now_ms() + wait_ms : 0;
}

static bool may_repeat(const struct ix_http_request *req)
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

static void set_broken(struct ix_http_request *req, CURLcode code)
{
	ix_auto_free char *why = ix_printable(req->why[0] ? req->why : curl_easy_strerror(code), 250);
	const char *advice = NULL;

	req->code = code;
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		advice = req->site->certificate_advice;
	else if (code == CURLE_SSL_CONNECT_ERROR)
		advice = req->site->plain_advice;
	ix_err_set(&req->err, IX_EFAIL, "%s%s%s", why, advice ? ": " : "", advice ? advice : "");
}

static void broken(struct ix_http_request *req, CURLcode code)
{
	uint64_t got = req->resume ? *req->resume - req->resumed_at : 0, wait;
	bool slow = code == CURLE_OPERATION_TIMEDOUT;

	set_broken(req, code);
	req->unreachable = true;
	if ((is_connect_failure(code) || slow) && req->site->ops->unreachable)
		req->site->ops->unreachable(req->site);
	if (got > 0 && (!slow || got >= SLOW_WORTH)) /* it got somewhere: only the budget ends this */
		req->retry.tries = req->slow_tries = 0;
	else if (slow)
		req->slow_tries++;
	if (!is_transient(code) || !may_repeat(req) || (is_connect_failure(code) && req->retry.tries >= CONNECT_TRIES) ||
	    req->slow_tries > SLOW_TRIES || !ix_retry_again(&req->retry, 0, &wait)) {
		failed(req);
		return;
	}
	send_again(req, wait, true);
}

void ix_http_fail_like(struct ix_http_request *req, const struct ix_http_request *other)
{
	memcpy(req->why, other->why, sizeof(req->why));
	set_broken(req, (CURLcode)other->code);
	req->unreachable = true;
	failed(req);
}

static void ended_early(struct ix_http_request *req)
{
	snprintf(req->why, sizeof(req->why), "the body ends %llu bytes early", (unsigned long long)(req->expect - *req->resume));
	broken(req, CURLE_PARTIAL_FILE);
}

/* --- a reply --- */

int ix_http_check_plain(const struct ix_http_site *site, const char *url, struct ix_err *err)
{
	ix_auto_free char *origin = NULL, *authority = NULL, *shown = NULL;
	int r = ix_url_origin(url, &origin, err);

	if (r < 0 || ix_url_is_https(origin) || !site->ops->allows_plain)
		return r;
	authority = ix_url_authority(url);
	if (site->ops->allows_plain(site, authority))
		return 0;
	shown = ix_url_shown(url);
	return ix_err_set(err, IX_EFAIL, "%s leads to plain http: %s: refused, unless insecure: is set for it under registries: in ix.yaml",
			  site->name, shown);
}

/* Servers behind a proxy that ends TLS often name themselves with http. They are reached the way they were before. */
static void mend_scheme(const struct ix_http_request *req, char **url)
{
	ix_auto_free char *authority = ix_url_authority(*url);
	char *mended;

	if (ix_url_is_https(*url) || !ix_url_is_https(req->current_url) || !req->site->ops->allows_plain ||
	    !ix_strcaseeq(authority, req->site->authority))
		return;
	mended = ix_asprintf("https%s", *url + strlen("http"));
	free(*url);
	*url = mended;
}

int ix_http_locate(const struct ix_http_request *req, const char *location, char **ret_url, struct ix_err *err)
{
	ix_auto_free char *url = NULL;
	int r = ix_url_resolve(req->current_url, location, &url, err);

	if (r < 0)
		return r;
	mend_scheme(req, &url);
	r = ix_http_check_plain(req->site, url, err);
	if (r < 0)
		return r;
	*ret_url = ix_steal(&url);
	return 0;
}

static bool is_redirect(const struct ix_http_request *req)
{
	long status = req->reply.status;
	bool reads = strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0;

	if (!ix_http_header(&req->reply, "Location", 0))
		return false;
	return status == 307 || status == 308 || (reads && (status == 301 || status == 302 || status == 303));
}

static void follow(struct ix_http_request *req)
{
	char *url = NULL;

	if (++req->redirects > REDIRECTS_MAX) {
		ix_err_set(&req->err, IX_EFAIL, "more than %d redirects", REDIRECTS_MAX);
		failed(req);
		return;
	}
	if (ix_http_locate(req, ix_http_header(&req->reply, "Location", 0), &url, &req->err) < 0) {
		failed(req);
		return;
	}
	free(req->current_url);
	req->current_url = url;
	send_again(req, 0, false);
}

static void refused(struct ix_http_request *req)
{
	int r;

	req->refusals++;
	r = req->site->ops->refused(req, &req->err);
	if (r == 0 && !req->stop_at_challenge)
		send_again(req, 0, true);
	else if (r == 0 || r == -IX_EAUTH)
		done(req, 0); /* the 401 is the answer */
	else
		failed(req);
}

static void later(struct ix_http_request *req)
{
	uint64_t wait;

	if (may_repeat(req) && ix_retry_again(&req->retry, ix_http_retry_after(&req->reply), &wait))
		send_again(req, wait, true);
	else
		done(req, 0);
}

static void answered(struct ix_http_request *req)
{
	long status = req->reply.status;

	if (is_redirect(req)) {
		follow(req);
		return;
	}
	if (status == 401 && req->asks_site && !req->probe && req->redirects == 0) {
		refused(req);
		return;
	}
	if (ix_retry_status(status)) {
		later(req);
		return;
	}
	if (req->asks_site)
		req->site->ops->answered(req);
	if (status / 100 == 2 && req->resume && req->expect != UINT64_MAX && *req->resume < req->expect) {
		ended_early(req);
		return;
	}
	done(req, 0);
}

/* Every byte arrived, and only the end of the exchange went wrong. */
static bool is_complete(const struct ix_http_request *req)
{
	return req->resume && req->expect != UINT64_MAX && *req->resume == req->expect && req->reply.status / 100 == 2;
}

static void finish(struct ix_http_request *req, CURLcode code)
{
	exchange_end(req);
	if (req->slow != IX_HTTP_FAST)
		pace_words(req, req->why, sizeof(req->why));
	if (req->sink_failed)
		failed(req);
	else if (code != CURLE_OK && !req->text_cut && !is_complete(req))
		broken(req, req->slow != IX_HTTP_FAST ? CURLE_OPERATION_TIMEDOUT : code);
	else
		answered(req);
}

/* --- running many --- */

struct run {
	struct ix_http_request *const *requests;
	size_t count;
	struct lane *lane;
	size_t flying;
};

static void start(struct run *run, struct ix_http_request *req)
{
	int r = req->asks_site ? req->site->ops->authorize(req, &req->err) : 0;

	if (r < 0) {
		done(req, r);
		return;
	}
	if (exchange_begin(req, &req->err) < 0) {
		failed(req);
		return;
	}
	if (curl_multi_add_handle(run->lane->multi, req->easy) != CURLM_OK)
		ix_bug("curl_multi_add_handle failed");
	req->state = IX_HTTP_FLYING;
	run->flying++;
}

/* Start what is due, as far as the window allows. How long until the next is; UINT64_MAX: none waits. */
static uint64_t start_due(struct run *run)
{
	uint64_t now = ix_now_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < run->count && run->flying < WINDOW; i++) {
		struct ix_http_request *req = run->requests[i];

		if (req->state != IX_HTTP_DUE)
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
		struct ix_http_request *req;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &data);
		req = (struct ix_http_request *)(void *)data;
		curl_multi_remove_handle(run->lane->multi, easy);
		run->flying--;
		finish(req, code);
		any = true;
	}
	return any;
}

static void cancel_all(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		struct ix_http_request *req = run->requests[i];

		if (req->state == IX_HTTP_DONE)
			continue;
		if (req->state == IX_HTTP_FLYING) {
			curl_multi_remove_handle(run->lane->multi, req->easy);
			exchange_end(req);
		}
		ix_err_set(&req->err, IX_ECANCELED, "canceled");
		failed(req);
	}
}

static bool all_done(const struct run *run)
{
	for (size_t i = 0; i < run->count; i++)
		if (run->requests[i]->state != IX_HTTP_DONE)
			return false;
	return true;
}

void ix_http_run_many(struct ix_http *http, struct ix_http_request *const *requests, size_t n)
{
	struct run run = { requests, n, lane_borrow(&http->lanes), 0 };
	const struct ix_cancel *cancel = http->cancel;
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
	lane_return(&http->lanes, run.lane);
}

int ix_http_run(struct ix_http_request *req, struct ix_err *err)
{
	ix_http_run_many(req->http, &req, 1);
	if (req->result < 0)
		*err = req->err;
	return req->result;
}
