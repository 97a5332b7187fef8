/* The two headers that say how much of something there is. */
#ifndef IX_REGISTRY_RANGE_INT_H
#define IX_REGISTRY_RANGE_INT_H

#include <stdbool.h>
#include <stdint.h>

/* Content-Range "bytes <first>-<last>/<total or *>" (RFC 9110 section 14.4); an unknown total is UINT64_MAX. */
bool range_parse_content(const char *text, uint64_t *ret_first, uint64_t *ret_total);
/* An upload's Range "0-<last>": how many bytes the registry has. Some write "bytes=" before it. */
bool range_parse_received(const char *text, uint64_t *ret_count);

#endif
