#include "registry/range_int.h"

#include <string.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "base/str.h"

bool range_parse_content(const char *text, uint64_t *ret_first, uint64_t *ret_total)
{
	ix_auto_free char *copy = ix_strdup(text);
	char *dash, *slash;
	uint64_t last;

	if (!copy || !ix_starts(copy, "bytes "))
		return false;
	dash = strchr(copy, '-');
	slash = strchr(copy, '/');
	if (!dash || !slash || slash < dash)
		return false;
	*dash = *slash = '\0';
	*ret_total = UINT64_MAX;
	if (strcmp(slash + 1, "*") != 0 && !ix_parse_u64(slash + 1, UINT64_MAX - 1, ret_total))
		return false;
	return ix_parse_u64(copy + 6, UINT64_MAX - 1, ret_first) && ix_parse_u64(dash + 1, UINT64_MAX - 1, &last) && *ret_first <= last;
}

bool range_parse_received(const char *text, uint64_t *ret_count)
{
	uint64_t last;

	if (ix_starts(text, "bytes="))
		text += strlen("bytes=");
	if (!ix_starts(text, "0-") || !ix_parse_u64(text + 2, UINT64_MAX - 1, &last))
		return false;
	*ret_count = last + 1;
	return true;
}
