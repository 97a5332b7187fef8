/* Records of stages, as a registry sends them: parsed, and two of them compared. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/scope.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_scoped(ix_record_freep) struct ix_record *record = NULL;
	const uint8_t *cut = memchr(data, '\n', size);
	size_t first = cut ? (size_t)(cut - data) : size;
	ix_auto_causes causes = { 0 };
	ix_auto_buf then = { 0 }, now = { 0 };
	struct ix_err err;

	ix_buf_put(&then, data, first);
	ix_buf_put(&now, data + first, size - first);
	(void)ix_record_parse(&then, &record, &err);
	(void)ix_account_diff(&then, &now, NULL, &causes, &err);
	return 0;
}
