/* Options of docker build that ask for nothing that ix lacks, and those that ask for what is not there. */
#include <string.h>

#include "base/err.h"
#include "build_int.h"

static bool says_no(const char *value)
{
	return strcmp(value, "false") == 0 || strcmp(value, "0") == 0 || strcmp(value, "disabled=true") == 0;
}

int docker_opts_check(const struct docker_opts *opts, struct ix_err *err)
{
	if (opts->provenance && !says_no(opts->provenance))
		return ix_err_set(err, IX_EARG,
				  "--provenance=%s: attestations are not made: leave it out, or say false; the record beside a "
				  "project's image tells how it came about (ix explain)",
				  opts->provenance);
	if (opts->sbom && !says_no(opts->sbom))
		return ix_err_set(err, IX_EARG, "--sbom=%s: attestations are not made: leave it out, or say false", opts->sbom);
	if (opts->attest && !strstr(opts->attest, "disabled=true"))
		return ix_err_set(err, IX_EARG, "--attest: attestations are not made: leave it out");
	if (opts->cache_from || opts->cache_to)
		return ix_err_set(err, IX_EARG,
				  "%s: leave it out: what was built here is found again; for machines to share it give the project "
				  "a registry in ix.yaml",
				  opts->cache_to ? "--cache-to" : "--cache-from");
	if (opts->isolation && strcmp(opts->isolation, "default") != 0)
		return ix_err_set(err, IX_EARG, "--isolation %s: there is one kind, default", opts->isolation);
	if (opts->squash)
		return ix_err_set(err, IX_EARG, "--squash: BuildKit has none either: copy what is wanted into a last stage of its own");
	if (opts->builder && strcmp(opts->builder, "default") != 0)
		return ix_err_set(err, IX_EARG, "--builder %s: there is one builder, default", opts->builder);
	return 0;
}
