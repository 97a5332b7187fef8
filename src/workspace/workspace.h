/*
 * From what is asked, a request for stages of a project or for a lone Dockerfile, to a graph with keys and a plan: files are read, Dockerfiles become
 * stages, what is outside is found out and pinned. It prints nothing and builds nothing.
 */
#ifndef IX_WORKSPACE_WORKSPACE_H
#define IX_WORKSPACE_WORKSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "builder/builder.h"
#include "cache/cache.h"
#include "dockerfile/dockerfile.h"
#include "engine/engine.h"
#include "graph/graph.h"
#include "local/local.h"
#include "plan/plan.h"
#include "project/project.h"
#include "registry/registry.h"
#include "remote/remote.h"
#include "report/report.h"
#include "state/state.h"
#include "store/store.h"

/* --- what is asked --- */

/* --secret, parsed. */
struct ix_secrets {
	struct ix_build_secret *items;
	size_t count;
	struct ix_strv texts;
};

/* Words of the command line, and after ix_request_settle() what they mean. */
struct ix_request {
	struct ix_strv stages;    /* named targets; none: all that nobody builds on */
	const char *lone_context; /* a lone Dockerfile's context, NULL in a project */
	const char *lone_file;    /* -f */
	const char *target;
	const char *platform;
	const char *channel;       /* instead of the git branch */
	struct ix_strv build_args; /* K=V, or K from the environment */
	struct ix_strv build_contexts;
	struct ix_strv labels;
	struct ix_strv tags;
	struct ix_strv force;
	struct ix_strv annotations;
	struct ix_strv no_cache_filter; /* inner stages */
	struct ix_strv add_hosts, ulimits, allow, secrets;
	const char *network, *shm_size, *tls;
	bool force_all, no_cache, pull, allow_insecure;
	bool publish;
	bool complete;      /* what is found in the registry is completed there */
	bool require_cache; /* a registry that cannot be asked is an error */
	bool locked;        /* everything external has to be in ix.lock */
	bool offline;       /* nothing is asked of the network */
	bool locking;       /* ix.lock is being written: it pins nothing */
	bool checking;      /* Dockerfiles are checked, not built: checks are kept for printing, and may fetch configs of base images */
	bool whole;         /* of a Dockerfile every stage is looked at, needed or not */

	struct ix_arena *arena;        /* of run */
	struct ix_run_spec run;        /* what is said of all RUN steps */
	struct ix_secrets secret_list; /* of secrets */
};
#define IX_REQUEST_INIT                                                                                                                    \
	{                                                                                                                                  \
		.run = IX_RUN_SPEC_INIT                                                                                                    \
	}
void ix_request_release(struct ix_request *request);
#define ix_auto_request ix_scoped(ix_request_release) struct ix_request

/* Operands are stages, or one PATH, URL or "-" of a lone Dockerfile. in_project: a project file was named. */
int ix_request_operands(const struct ix_strv *operands, struct ix_request *request, bool in_project, struct ix_err *err);
/* Check what the words say and fill what they become. Once, before ix_workspace_new(). */
int ix_request_settle(struct ix_request *request, struct ix_err *err);
/* The value of --build-arg NAME=VALUE, NULL when it was not given so. */
const char *ix_request_arg(const struct ix_request *request, const char *name);

/* --- the workspace --- */

struct ix_workspace_opts {
	const char *project_file; /* NULL: ix.yaml when it is there */
	const char *config;       /* the user's configuration; NULL: its usual place */
	const char *store;        /* NULL: as the configuration or $IX_STORE says, root's or the user's own place */
	struct ix_cancel *cancel;
};

/* Callers read it; it changes it itself. */
struct ix_workspace {
	const struct ix_request *request;
	struct ix_project *project;   /* NULL for a lone Dockerfile */
	struct ix_lock *lock;         /* ix.lock, NULL: there is none */
	struct ix_redactor *redactor; /* knows the secrets of the request, the project and the registries */

	/* after ix_workspace_open() */
	struct ix_store *store;
	struct ix_registry *registry;
	struct ix_cache *cache;
	struct ix_remotes *remotes;

	/* after ix_workspace_load() */
	struct ix_graph *graph;
	struct ix_stage **targets;
	size_t ntargets;
	int64_t epoch;    /* SOURCE_DATE_EPOCH for what is built, -1: none */
	char *remembered; /* under which the last builds are remembered: the project, or the Dockerfile and its context */

	/* after ix_workspace_plan() */
	struct ix_state *state;
	struct ix_plan *plan;
	struct ix_strv channels; /* its own, then the default branch's; none without a registry */
};

/* Read the user's configuration, the project file and ix.lock: no thread is started and nothing else is opened. The request is borrowed. */
int ix_workspace_new(const struct ix_workspace_opts *opts, const struct ix_request *request, struct ix_workspace **ret_workspace,
		     struct ix_err *err);
/* Store, registry and cache. sink (may be NULL) hears what is going on, until the workspace is freed. */
int ix_workspace_open(struct ix_workspace *workspace, struct ix_sink *sink, struct ix_err *err);
void ix_workspace_free(struct ix_workspace *workspace);
IX_DEFINE_FREEP(struct ix_workspace, ix_workspace_free)

/* A warning, once. */
void ix_workspace_warn(struct ix_workspace *workspace, const char *fmt, ...) ix_printf(2, 3);

/* Read everything and make the graph, without keys or a plan. */
int ix_workspace_load(struct ix_workspace *workspace, struct ix_err *err);
/* The graph with keys and a plan, asking for base images' configs only when something has to be built on them. May be called again. */
int ix_workspace_plan(struct ix_workspace *workspace, struct ix_err *err);
/* Did it fail because an image that was found could not be had? That is told, and the next ix_workspace_plan goes without it. */
bool ix_workspace_again(struct ix_workspace *workspace, const struct ix_err *err);
/* Warn of what a project had better not do. After ix_workspace_plan. */
void ix_workspace_advise(struct ix_workspace *workspace);

/* The channels of a build of this checkout, appended; first: instead of its branch, or NULL. */
void ix_workspace_channels(const struct ix_workspace *workspace, const char *first, struct ix_strv *channels);
/* Path of ix.lock. Caller frees. */
char *ix_workspace_lock_path(const struct ix_workspace *workspace);

/* What the name of an image of the store or a registry is in full; names of stage images (webpack:<key>) stand as they are. Caller frees. */
char *ix_workspace_image_name(const struct ix_workspace *workspace, const char *name);
/* The image that a local name, a digest (or the beginning of one that is named) or a reference stands for; *ret_ref: where its blobs may have to be
 * fetched from, unchanged when they are here. Caller frees. */
int ix_workspace_image(const struct ix_workspace *workspace, const char *name, struct ix_digest *ret_manifest, char **ret_ref,
		       struct ix_err *err);

/* How its images are read, written and built on this machine. */
void ix_workspace_local(const struct ix_workspace *workspace, struct ix_local_opts *ret_opts);
/* How its plan is run with a builder of these; after ix_workspace_plan. */
void ix_workspace_engine(const struct ix_workspace *workspace, const struct ix_local_opts *local, struct ix_builder *builder,
			 struct ix_engine_opts *ret_opts);

/* --- what checks found --- */

/* Something that a check found, once however many stages of the project share the Dockerfile. */
struct ix_finding {
	const struct ix_check *check;
	const struct ix_dockerfile *file;
	struct ix_strv stages;
};
/* What was found in all files, in their order. Also after ix_workspace_load failed. Caller frees. */
struct ix_finding *ix_workspace_findings(const struct ix_workspace *workspace, size_t *ret_count);
/* A file that says "# check=error=true" and in which something was found: an error that names the rules. */
int ix_workspace_violation(const struct ix_workspace *workspace, struct ix_err *err);
void ix_findings_free(struct ix_finding *findings, size_t count);
/* " (stages a, b)" when it concerns several, else "". Caller frees. */
char *ix_finding_stages(const struct ix_finding *finding);
/* How many Dockerfiles were read. */
size_t ix_workspace_nfiles(const struct ix_workspace *workspace);
/* The arguments and stages of the lone Dockerfile. */
int ix_workspace_outline(struct ix_workspace *workspace, struct ix_outline *ret_outline, struct ix_err *err);

#endif
