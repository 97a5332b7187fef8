/* ix build: what its files share. */
#ifndef IX_CLI_BUILD_INT_H
#define IX_CLI_BUILD_INT_H

#include "cli_int.h"

/* --- output.c --- */

struct output;
struct outputs {
	struct output *items;
	size_t count;
};

/* --- compat.c --- */

/* What people's docker commands say besides. */
struct docker_opts {
	const char *provenance, *sbom, *attest, *cache_from, *cache_to, *builder, *isolation;
	bool rm, force_rm, debug; /* nothing is left behind anyhow, and nothing is hidden */
	bool compress, squash;    /* no context is sent */
};
#define DOCKER_OPTIONS(d)                                                                                                                  \
	{ 0, "provenance", "false", OPT_TEXT, &(d)->provenance, "as in docker; false is what is done" },                                   \
		{ 0, "sbom", "false", OPT_TEXT, &(d)->sbom, "the same" }, { 0, "attest", "SPEC", OPT_TEXT, &(d)->attest, "refused" },      \
		{ 0, "cache-from", "SPEC", OPT_TEXT, &(d)->cache_from, "refused: a project's registry is its cache" },                     \
		{ 0, "cache-to", "SPEC", OPT_TEXT, &(d)->cache_to, "refused, too" },                                                       \
		{ 0, "builder", "default", OPT_TEXT, &(d)->builder, "there is one" },                                                      \
		{ 0, "isolation", "default", OPT_TEXT, &(d)->isolation, "there is one" },                                                  \
		{ 0, "compress", NULL, OPT_FLAG, &(d)->compress, "no context is sent" },                                                   \
		{ 0, "squash", NULL, OPT_FLAG, &(d)->squash, "refused: use a last stage" },                                                \
		{ 0, "rm", NULL, OPT_FLAG, &(d)->rm, "always done" }, { 0, "force-rm", NULL, OPT_FLAG, &(d)->force_rm, "always done" },    \
	{                                                                                                                                  \
		'D', "debug", NULL, OPT_FLAG, &(d)->debug, "as in docker; IX_TRACE shows what rooms do"                                    \
	}
/* Is what they ask for there? */
int docker_opts_check(const struct docker_opts *opts, struct ix_err *err);

struct build_opts {
	struct docker_opts docker;
	struct ix_strv operands, outputs, ssh;
	const char *compression, *compression_level, *jobs, *iidfile, *metadata_file, *call;
	bool no_build;
	bool push, no_push, load, check;
	struct outputs parsed;
	struct ix_agents agents;
};

/* All --output options, checked. push: there is one more, to the registry. */
int outputs_parse(const struct ix_strv *specs, bool push, struct outputs *ret_outputs, struct ix_err *err);
void outputs_release(struct outputs *outputs);
bool outputs_to_stdout(const struct outputs *outputs);
/* Tags, outputs, --iidfile and --metadata-file of the one target. *ret_manifest: the image as it went out. */
int outputs_write(struct session *session, const struct build_opts *opts, const struct ix_image_opts *image, const struct ix_engine *run,
		  struct ix_digest *ret_manifest, struct ix_err *err);

#endif
