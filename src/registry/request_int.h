/*
 * One thing asked of a registry, from the first byte sent to an answer that means something: redirects, authentication and retries happen
 * inside. A request is a small state machine, so that one thread can run many at once (requests_run); running one is a batch of one.
 */
#ifndef IX_REGISTRY_REQUEST_INT_H
#define IX_REGISTRY_REQUEST_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "registry/endpoint_int.h"
#include "registry/retry_int.h"
#include "registry/secret_int.h"

enum { REPLY_HEADERS_MAX = 64 << 10, REPLY_BODY_MAX = 64 << 10, REDIRECTS_MAX = 10 };

/* What is sent as a body: memory, or a piece of a file read with pread so that it can be sent again. */
struct body {
	const void *bytes;
	int fd;          /* used when bytes is NULL */
	uint64_t offset; /* of the piece in the file */
	uint64_t size;
	uint64_t at;
};

/* What came back. */
struct reply {
	long status; /* 0: nothing */
	char *location;
	char *content_type;
	char *content_range;
	char *digest; /* Docker-Content-Digest */
	char *link;
	char *range;
	char *retry_after;
	struct ix_strv challenges; /* WWW-Authenticate */
	uint64_t length;           /* Content-Length; UINT64_MAX when it was not said */
	struct ix_buf text;        /* body of an error, as much of it as fits */
};

enum request_state { REQUEST_DUE, REQUEST_FLYING, REQUEST_DONE };

struct ix_registry;
struct request;
/* A piece of a successful reply's body; reply.status and headers are set. */
typedef int request_sink_fn(void *data, struct request *req, const void *bytes, size_t len, struct ix_err *err);

struct request {
	struct ix_registry *registry;

	/* What to ask. */
	struct endpoint *ep;
	const char *method;
	char *url;              /* absolute; retries start here again */
	const char *repository; /* at the endpoint; for credentials and scopes */
	const char *scope;      /* NULL: the request carries fixed_auth or nothing */
	struct ix_secret fixed_auth;
	struct ix_strv headers; /* "Accept: ..." */
	struct body *body;      /* NULL: none */
	bool idempotent_body;   /* the body may be sent again to the same URL after a failure */
	bool probe;             /* only asks how the server wants to be spoken to: any scheme, no retries */
	bool stop_at_challenge; /* a first 401 is learned from, then the request is done */

	/* Where the answer goes: a sink, else a buffer, else nowhere. */
	request_sink_fn *sink;
	void *sink_data;
	struct ix_buf *into;
	const uint64_t *resume; /* bytes the sink has already: sent as Range */
	uint64_t expect;        /* bytes the sink must have in the end; UINT64_MAX: unknown */
	void (*sent)(void *data, uint64_t done);
	void *sent_data;

	/* State. */
	enum request_state state;
	char *current_url; /* after redirects */
	unsigned redirects;
	unsigned refusals;     /* 401s of this request */
	struct ix_secret auth; /* what was sent last */
	struct retry retry;
	uint64_t due_ms;
	uint64_t resumed_at; /* *resume when it was last sent */
	unsigned exchanges;  /* how often it was sent, over all */
	CURL *easy;
	struct curl_slist *lines;
	size_t head_bytes; /* of headers seen */
	char why[CURL_ERROR_SIZE];
	CURLcode code;        /* of the last exchange that broke */
	curl_off_t sent_mark; /* of the body when it last moved, and when that was */
	uint64_t sent_mark_ms;
	bool text_cut, sink_failed, stalled;

	/* The outcome. */
	int result; /* 0: there is a reply, whatever its status; otherwise err says why there is none */
	struct ix_err err;
	bool unreachable; /* no answer at all: connecting, TLS, timeout, cut connection */
	struct reply reply;
};

/* url is taken. scope and repository are borrowed. */
void request_init(struct request *req, struct ix_registry *registry, struct endpoint *ep, const char *method, char *url_take);
void request_release(struct request *req);
#define auto_request ix_scoped(request_release) struct request
/* Ready to be run once more. */
void request_rearm(struct request *req);
/* What a Location means, checked: no way down from https to plain http that was not allowed. */
int request_locate(const struct request *req, const char *location, char **ret_url, struct ix_err *err);
/* May ep's credentials and bytes go to url? Plain http only where the configuration or the loopback rule allows it. */
int request_check_plain(struct ix_registry *registry, struct endpoint *ep, const char *url, struct ix_err *err);

/* Run all to the end in the calling thread. Fills result (and err) of each. */
void requests_run(struct ix_registry *registry, struct request *const *requests, size_t n);
/* Run one: its result, with err filled. */
int request_run(struct ix_registry *registry, struct request *req, struct ix_err *err);

/* Fail without being sent, for the reason another request to the same server just did. */
void request_fail_like(struct request *req, const struct request *other);

void reply_release(struct reply *reply);
/* The err of a reply that is not what was hoped for: "GET url: 404 not found: what the registry said". Returns its negative code. */
int reply_error(const struct request *req, struct ix_err *err);
/* "METHOD url" in front. */
int request_error(const struct request *req, struct ix_err *err);

/* For lane.c: the exchange of one request and its reply over curl. */
int exchange_begin(struct ix_registry *registry, struct request *req, struct ix_err *err);
void exchange_end(struct ix_registry *registry, struct request *req);

#endif
