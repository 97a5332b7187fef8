/* Shell patterns of ${v#p}, ${v%p} and ${v/p/r}: * ? and backslashes, by characters; nothing matches a newline but itself. */
#ifndef IX_GRAPH_PATTERN_INT_H
#define IX_GRAPH_PATTERN_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Bytes of the character at text, which ends at end: 1 for what is no UTF-8. at < end. */
size_t graph_char(const char *at, const char *end);
/* A backslash stands before * ? \ } or /, or the pattern is malformed. */
bool graph_pattern_valid(const char *pattern);
/* Where value is cut: its beginning, or its end with suffix, as far as the pattern goes. *ret_from and *ret_to enclose what is left. */
void graph_pattern_strip(const char *pattern, const char *value, bool suffix, bool longest, size_t *ret_from, size_t *ret_to);
/* value with what the pattern finds replaced, once or everywhere, appended to out; false when that goes over limit. Everywhere, a "$0" of the
 * replacement stands for what was found and "$$" for a dollar sign. */
bool graph_pattern_replace(const char *pattern, const char *value, const char *with, bool all, size_t limit, struct ix_buf *out);

#endif
