#include "http/exchange_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/trace.h"
#include "http/http_int.h"
#include "http/pace_int.h"
#include "http/trust_int.h"

enum { CONNECT_S = 20 };

_Static_assert(IX_HTTP_WHY == CURL_ERROR_SIZE, "req->why is curl's error buffer");

void reply_release(struct ix_http_reply *reply)
{
	ix_strv_release(&reply->fields);
	ix_buf_release(&reply->text);
	*reply = (struct ix_http_reply){ .text = IX_BUF_INIT(REPLY_BODY_MAX) };
}

/* --- headers of the reply --- */

static void take_reply(struct ix_http_request *req)
{
	struct ix_http_reply *reply = &req->reply;
	struct curl_header *header = NULL;
	const char *length;

	if (reply->status)
		return;
	curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &reply->status);
	while ((header = curl_easy_nextheader(req->easy, CURLH_HEADER, -1, header)) != NULL) {
		ix_strv_add(&reply->fields, header->name);
		ix_strv_add(&reply->fields, header->value);
	}
	length = ix_http_header(reply, "Content-Length", 0);
	if (!length || !ix_parse_u64(length, UINT64_MAX - 1, &reply->length))
		reply->length = UINT64_MAX;
}

/* curl keeps all headers in memory: a server that never stops sending them is cut off. */
static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
	struct ix_http_request *req = data;
	size_t len = size * count;

	(void)bytes;
	if (len > REPLY_HEADERS_MAX - req->head_bytes) {
		req->sink_failed = true;
		ix_err_set(&req->err, IX_ELIMIT, "the headers of the reply are larger than %d bytes", REPLY_HEADERS_MAX);
		return 0;
	}
	req->head_bytes += len;
	return len;
}

/* --- bodies --- */

static int take_bytes(struct ix_http_request *req, const char *bytes, size_t len)
{
	if (req->sink) {
		uint64_t begun_ms = ix_now_ms();
		int r = req->sink(req->sink_data, req, bytes, len, &req->err);

		pace_excuse(&req->pace, ix_now_ms() - begun_ms);
		return r;
	}
	return req->into ? ix_buf_append(req->into, bytes, len, &req->err) : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
	struct ix_http_request *req = data;
	size_t len = size * count;

	take_reply(req);
	atomic_fetch_add_explicit(&req->http->bytes_down, len, memory_order_relaxed);
	if (req->reply.status / 100 == 2) {
		if (take_bytes(req, bytes, len) == 0)
			return len;
		req->sink_failed = true;
		return 0;
	}
	if (len > REPLY_BODY_MAX - req->reply.text.len) {
		req->text_cut = true; /* enough for a message */
		return 0;
	}
	ix_buf_put(&req->reply.text, bytes, len);
	return len;
}

static size_t on_send(char *bytes, size_t size, size_t count, void *data)
{
	struct ix_http_request *req = data;
	struct ix_http_body *body = req->body;
	uint64_t left = body->size - body->at;
	size_t len = size * count < left ? size * count : (size_t)left;
	ssize_t n = (ssize_t)len;

	if (body->bytes)
		memcpy(bytes, (const char *)body->bytes + body->at, len);
	else if (len > 0)
		n = pread(body->fd, bytes, len, (off_t)(body->offset + body->at));
	if (n < 0 || (n == 0 && left > 0)) {
		req->sink_failed = true;
		if (n < 0)
			ix_err_sys(&req->err, "read what is to be sent");
		else
			ix_err_set(&req->err, IX_ECORRUPT, "what is to be sent ends %llu bytes early", (unsigned long long)left);
		return CURL_READFUNC_ABORT;
	}
	body->at += (uint64_t)n;
	atomic_fetch_add_explicit(&req->http->bytes_up, (uint_fast64_t)n, memory_order_relaxed);
	if (req->sent)
		req->sent(req->sent_data, body->offset + body->at);
	return (size_t)n;
}

/* curl rewinds and sends again when a connection it had kept turns out to be dead. An upload is not: the registry may have kept the part that
 * arrived, and would take the second try for its continuation. */
static int on_seek(void *data, curl_off_t offset, int origin)
{
	struct ix_http_request *req = data;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > req->body->size || (req->body->at > 0 && !req->idempotent_body))
		return CURL_SEEKFUNC_FAIL;
	req->body->at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct ix_http_request *req = data;
	struct pace_limits limits = pace_limits_of(req);
	struct pace_sight sight = { (uint64_t)up, req->body ? req->body->size : 0, req->head_bytes + (uint64_t)down };

	(void)down_total;
	(void)up_total;
	req->slow = pace_look(&req->pace, &limits, ix_now_ms(), &sight);
	return req->slow != IX_HTTP_FAST;
}

/* --- what is sent --- */

static void add_line(struct ix_http_request *req, const char *line)
{
	struct curl_slist *lines = curl_slist_append(req->lines, line);

	if (!lines)
		ix_bug("out of memory");
	req->lines = lines;
}

static void drop_lines(struct ix_http_request *req)
{
	for (struct curl_slist *line = req->lines; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(req->lines);
	req->lines = NULL;
}

static bool is_origin(const char *url, const char *other)
{
	ix_auto_free char *a = NULL, *b = NULL;
	struct ix_err ignored;

	return ix_url_origin(url, &a, &ignored) == 0 && ix_url_origin(other, &b, &ignored) == 0 && strcmp(a, b) == 0;
}

/* Credentials go only to the server they were meant for: never along with a redirect or an upload URL that leads to another one. */
static void add_authorization(struct ix_http_request *req)
{
	if (!req->auth.value || !is_origin(req->current_url, req->audience ? req->audience : req->url))
		return;
	ix_auto_secret line = { ix_asprintf("Authorization: %s", req->auth.value) };
	add_line(req, line.value);
}

static void add_lines(struct ix_http_request *req)
{
	for (size_t i = 0; i < req->headers.count; i++)
		add_line(req, req->headers.items[i]);
	add_authorization(req);
	if (req->body)
		add_line(req, "Expect:"); /* a round trip saved: authorization was checked by the POST before */
	req->resumed_at = req->resume ? *req->resume : 0;
	if (req->resumed_at > 0) {
		ix_auto_free char *line = ix_asprintf("Range: bytes=%llu-", (unsigned long long)req->resumed_at);

		add_line(req, line);
	}
}

static void set_method(struct ix_http_request *req)
{
	CURL *easy = req->easy;

	if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(req->method, "GET") == 0) {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		return;
	}
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_READDATA, req);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, req);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body->size);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, req->body->size > (1 << 20) ? 512L << 10 : 64L << 10);
	req->body->at = 0;
}

static void set_trust(struct ix_http_request *req)
{
	struct ix_http_site *site = req->site;
	ix_auto_free char *authority = ix_url_authority(req->current_url);
	const struct ix_http_trust *other = NULL;
	bool home = ix_strcaseeq(authority, site->authority);

	if (!home && site->ops->trust_at)
		other = site->ops->trust_at(site, authority);
	trust_apply(other ? other : &site->trust, home || other, req->easy);
	/* A proxy of the environment is for the world outside. */
	if (ix_url_is_loopback(authority))
		curl_easy_setopt(req->easy, CURLOPT_PROXY, "");
	/* Where HTTP/2 may be spoken it is better to wait for the first connection and share it than to open eight. */
	curl_easy_setopt(req->easy, CURLOPT_PIPEWAIT, ix_url_is_https(req->current_url) ? 1L : 0L);
}

static void set_times(struct ix_http_request *req)
{
	long connect = req->site->connect_s ? req->site->connect_s : CONNECT_S;
	long quiet = (long)req->http->timeout_s;

	curl_easy_setopt(req->easy, CURLOPT_CONNECTTIMEOUT, connect < quiet ? connect : quiet);
	curl_easy_setopt(req->easy, CURLOPT_TCP_KEEPALIVE, 1L);
}

int exchange_begin(struct ix_http_request *req, struct ix_err *err)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		return ix_err_set(err, IX_EFAIL, "curl_easy_init failed");
	req->easy = easy;
	req->exchanges++;
	req->head_bytes = 0;
	req->text_cut = req->sink_failed = false;
	req->pace = (struct ix_http_pace){ 0 };
	req->slow = IX_HTTP_FAST;
	req->why[0] = '\0';
	reply_release(&req->reply);
	if (req->into)
		ix_buf_reset(req->into);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, req);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_SHARE, req->http->lanes.share);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_URL, req->current_url);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "ix/" IX_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, req->why);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, req);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, req);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, req);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, req->sink ? 256L << 10 : 16L << 10);
	set_method(req);
	set_trust(req);
	set_times(req);
	add_lines(req);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, req->lines);
	atomic_fetch_add_explicit(&req->http->requests, 1, memory_order_relaxed);
	return 0;
}

void exchange_end(struct ix_http_request *req)
{
	curl_off_t us = 0;

	curl_easy_getinfo(req->easy, CURLINFO_TOTAL_TIME_T, &us);
	take_reply(req);
	if (ix_trace_on("http")) {
		ix_auto_free char *shown = ix_url_shown(req->current_url);

		ix_trace("http", "%s %s: %ld %s in %lld ms%s", req->method, shown, req->reply.status, req->why, (long long)us / 1000,
			 req->auth.value ? ", authorized" : "");
	}
	curl_easy_cleanup(req->easy);
	req->easy = NULL;
	drop_lines(req);
}
