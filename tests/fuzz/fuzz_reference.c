/* Image references: what is accepted is written and read back as the same reference. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_give(const char *text, const struct ix_ref *want)
{
	ix_auto_ref ref = { 0 };
	struct ix_err err;

	if (ix_ref_parse(text, &ref, &err) < 0 || strcmp(ref.host, want->host) != 0 || strcmp(ref.repository, want->repository) != 0 ||
	    !ix_streq(ref.tag, want->tag) || !ix_streq(ref.digest, want->digest))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_auto_free char *text = ix_strndup((const char *)data, size);
	ix_auto_ref ref = { 0 };
	struct ix_err err;

	if (ix_ref_parse(text, &ref, &err) < 0)
		return 0;
	ix_auto_free char *whole = ix_ref_text(&ref);
	ix_auto_free char *familiar = ix_ref_familiar(&ref);
	must_give(whole, &ref);
	must_give(familiar, &ref);
	return 0;
}
