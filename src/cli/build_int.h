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

/* --- ssh.c --- */

struct agents {
	struct ix_build_ssh *items;
	size_t count;
	struct ix_strv texts;
	int *pids; /* agents that were started here, for key files */
	size_t npids;
	char *dir; /* of their sockets */
};
/* default, ID, ID=SOCKET or ID=KEY[,KEY...]: keys are given to an agent that lives as long as the build. */
int ssh_parse(const struct ix_strv *specs, struct agents *agents, struct ix_err *err);
void ssh_release(struct agents *agents);

struct build_opts {
	struct ix_strv operands, outputs, ssh;
	const char *compression, *compression_level, *jobs, *iidfile, *metadata_file, *call;
	bool no_build;
	bool push, no_push, load, check;
	struct outputs parsed;
	struct agents agents;
};

/* "a=b,c=d" as a list of fields; a field may stand in double quotes. */
void csv_fields(const char *text, struct ix_strv *fields);
const char *csv_get(const struct ix_strv *fields, const char *key); /* NULL when it is not there */

/* All --output options, checked. push: there is one more, to the registry. */
int outputs_parse(const struct ix_strv *specs, bool push, struct outputs *ret_outputs, struct ix_err *err);
void outputs_release(struct outputs *outputs);
bool outputs_to_stdout(const struct outputs *outputs);
/* Tags, outputs, --iidfile and --metadata-file of the one target. *ret_manifest: the image as it went out. */
int outputs_write(struct session *session, const struct build_opts *opts, const struct ix_engine_opts *engine, const struct ix_engine *run,
		  struct ix_digest *ret_manifest, struct ix_err *err);
/* A level of that compression. */
int compression_level(const char *value, enum ix_compression kind, int *ret_level, struct ix_err *err);
int compression_parse(const char *name, enum ix_compression *ret_kind, struct ix_err *err);

#endif
