/* Words with variables. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "graph/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *lookup(void *data, const char *name)
{
	(void)data;
	return name[0] == 'u' ? NULL : name[0] == 'e' ? "" : "some/value.tar.gz";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ix_expand_opts opts = { .lookup = lookup };
	ix_auto_free char *word = ix_strndup((const char *)data, size);
	ix_auto_free char *text = NULL;
	ix_auto_strv names = { 0 };
	struct ix_err err;

	if (ix_expand(&opts, word, &text, &err) < 0 && err.msg[0] == '\0')
		abort();
	ix_expand_names(&opts, word, &names);
	return 0;
}
