#include "http/http.h"

#include <pthread.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/err.h"
#include "http/http_int.h"

enum { CONNECTIONS = 8, TIMEOUT_S = 60, RETRY_S = 120, TRIES = 5 };

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ix_bug("curl_global_init failed");
}

struct ix_http *ix_http_new(const struct ix_http_opts *opts)
{
	struct ix_http *http = ix_calloc(1, sizeof(*http));

	pthread_once(&curl_once, start_curl);
	http->cancel = opts->cancel;
	http->timeout_s = opts->timeout_s ? opts->timeout_s : TIMEOUT_S;
	http->retry_s = opts->retry_s ? opts->retry_s : RETRY_S;
	lanes_init(&http->lanes, opts->connections ? opts->connections : CONNECTIONS);
	return http;
}

void ix_http_free(struct ix_http *http)
{
	if (!http)
		return;
	lanes_release(&http->lanes);
	free(http);
}

void ix_http_stats(const struct ix_http *http, struct ix_http_stats *ret_stats)
{
	*ret_stats = (struct ix_http_stats){
		.requests = atomic_load(&http->requests),
		.bytes_down = atomic_load(&http->bytes_down),
		.bytes_up = atomic_load(&http->bytes_up),
	};
}

struct ix_retry ix_http_retry(const struct ix_http *http)
{
	return (struct ix_retry){ .max_tries = TRIES, .budget_ms = http->retry_s * 1000ULL };
}

const struct ix_cancel *ix_http_cancel(const struct ix_http *http)
{
	return http->cancel;
}
