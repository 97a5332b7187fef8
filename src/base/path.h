/* Paths as text, with Go's path.Clean and path.Join semantics, because Dockerfiles are specified by them. Nothing here touches a file. */
#ifndef IX_BASE_PATH_H
#define IX_BASE_PATH_H

#include <stdbool.h>

/* Shortest equivalent: "a//b/../c/" gives "a/c", "" gives ".". ".." never climbs above "/". Caller frees. */
char *ix_path_clean(const char *path);
/* Clean of "a/b"; an absolute b does not replace a. Empty parts are skipped. Caller frees. */
char *ix_path_join(const char *a, const char *b);
/* b when it is absolute, otherwise a joined with b; cleaned. Caller frees. */
char *ix_path_resolve(const char *a, const char *b);
/* Last element, without copying: "/" and "" give themselves. */
const char *ix_path_base(const char *path);
/* Everything before the last element, cleaned; "." when there is none. Caller frees. */
char *ix_path_dir(const char *path);
/* Lexically inside: path equals dir or is below it. Both cleaned. */
bool ix_path_within(const char *dir, const char *path);
/* Go's filepath.Match on a whole name: * and ? match no '/', a [class] does, \ escapes; by characters. 1 match, 0 no match, -1 bad pattern. */
int ix_path_match(const char *pattern, const char *name);

#endif
