/* Manifests, indexes and configs from a registry. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scope.h"
#include "oci/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_index index = { 0 };
	struct ix_err err;
	bool is_index;

	(void)ix_is_index("", data, size, &is_index, &err);
	if (ix_manifest_parse(data, size, &manifest, &err) == 0) {
		ix_auto_buf json = { 0 };

		ix_manifest_json(&manifest, &json);
	}
	(void)ix_index_parse(data, size, &index, &err);
	if (ix_config_parse(data, size, &config, &err) == 0) {
		ix_auto_config copy = { 0 };

		ix_config_copy(&config, &copy);
	}
	return 0;
}
