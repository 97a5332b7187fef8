/* WWW-Authenticate values and scopes, from servers nobody vouches for. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "registry/challenge_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_auto_free char *value = ix_strndup((const char *)data, size);
	auto_challenges list = { 0 };
	const struct challenge *best;

	challenges_parse(&list, value);
	best = challenges_best(&list);
	if (best && best->scope) {
		ix_auto_free char *joined = scope_join("repository:a/b:pull", best->scope);

		/* what was joined is covered, so a second refusal for the same scope ends the dance */
		if (!scope_covers(joined, best->scope) || !scope_covers(joined, "repository:a/b:pull"))
			abort();
	}
	return 0;
}
