#include "http/retry_int.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/str.h"
#include "http/http.h"

enum { RETRY_AFTER_MAX_S = 86400 };

bool ix_retry_status(long status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool retry_after_parse(const char *value, int64_t now_s, uint64_t *ret_ms)
{
	uint64_t seconds;
	int64_t at;

	if (!ix_parse_u64(value, UINT32_MAX, &seconds)) {
		if (!ix_http_date(value, &at))
			return false;
		seconds = at > now_s ? (uint64_t)(at - now_s) : 0;
	}
	*ret_ms = (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
	return true;
}

uint64_t ix_http_retry_after(const struct ix_http_reply *reply)
{
	const char *value = ix_http_header(reply, "Retry-After", 0);
	uint64_t ms = 0;

	return value && retry_after_parse(value, ix_time_s(), &ms) ? ms : 0;
}

uint64_t retry_backoff(unsigned tries, uint32_t random)
{
	uint64_t whole = tries > 7 ? RETRY_CAP_MS : (uint64_t)RETRY_FIRST_MS << (tries - 1);

	if (whole > RETRY_CAP_MS)
		whole = RETRY_CAP_MS;
	return whole / 2 + random % (whole / 2 + 1);
}

bool ix_retry_again(struct ix_retry *retry, uint64_t after_ms, uint64_t *ret_wait_ms)
{
	uint32_t random = 0;
	uint64_t wait;

	if (++retry->tries > retry->max_tries)
		return false;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)ix_now_ms();
	wait = retry_backoff(retry->tries, random);
	if (after_ms > wait)
		wait = after_ms + random % 250; /* not all clients in the same instant */
	if (wait > retry->budget_ms - retry->waited_ms)
		return false;
	retry->waited_ms += wait;
	*ret_wait_ms = wait;
	return true;
}
