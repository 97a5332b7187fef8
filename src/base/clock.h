/* Time. */
#ifndef IX_BASE_CLOCK_H
#define IX_BASE_CLOCK_H

#include <stdint.h>

uint64_t ix_now_ms(void); /* monotonic */
int64_t ix_time_s(void);  /* seconds since the epoch */
/* RFC 3339 in UTC, "2026-11-24T01:02:03Z". */
void ix_rfc3339(int64_t seconds, char out[static 32]);

#endif
