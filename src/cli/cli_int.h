/* What the commands share: options, and a session with everything wired together. */
#ifndef IX_CLI_CLI_INT_H
#define IX_CLI_CLI_INT_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/map.h"
#include "base/str.h"
#include "cache/cache.h"
#include "context/context.h"
#include "dockerfile/dockerfile.h"
#include "engine/engine.h"
#include "graph/graph.h"
#include "oci/image.h"
#include "plan/plan.h"
#include "project/project.h"
#include "registry/registry.h"
#include "state/state.h"
#include "store/store.h"
#include "ui/ui.h"

/* --- opt.c --- */

enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_LIST };
struct opt {
	char letter; /* 0: none */
	const char *name;
	const char *arg; /* shown in help; NULL for flags */
	enum opt_kind kind;
	void *value; /* bool *, const char **, struct ix_strv * */
	const char *help;
};
/* Options anywhere among the operands, GNU style; "--" ends them. Operands are appended. -IX_EARG with the nearest name. */
int opt_parse(int argc, char **argv, const struct opt *opts, size_t nopts, struct ix_strv *operands, struct ix_err *err);
void opt_help(const struct opt *opts, size_t nopts);

struct command {
	const char *name;
	const char *operands; /* "[STAGE...]" */
	const char *summary;
	int (*run)(int argc, char **argv);
};
void command_help(const struct command *command, const char *text, const struct opt *opts, size_t nopts);
/* Print an error as the program does, once. Returns the exit status it stands for. */
int complain(const struct ix_err *err);

int cmd_build(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_images(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_pull(int argc, char **argv);

/* --- session.c --- */

struct common_opts {
	const char *project_file;
	const char *config;
	const char *store;
	const char *progress;
	bool quiet;
	bool help;
};
#define COMMON_OPTIONS(c)                                                                                                                  \
	{ 0, "config", "FILE", OPT_TEXT, &(c)->config, "user configuration (default: ~/.config/ix/config.yaml)" },                         \
		{ 0, "store", "DIR", OPT_TEXT, &(c)->store, "where images and layers are kept" },                                          \
	{                                                                                                                                  \
		'h', "help", NULL, OPT_FLAG, &(c)->help, "show this help"                                                                  \
	}

struct session {
	struct common_opts common;
	struct ix_cancel *cancel;
	struct ix_user_config *config;
	struct ix_project *project; /* NULL for a lone Dockerfile */
	struct ix_registry *registry;
	struct ix_store *store;
	struct ix_cache *cache;
	struct ix_stat_cache *stat_cache;
	struct ix_ui *ui;

	/* made by load.c and plan */
	const struct build_request *request;
	struct ix_graph *graph;
	struct ix_dockerfile **files;
	size_t nfiles;
	struct ix_map facts;    /* image -> struct ix_image_facts */
	struct ix_map contexts; /* directory -> struct ix_context */
	struct ix_map open;     /* stages being loaded, to notice cycles */
	struct ix_stage **targets;
	size_t ntargets;
	struct ix_state *state;
	struct ix_plan *plan;
	struct ix_strv warned; /* warnings shown already */
	bool tasks_done;
};

/* What a build asks for, besides the project. */
struct build_request {
	struct ix_strv stages;    /* named targets; none: all that nobody builds on */
	const char *lone_context; /* a lone Dockerfile's context, NULL in a project */
	const char *lone_file;    /* -f */
	const char *target;
	const char *platform;
	struct ix_strv build_args; /* K=V, or K from the environment */
	struct ix_strv build_contexts;
	struct ix_strv labels;
	struct ix_strv tags;
	struct ix_strv force;
	bool force_all, no_cache, pull;
	bool publish;
};

/* Store, registry, cache and screen. enter: the command runs steps or touches unpacked layers. project: its file is loaded when there is one. */
int session_open(struct session *session, const struct build_request *request, bool enter, struct ix_err *err);
void session_close(struct session *session);
#define auto_session ix_scoped(session_close) struct session
void session_warn(struct session *session, const char *fmt, ...) ix_printf(2, 3);
/* "host/" that publish names without a host get; NULL for none. */
char *session_prefix(const struct session *session);

/* --- load.c --- */

/* Dockerfiles become a graph with targets, keys and a plan, asking for base images' configs only when something has to be built on them. */
int session_plan(struct session *session, struct ix_err *err);

/* --- table.c --- */
void print_plan(const struct session *session);
void print_plan_json(const struct session *session);
void print_plan_env(const struct session *session);

/* --- cmd_build.c --- */
void engine_options(struct session *session, struct ix_engine_opts *ret_opts);
/* The image a name or stage of the project stands for: manifest and, when its layers may have to be fetched, a reference. */
int find_image(struct session *session, const char *name, struct ix_digest *ret_manifest, char **ret_ref, struct ix_err *err);

#endif
