/* Project files, user configurations and lock files. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scope.h"
#include "project/project.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_scoped(ix_project_freep) struct ix_project *project = NULL;
	ix_scoped(ix_user_config_freep) struct ix_user_config *config = NULL;
	ix_auto_free char *text = calloc(1, size + 1);
	ix_scoped(ix_lock_freep) struct ix_lock *lock = NULL;
	struct ix_err err;

	for (size_t i = 0; i < size; i++)
		text[i] = (char)data[i];
	(void)ix_project_parse("ix.yaml", "/", text, size, &project, &err);
	(void)ix_lock_parse("ix.lock", text, size, &lock, &err);
	(void)ix_user_config_parse("config.yaml", text, size, &config, &err);
	return 0;
}
