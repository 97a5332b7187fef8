/*
 * The door through which stages are built, whoever builds them: this machine (local), a fleet of others. A builder executes operations and
 * hands over the layer of each; keys, decisions, names and registries are not its business.
 */
#ifndef IX_BUILDER_BUILDER_H
#define IX_BUILDER_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "context/context.h"
#include "graph/graph.h"
#include "image/image.h"
#include "report/report.h"
#include "steps/steps.h"
#include "store/store.h"

/* --- what whoever asks gives along --- */

/* A secret for RUN --mount=type=secret: the contents of a file or of an environment variable. */
struct ix_build_secret {
	const char *id;
	const char *file; /* one of the two */
	const char *env;
};

/* An SSH agent of this machine for RUN --mount=type=ssh. */
struct ix_build_ssh {
	const char *id;
	const char *socket; /* absolute path */
};

/* The value of a secret, appended. -IX_ENOTFOUND when it was not given. */
int ix_build_secret_read(const struct ix_build_secret *secrets, size_t count, const char *id, struct ix_buf *ret_value, struct ix_err *err);

/* --- what steps print --- */

/* Kept for the record of a stage: "#2 RUN make" before each, cut at 8 MiB. Any thread may write. */
struct ix_step_log;
struct ix_step_log *ix_step_log_new(void);
void ix_step_log_free(struct ix_step_log *log);
IX_DEFINE_FREEP(struct ix_step_log, ix_step_log_free)
void ix_step_log_put(struct ix_step_log *log, const char *bytes, size_t len);
/* A line before what the step prints; number is 1-based; how: "" or "cached: ". */
void ix_step_log_step(struct ix_step_log *log, size_t number, const char *text, const char *how);
const struct ix_buf *ix_step_log_text(const struct ix_step_log *log);

/* --- one stage being built --- */

/* What a builder asks while it builds. Called from the thread that called build, in the order of operations. */
struct ix_build_provider {
	/* The image of another stage, or one from outside. The caller releases it. */
	int (*image)(void *data, const struct ix_source *source, struct ix_image *ret_image, struct ix_err *err);
	/* What source word or bind mount i of the step selected in its directory when the key was made; NULL: it is not one of a directory. */
	const struct ix_selection *(*selection)(void *data, size_t step, size_t i);
	/* 1: the layer of the operation is known, and is on the image now. 0: it has to be made, and given; nobody else makes it meanwhile. */
	int (*take)(void *data, const struct ix_operation *operation, struct ix_err *err);
	/* The layer that was made: it is on the image from now on. layer NULL: it could not be made. */
	int (*give)(void *data, const struct ix_operation *operation, const struct ix_step_result *layer, struct ix_err *err);
};

struct ix_build {
	const struct ix_stage *stage;
	const struct ix_operations *operations;
	const struct ix_image *image; /* the base's layers, and those of the operations that are done */
	struct ix_step_log *log;
	const struct ix_cancel *cancel;
	const struct ix_build_provider *provider;
	void *data; /* the provider's */
};

/* --- builders --- */

struct ix_builder {
	const struct ix_builder_ops *ops;
};

struct ix_builder_ops {
	const char *name; /* for messages: "local" */
	bool takes_steps; /* it asks for single layers before it makes them */
	/* All operations, one after the other. A command that failed is IX_ESTEP with its exit status; IX_ECANCELED soon after cancel is raised. */
	int (*build)(struct ix_builder *builder, const struct ix_build *build, struct ix_err *err);
	void (*free)(struct ix_builder *builder);
};

/* The same through the table: what ops->build says. */
int ix_builder_build(struct ix_builder *builder, const struct ix_build *build, struct ix_err *err);
void ix_builder_free(struct ix_builder *builder);
IX_DEFINE_FREEP(struct ix_builder, ix_builder_free)

/* Say that a step begins, and how it ended. status: 0, the command's exit status, or 1. */
void ix_build_step_begins(struct ix_sink *sink, const struct ix_build *build, const struct ix_operation *operation);
void ix_build_step_ended(struct ix_sink *sink, const struct ix_build *build, const struct ix_operation *operation, int status, uint64_t ms);

#endif
