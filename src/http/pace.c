#include "http/pace_int.h"

#include <stdio.h>

#include "http/http_int.h"

enum { COMMIT_TIMES = 10 /* a server may move a large body for minutes before it answers */ };

struct pace_limits pace_limits_of(const struct ix_http_request *req)
{
	uint64_t timeout_s = req->http->timeout_s;
	uint64_t window_s = req->site->once ? PACE_WINDOW_ONCE_S : PACE_WINDOW_S;
	uint64_t size = req->body ? req->body->size : 0, commit_s = size >> 20;
	bool endless = req->sink && req->expect == UINT64_MAX;

	if (commit_s > timeout_s * (COMMIT_TIMES - 1))
		commit_s = timeout_s * (COMMIT_TIMES - 1);
	if (req->sink && !endless)
		size += req->expect - req->resumed_at;
	return (struct pace_limits){
		.stall_ms = timeout_s * 1000,
		.answer_ms = (timeout_s + commit_s) * 1000,
		.window_ms = (window_s < timeout_s ? window_s : timeout_s) * 1000,
		.total_ms = endless ? UINT64_MAX : (timeout_s * 2 + commit_s + size / PACE_RATE_MIN) * 1000,
	};
}

static bool passed(uint64_t now_ms, uint64_t since_ms, uint64_t limit_ms)
{
	return now_ms > since_ms && now_ms - since_ms >= limit_ms;
}

enum ix_http_slow pace_look(struct ix_http_pace *pace, const struct pace_limits *limits, uint64_t now_ms, const struct pace_sight *sight)
{
	bool slow;

	if (!pace->begun_ms)
		*pace = (struct ix_http_pace){ .begun_ms = now_ms, .up_ms = now_ms };
	if (passed(now_ms, pace->begun_ms, limits->total_ms))
		return IX_HTTP_TOO_LONG;
	if (sight->up != pace->up) {
		pace->up = sight->up;
		pace->up_ms = now_ms;
	}
	if (sight->down == 0 && sight->up < sight->up_total)
		return passed(now_ms, pace->up_ms, limits->stall_ms) ? IX_HTTP_STALLED : IX_HTTP_FAST;
	if (sight->down == 0)
		return passed(now_ms, pace->up_ms, limits->answer_ms) ? IX_HTTP_SILENT : IX_HTTP_FAST;
	if (pace->window_ms && !passed(now_ms, pace->window_ms, limits->window_ms))
		return IX_HTTP_FAST;
	slow = pace->window_ms && (sight->down - pace->down) * 1000 < PACE_RATE_MIN * limits->window_ms;
	pace->window_ms = now_ms;
	pace->down = sight->down;
	return slow ? IX_HTTP_SLOW : IX_HTTP_FAST;
}

void pace_words(const struct ix_http_request *req, char *words, size_t size)
{
	struct pace_limits limits = pace_limits_of(req);

	switch (req->slow) {
	case IX_HTTP_STALLED:
		snprintf(words, size, "nothing could be sent for %llu seconds", (unsigned long long)limits.stall_ms / 1000);
		break;
	case IX_HTTP_SILENT:
		snprintf(words, size, "no answer for %llu seconds", (unsigned long long)limits.answer_ms / 1000);
		break;
	case IX_HTTP_SLOW:
		snprintf(words, size, "the answer comes slower than %d bytes a second", PACE_RATE_MIN);
		break;
	case IX_HTTP_TOO_LONG:
		snprintf(words, size, "not done after %llu seconds", (unsigned long long)limits.total_ms / 1000);
		break;
	case IX_HTTP_FAST:
		break;
	}
}

void pace_excuse(struct ix_http_pace *pace, uint64_t ms)
{
	pace->begun_ms += pace->begun_ms ? ms : 0;
	pace->window_ms += pace->window_ms ? ms : 0;
}
