/* One pattern of an ignore file, matched against paths as moby's patternmatcher does it. */
#ifndef IX_CONTEXT_PATTERN_INT_H
#define IX_CONTEXT_PATTERN_INT_H

#include <stdbool.h>
#include <stddef.h>

struct pattern;
/* text: clean, without "!". NULL when it is malformed. */
struct pattern *pattern_compile(const char *text);
void pattern_free(struct pattern *pattern);
/* Which of path's beginnings match: hits[i] of its first i + 1 elements. There are as many hits as elements, all false before. states: room for
 * pattern_states() bytes. */
void pattern_match(const struct pattern *pattern, const char *path, bool *hits, unsigned char *states);
size_t pattern_states(const struct pattern *pattern);

#endif
