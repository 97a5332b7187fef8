/*
 * When an exchange is too slow to wait for, looked at about once a second: a body that is sent has to move, an answer has to begin, and once it has
 * begun it has to bring a minimum of bytes in every window; and all of it has an end.
 */
#ifndef IX_HTTP_PACE_INT_H
#define IX_HTTP_PACE_INT_H

#include <stdint.h>

#include "http/http.h"

enum { PACE_RATE_MIN = 512 /* bytes a second */, PACE_WINDOW_S = 20, PACE_WINDOW_ONCE_S = 10 };

struct pace_limits {
	uint64_t stall_ms;
	uint64_t answer_ms;
	uint64_t window_ms;
	uint64_t total_ms; /* UINT64_MAX: none */
};
/* What has gone so far. */
struct pace_sight {
	uint64_t up, up_total;
	uint64_t down; /* with headers */
};

struct pace_limits pace_limits_of(const struct ix_http_request *req);
enum ix_http_slow pace_look(struct ix_http_pace *pace, const struct pace_limits *limits, uint64_t now_ms, const struct pace_sight *sight);
/* What to say about req->slow, which is not IX_HTTP_FAST. */
void pace_words(const struct ix_http_request *req, char *words, size_t size);
/* Time that was ours: the sink took it. */
void pace_excuse(struct ix_http_pace *pace, uint64_t ms);

#endif
