/*
 * The Dockerfile language, from syntax tree to graph: what names and variables stand for, which stages are needed, checks, outline. It reads no
 * files and asks nobody but its callbacks; every mistake is an error with file:line:column, an excerpt with a caret, and the nearest name.
 * Reference: docker/dockerfile 1.26.
 */
#ifndef IX_DOCKERFILE_DOCKERFILE_H
#define IX_DOCKERFILE_DOCKERFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "graph/graph.h"
#include "syntax/syntax.h"

/* The default of an ARG before the first FROM, as written; NULL when there is none. */
const char *ix_dockerfile_global(const struct ix_dockerfile *file, const char *name);

/* A build argument given from outside. */
struct ix_build_arg {
	const char *name;
	const char *value; /* NULL: unset */
};

struct ix_named_context {
	const char *name;
	struct ix_source source;
	const char *pending; /* what is fetched when something uses it, in place of source; NULL: nothing */
};

struct ix_lower_opts {
	const char *name;     /* stage name in the graph; inner stages become "name.inner" */
	const char *target;   /* inner stage to stop at (name or number), NULL: the last */
	const char *platform; /* target platform, "linux/amd64" */
	const char *build_platform;
	const struct ix_dir *context; /* NULL: there is none (Dockerfile on standard input) */
	const struct ix_build_arg *args;
	size_t nargs;
	const struct ix_named_context *contexts;
	size_t ncontexts;
	const struct ix_run_spec *run; /* of RUN steps, as far as they do not say otherwise; outlives the graph. NULL: defaults */
	bool allow_insecure;           /* RUN --security=insecure is permitted */

	/* A stage of the project by name, NULL when there is none, for FROM, --from and from=. It is lowered when this returns.
	 * "stage:NAME" as a whole expanded value asks for NAME and must exist. A failure (a cycle, an error in its file) sets *ret_failed and err. */
	struct ix_stage *(*find_stage)(void *data, const char *name, bool *ret_failed, struct ix_err *err);
	/* What a pending context is, fetched now. */
	int (*open_context)(void *data, const struct ix_named_context *context, struct ix_source *ret_source, struct ix_err *err);
	/* Names for suggestions, NULL terminated; may be NULL. */
	const char *const *stage_names;
	/* Facts of an external base image; NULL when not known. need: the graph cannot be made without them, so they are read now and NULL
	 * means failure with err set. Without need, only what is known already. */
	const struct ix_image_facts *(*facts)(void *data, const struct ix_source *image, bool need, struct ix_err *err);
	/* Would the build context leave the path out? For checks; may be NULL. */
	bool (*ignored)(void *data, const char *path);
	bool lint_needs_facts; /* checks may fetch configs of base images */
	void *data;
};

/* The build checks that look at instructions and stages; those of lines were made by parsing. */
void ix_dockerfile_lint(const struct ix_dockerfile *file, const struct ix_lower_opts *opts);
/* What a file offers. */
struct ix_outline_item {
	const char *name;        /* NULL: a stage without a name */
	const char *value;       /* of an argument; of a target: its base */
	const char *platform;    /* of a target: as its FROM names it, or NULL */
	const char *description; /* from the comment above it, or NULL */
	bool required;           /* secrets, ssh */
	unsigned line;
};
struct ix_outline {
	const char *name, *description; /* of the target; NULL when it has none */
	struct ix_outline_item *args, *secrets, *ssh, *targets;
	size_t nargs, nsecrets, nssh, ntargets;
};
/* The arguments, secrets and agents that opts->target uses, and all targets. Everything lives as long as file. */
int ix_dockerfile_outline(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_outline *ret_outline,
			  struct ix_err *err);
/* Lower every stage, needed or not, for its mistakes alone: the first one is IX_EARG. What is not to be had meanwhile is none. */
int ix_dockerfile_check_all(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_err *err);

/* Add the file's stages that target needs to graph, and return the target's stage. Unused inner stages are checked but not added.
 * Unused build args are returned in *unused (names appended) when unused is not NULL. */
int ix_dockerfile_lower(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, struct ix_graph *graph,
			struct ix_stage **ret_stage, struct ix_strv *unused, struct ix_err *err);

#endif
