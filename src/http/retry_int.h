/* The arithmetic of waiting. */
#ifndef IX_HTTP_RETRY_INT_H
#define IX_HTTP_RETRY_INT_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_FIRST_MS = 500, RETRY_CAP_MS = 30000 };

/* Retry-After: seconds or an HTTP date (RFC 9110 section 10.2.3), as milliseconds from now. */
bool retry_after_parse(const char *value, int64_t now_s, uint64_t *ret_ms);
/* Between half of and the whole of first * 2^(tries - 1), at most the cap. tries >= 1; random is any number. */
uint64_t retry_backoff(unsigned tries, uint32_t random);

#endif
