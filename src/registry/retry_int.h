/* When to try again and how long to wait: exponential, jittered, within a budget, and as the server asks. */
#ifndef IX_REGISTRY_RETRY_INT_H
#define IX_REGISTRY_RETRY_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"

enum { RETRY_FIRST_MS = 500, RETRY_CAP_MS = 30000 };

struct retry {
	unsigned tries; /* failures so far */
	unsigned max_tries;
	uint64_t waited_ms;
	uint64_t budget_ms; /* the sum of all waits */
};

/* Worth trying again: 408, 429 and the 5xx that mean "not now". */
bool retry_status(long status);
/* Retry-After: seconds or an HTTP date (RFC 9110 section 10.2.3), as milliseconds from now. */
bool retry_after_parse(const char *value, int64_t now_s, uint64_t *ret_ms);
/* Between half of and the whole of first * 2^(tries - 1), at most the cap. tries >= 1; random is any number. */
uint64_t retry_backoff(unsigned tries, uint32_t random);
/* Count a failure: true and how long to wait, or false when tries or budget are used up. after_ms 0: the server named no time. */
bool retry_again(struct retry *retry, uint64_t after_ms, uint64_t *ret_wait_ms);

#endif
