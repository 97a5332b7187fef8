/* Dockerfiles: parsed, checked, outlined and lowered, with a build argument. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scope.h"
#include "dockerfile/dockerfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ix_dir context = { "/ctx", NULL, "." };
	static const struct ix_build_arg args[] = { { "A", "value" } };
	const struct ix_lower_opts opts = { .name = "app", .platform = "linux/amd64", .context = &context, .args = args, .nargs = 1 };
	ix_scoped(ix_dockerfile_freep) struct ix_dockerfile *file = NULL;
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	struct ix_outline outline;
	struct ix_stage *stage;
	struct ix_err err;

	if (ix_dockerfile_parse("Dockerfile", (const char *)data, size, &file, &err) < 0)
		return 0;
	ix_dockerfile_lint(file, &opts);
	(void)ix_dockerfile_outline(file, &opts, &outline, &err);
	(void)ix_dockerfile_lower(file, &opts, graph, &stage, NULL, &err);
	return 0;
}
