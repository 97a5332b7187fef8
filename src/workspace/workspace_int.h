/* What the files of the workspace share. */
#ifndef IX_WORKSPACE_WORKSPACE_INT_H
#define IX_WORKSPACE_WORKSPACE_INT_H

#include "base/map.h"
#include "context/context.h"
#include "workspace/workspace.h"

/* The context and Dockerfile of a lone build, read once. */
struct lone {
	bool ready;
	char *dir;          /* NULL: there is no context */
	char *path;         /* of the Dockerfile, for its own ignore file */
	char *shown;        /* how messages name it; NULL: by its path */
	struct ix_buf text; /* of the Dockerfile */
};

struct opened_context;
struct workspace {
	struct ix_workspace base;
	struct ix_workspace_opts opts;
	struct ix_cancel *cancel;
	struct ix_veil veil;  /* before the caller's sink */
	struct ix_sink *sink; /* the veil */
	struct ix_user_config *config;
	struct ix_stat_cache *stat_cache;

	/* while Dockerfiles become the graph */
	struct ix_dockerfile **files;
	size_t nfiles;
	struct ix_strv file_stages; /* whose Dockerfile each one is */
	bool judging;               /* configs of base images are read to see what is wrong with the language */
	struct ix_map facts;        /* of base images: image -> struct ix_image_facts */
	struct ix_map contexts;     /* directory -> struct ix_context */
	struct ix_map open;         /* stages being loaded, to notice cycles */
	unsigned depth;             /* of those that stand on each other */
	struct ix_run_spec run;     /* of RUN steps, as far as Dockerfiles do not say otherwise */
	struct lone lone;
	struct opened_context *opened; /* named contexts that were fetched, the last one first */
	int64_t context_time;          /* of a fetched context: commit time, Last-Modified, newest entry; 0: unknown */
	struct ix_strv dirs;           /* temporary, to remove */
	struct ix_ignore *lint_ignore; /* while a file is checked: its context's ignore rules, or NULL */
	struct ix_map resolved;        /* what was found out of what is outside; resolve.c */

	/* what was said, to say it once */
	struct ix_strv warned; /* warnings */
	struct ix_strv told;   /* checks among them, whomever they concern */
	unsigned nlost;        /* blobs of steps that were lost, and made it start over */
	size_t ndamaged;       /* images that could not be had */

	/* signatures */
	struct ix_trust trust;
	struct ix_public_key *trusted_keys;
	struct ix_private_key signing_key;
};

static inline struct workspace *workspace_of(struct ix_workspace *workspace)
{
	return (struct workspace *)workspace;
}
static inline const struct workspace *workspace_of_const(const struct ix_workspace *workspace)
{
	return (const struct workspace *)workspace;
}

/* --- warn.c --- */

void workspace_warn(struct workspace *ws, const char *fmt, ...) ix_printf(2, 3);
/* Text that lives as long as the graph. */
const char *workspace_keep(struct workspace *ws, char *text_take);

/* --- secret.c --- */

int secrets_parse(const struct ix_strv *specs, struct ix_secrets *secrets, struct ix_err *err);
void secrets_release(struct ix_secrets *secrets);
/* data: the workspace. For ix_state_inputs and ix_remotes_opts. */
int secret_digest(void *data, const char *id, struct ix_digest *ret_digest, struct ix_err *err);
int secret_value(void *data, const char *id, struct ix_buf *ret_value, struct ix_err *err);

/* The redactor learns the secrets of the request and the values of arguments that are called like secrets. */
void secrets_hide(struct workspace *ws);

/* --- pins.c --- */

/* Read ix.lock when there is one. */
int pins_load(struct workspace *ws, struct ix_err *err);
/* Pin what the steps of the graph fetch. */
int pins_apply(struct workspace *ws, struct ix_err *err);
int pins_image(const struct workspace *ws, const struct ix_source *source, bool *ret_pinned, struct ix_digest *ret_digest,
	       struct ix_err *err);

/* --- connect.c --- */

/* The registry's client and who is trusted, as configuration and project say. */
int connect_registry(struct workspace *ws, struct ix_err *err);
int connect_trust(struct workspace *ws, struct ix_err *err);

/* --- resolve.c --- */

/* Find out all at once what the sources from outside that the needed stages have are. */
int resolve_all(struct workspace *ws, const bool *needed, struct ix_err *err);
/* What it is: known, or asked for now. */
int resolve_image(struct workspace *ws, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err);
/* For ix_state_inputs: what resolve_all() found. data: the workspace. */
int resolved_image(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err);
int resolved_remote(void *data, const struct ix_remote *remote, char **ret_identity, struct ix_err *err);
void resolve_release(struct workspace *ws);

/* --- facts.c --- */

/* What is known of a base image's config. need: it is asked for. For ix_lower_opts; data: the workspace. */
const struct ix_image_facts *facts_of(void *data, const struct ix_source *image, bool need, struct ix_err *err);
/* What is to be built on an external image needs that image's config: it may hold ONBUILD triggers, which are steps of their own.
 * *ret_changed: one of them has some that the graph does not know of, or may say that a word is wrong. After the plan. */
int facts_learn(struct workspace *ws, bool *ret_changed, struct ix_err *err);
void facts_release(struct workspace *ws);

/* --- context.c --- */

/* A directory of files with the ignore file that holds for it: the one beside dockerfile (may be NULL), else its own. Takes path. */
const struct ix_dir *context_dir(struct workspace *ws, char *path_take, const char *dockerfile, const char *label);
int context_need_directory(const char *path, const char *what, struct ix_err *err);
/* A repository or archive by URL becomes a directory: 1. Another text is none: 0. A URL of a file that is no archive goes to ret_text, when that
 * is not NULL, and there is no directory. */
int context_remote(struct workspace *ws, const char *text, char **ret_dir, struct ix_buf *ret_text, struct ix_err *err);
/* The archive behind a descriptor. */
int context_unpack(struct workspace *ws, int fd, char **ret_dir, struct ix_err *err);
/* A directory in the store for as long as the workspace lives. */
int context_temporary(struct workspace *ws, char **ret_dir, struct ix_err *err);

/* --- lone.c --- */

/* Read the context and Dockerfile of a lone build, once. */
int lone_prepare(struct workspace *ws, struct ix_err *err);
void lone_release(struct lone *lone);

/* --- lint.c --- */

/* Run the checks of a file. It fails when something was found and the file wants that to be an error. */
int lint_file(struct workspace *ws, struct ix_dockerfile *file, const struct ix_lower_opts *given, struct ix_err *err);
/* Tell what was found in the files from the first on, unless it was told before or the workspace is only checking. */
void lint_tell(struct workspace *ws, size_t first);

/* --- epoch.c --- */

/* SOURCE_DATE_EPOCH for what is built: of the request, the environment or the Dockerfile; -1: none. When Dockerfiles and contexts are read. */
int epoch_find(struct workspace *ws, int64_t *ret_epoch, struct ix_err *err);

/* --- lower.c --- */

/* A stage of the project, loaded. NULL when there is none or, with *ret_failed, when it could not be loaded. data: the workspace. */
struct ix_stage *lower_project_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err);
/* The lone Dockerfile's last stage, or the target. */
int lower_lone(struct workspace *ws, struct ix_stage **ret_stage, struct ix_err *err);

#endif
