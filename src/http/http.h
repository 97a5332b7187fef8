/*
 * HTTP as registry and remote need it: one thing asked of a server, from the first byte sent to an answer that means something. Redirects,
 * retries and authorization happen inside; who we are and whom to believe is said by the site that the caller gives. It knows no registry and
 * no store: bytes come from a body and go to a sink. It never prints. Here is curl at home.
 *
 * A client may be used by several threads at once, a request by one.
 */
#ifndef IX_HTTP_HTTP_H
#define IX_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/str.h"

/* --- secrets: owned copies that no formatter prints by accident, wiped before their memory goes back --- */

struct ix_secret {
	char *value;
};
void ix_secret_set(struct ix_secret *secret, const char *text); /* replaces by a copy; NULL clears */
void ix_secret_take(struct ix_secret *secret, char *text);      /* replaces; takes text */
void ix_secret_copy(struct ix_secret *to, const struct ix_secret *from);
void ix_secret_release(struct ix_secret *secret);
bool ix_secret_eq(const struct ix_secret *a, const struct ix_secret *b);
/* "Basic " and "<name>:<password>" in base64. Caller frees through a secret. */
char *ix_secret_basic(const char *name, const char *password);
/* Wipe a buffer or string that held secrets, and release it. */
void ix_secret_buf_release(struct ix_buf *buf);
void ix_secret_text_free(char *text);
#define ix_auto_secret     ix_scoped(ix_secret_release) struct ix_secret
#define ix_auto_secret_buf ix_scoped(ix_secret_buf_release) struct ix_buf

/* --- URLs, and the parts of them that decide whom to trust --- */

/* "https://host:port" in lower case with the port spelled out: two URLs that differ here are different servers. IX_EFAIL for what is not an
 * http or https URL, or carries a user name. */
int ix_url_origin(const char *url, char **ret_origin, struct ix_err *err);
/* host[:port] of an origin or URL, as it stands there. Caller frees. */
char *ix_url_authority(const char *url);
bool ix_url_is_https(const char *url);
/* localhost, *.localhost, 127.0.0.0/8 and [::1], with or without a port. */
bool ix_url_is_loopback(const char *authority);
/* What a Location or Link means on a page: absolute ones and queries stay byte for byte as they were sent. */
int ix_url_resolve(const char *page, const char *location, char **ret_url, struct ix_err *err);
/* The URL without "user:password@"; that, decoded, as a Basic authorization, empty when there is none. Caller frees. */
int ix_url_split_user(const char *url, char **ret_url, struct ix_secret *ret_basic, struct ix_err *err);
/* "?key=value" or "&key=value", percent-encoded, appended to a URL being built. */
void ix_url_add_query(struct ix_buf *url, const char *key, const char *value);
/* "key=value" or "&key=value", percent-encoded, appended to a form. */
void ix_url_add_form(struct ix_buf *form, const char *key, const char *value);
/* For messages: without user name, query and fragment, which may be secrets, and printable. Caller frees. */
char *ix_url_shown(const char *url);

/* --- when to try again: exponential, jittered, within a budget, and as the server asks --- */

struct ix_retry {
	unsigned tries; /* failures so far */
	unsigned max_tries;
	uint64_t waited_ms;
	uint64_t budget_ms; /* the sum of all waits */
};
/* Worth trying again: 408, 429 and the 5xx that mean "not now". */
bool ix_retry_status(long status);
/* Count a failure: true and how long to wait, or false when tries or budget are used up. after_ms 0: the server named no time. */
bool ix_retry_again(struct ix_retry *retry, uint64_t after_ms, uint64_t *ret_wait_ms);

/* --- trust: which certificates one host is believed with, and how ix shows who it is --- */

struct ix_http_trust {
	struct ix_buf bundle; /* PEM: the system's authorities and the host's own; empty: the system's alone */
	char *cert;           /* client certificate and key, or NULL */
	char *key;
	bool insecure; /* certificates are not checked */
};
/* Authorities from ca_file (NULL: none) and from certs.d/<name>/ of docker and containers, for both names of a host. */
int ix_http_trust_init(struct ix_http_trust *trust, const char *ca_file, const char *name, const char *authority, bool insecure,
		       struct ix_err *err);
void ix_http_trust_release(struct ix_http_trust *trust);
/* Something about this host was configured. */
bool ix_http_trust_is_own(const struct ix_http_trust *trust);

/* --- the client --- */

struct ix_http_opts {
	const struct ix_cancel *cancel; /* borrowed; may be NULL */
	unsigned connections;           /* per host in batches; 0: 8 */
	unsigned timeout_s;             /* without a byte either way before a connection counts as broken; 0: 60. Replies that come slower
					   than some 500 bytes a second are not waited for either, nor for ever for anything. */
	unsigned retry_s;               /* the most that one request waits between its tries, all together; 0: 120 */
};
/* Connections that stay warm, and what all requests share. */
struct ix_http;
struct ix_http *ix_http_new(const struct ix_http_opts *opts);
void ix_http_free(struct ix_http *http);
IX_DEFINE_FREEP(struct ix_http, ix_http_free)

/* What went over the wire: requests, body bytes down and up. */
struct ix_http_stats {
	uint64_t requests;
	uint64_t bytes_down;
	uint64_t bytes_up;
};
void ix_http_stats(const struct ix_http *http, struct ix_http_stats *ret_stats);
/* For who repeats more than one request: the client's tries and budget, unused. */
struct ix_retry ix_http_retry(const struct ix_http *http);
const struct ix_cancel *ix_http_cancel(const struct ix_http *http);

/* --- a site: a server as the caller knows it, embedded in what the caller keeps about it --- */

struct ix_http_request;
struct ix_http_site;

struct ix_http_site_ops {
	/* Set req->auth before a sending; empty: none. A failure ends the request. */
	int (*authorize)(struct ix_http_request *req, struct ix_err *err);
	/* A 401 came; req->refusals counts them, this one included. 0: send again; -IX_EAUTH: it is the answer, err is not filled. */
	int (*refused)(struct ix_http_request *req, struct ix_err *err);
	/* A reply other than 401 came to a request for which authorize was asked. */
	void (*answered)(struct ix_http_request *req);
	/* No connection could be made, or it is too slow to be waited for. */
	void (*unreachable)(struct ix_http_site *site);
	/* Plain http to this host[:port] is fine. */
	bool (*allows_plain)(const struct ix_http_site *site, const char *authority);
	/* Whom to believe at another host[:port]; NULL: as at the site, without showing who we are. */
	const struct ix_http_trust *(*trust_at)(const struct ix_http_site *site, const char *authority);
};

struct ix_http_site {
	const struct ix_http_site_ops *ops; /* each may be NULL; without allows_plain all plain http is fine */
	const char *name;                   /* as people call it */
	const char *authority;              /* host[:port] where it listens */
	struct ix_http_trust trust;
	const char *certificate_advice; /* what to do about a certificate that is not believed; NULL: nothing is known */
	const char *plain_advice;       /* what to do if it speaks plain http only */
	unsigned connect_s;             /* 0: 20 */
	bool once;                      /* somebody else may be asked instead: no retries here */
};

/* --- a request --- */

/* What is sent as a body: memory, or a piece of a file read with pread so that it can be sent again. */
struct ix_http_body {
	const void *bytes;
	int fd;          /* used when bytes is NULL */
	uint64_t offset; /* of the piece in the file */
	uint64_t size;
	uint64_t at;
};

struct ix_http_reply {
	long status;           /* 0: nothing */
	struct ix_strv fields; /* name, value, name, value, ... as sent */
	uint64_t length;       /* Content-Length; UINT64_MAX when it was not said */
	struct ix_buf text;    /* body of an error, as much of it as fits */
};
/* A header's value; several of a name are counted by nth. NULL: there is none. */
const char *ix_http_header(const struct ix_http_reply *reply, const char *name, size_t nth);
/* An HTTP date in seconds since 1970; false: it is none. */
bool ix_http_date(const char *value, int64_t *ret_s);
/* Content-Range "bytes <first>-<last>/<total or *>" (RFC 9110 section 14.4); an unknown total is UINT64_MAX. */
bool ix_http_content_range(const char *value, uint64_t *ret_first, uint64_t *ret_total);
/* An upload's Range "0-<last>": how many bytes the server has. Some write "bytes=" before it. */
bool ix_http_received_range(const char *value, uint64_t *ret_count);
/* The text of a Warning header "299 - \"...\"" (RFC 7234 section 5.5, distribution-spec); NULL: it is another one. Caller frees. */
char *ix_http_warning(const char *value);
/* The target with rel=next of a Link header (RFC 8288), NULL when there is none. Caller frees. */
char *ix_http_next_link(const char *value);
/* How long Retry-After asks to wait, 0 when it does not. */
uint64_t ix_http_retry_after(const struct ix_http_reply *reply);
const char *ix_http_status_words(long status);

/* Why an exchange was not waited for: what was sent did not move, no answer came, it came too slowly, all of it took too long. */
enum ix_http_slow { IX_HTTP_FAST, IX_HTTP_STALLED, IX_HTTP_SILENT, IX_HTTP_SLOW, IX_HTTP_TOO_LONG };
struct ix_http_pace {
	uint64_t begun_ms;
	uint64_t up, up_ms;       /* when what was sent last moved */
	uint64_t down, window_ms; /* where and when the window began */
};

enum ix_http_state { IX_HTTP_DUE, IX_HTTP_FLYING, IX_HTTP_DONE };
enum { IX_HTTP_WHY = 256 /* CURL_ERROR_SIZE */ };

/* A piece of a successful reply's body; req->reply's status and headers are set. */
typedef int ix_http_sink_fn(void *data, struct ix_http_request *req, const void *bytes, size_t len, struct ix_err *err);

struct ix_http_request {
	struct ix_http *http;
	struct ix_http_site *site;

	/* What to ask. */
	const char *method;
	char *url;                 /* absolute; retries start here again */
	bool asks_site;            /* the site is asked for authorization and about refusals */
	char *audience;            /* any URL of the only server that auth goes to; NULL: url's */
	struct ix_secret auth;     /* sent with it; asks_site: set anew before each sending */
	struct ix_strv headers;    /* "Accept: ..." */
	struct ix_http_body *body; /* NULL: none */
	bool idempotent_body;      /* the body may be sent again to the same URL after a failure */
	bool probe;                /* only asks how the server wants to be spoken to: any scheme, no retries */
	bool stop_at_challenge;    /* a first 401 is learned from, then the request is done */
	void *user;                /* for the site's functions */

	/* Where the answer goes: a sink, else a buffer, else nowhere. */
	ix_http_sink_fn *sink;
	void *sink_data;
	struct ix_buf *into;
	const uint64_t *resume; /* bytes the sink has already: sent as Range */
	uint64_t expect;        /* bytes the sink must have in the end; UINT64_MAX: unknown */
	void (*sent)(void *data, uint64_t done);
	void *sent_data;

	/* State. */
	enum ix_http_state state;
	char *current_url; /* after redirects */
	unsigned redirects;
	unsigned refusals; /* 401s of this request */
	unsigned slow_tries;
	struct ix_retry retry;
	uint64_t due_ms;
	uint64_t resumed_at; /* *resume when it was last sent */
	unsigned exchanges;  /* how often it was sent, over all */
	void *easy;
	void *lines;
	size_t head_bytes; /* of headers seen */
	char why[IX_HTTP_WHY];
	int code; /* curl's, of the last exchange that broke */
	struct ix_http_pace pace;
	enum ix_http_slow slow;
	bool text_cut, sink_failed;

	/* The outcome. */
	int result; /* 0: there is a reply, whatever its status; otherwise err says why there is none */
	struct ix_err err;
	bool unreachable; /* no answer at all: connecting, TLS, timeout, cut connection */
	struct ix_http_reply reply;
};

/* site is borrowed, url is taken. */
void ix_http_request_init(struct ix_http_request *req, struct ix_http *http, struct ix_http_site *site, const char *method, char *url_take);
void ix_http_request_release(struct ix_http_request *req);
#define ix_auto_http_request ix_scoped(ix_http_request_release) struct ix_http_request
/* Ready to be run once more. */
void ix_http_request_rearm(struct ix_http_request *req);
/* What a Location means, checked: no way down from https to plain http that was not allowed. */
int ix_http_locate(const struct ix_http_request *req, const char *location, char **ret_url, struct ix_err *err);
/* May what is meant for the site go to url? Plain http only where the site allows it. */
int ix_http_check_plain(const struct ix_http_site *site, const char *url, struct ix_err *err);

/* Run all to the end in the calling thread. Fills result (and err) of each. */
void ix_http_run_many(struct ix_http *http, struct ix_http_request *const *requests, size_t n);
/* Run one: its result, with err filled. */
int ix_http_run(struct ix_http_request *req, struct ix_err *err);
/* Fail without being sent, for the reason another request to the same server just did. */
void ix_http_fail_like(struct ix_http_request *req, const struct ix_http_request *other);
/* "METHOD url" in front of err, which is filled. Returns its negative code. */
int ix_http_error(const struct ix_http_request *req, struct ix_err *err);

#endif
