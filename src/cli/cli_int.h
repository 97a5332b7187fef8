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
#include "images/images.h"
#include "local/local.h"
#include "oci/image.h"
#include "plan/plan.h"
#include "project/project.h"
#include "registry/registry.h"
#include "remote/remote.h"
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
/* printf of results: whatever came from outside does nothing to the terminal. The one way that text, other than of ix's own, gets to standard output. */
void say(const char *fmt, ...) ix_printf(1, 2);
struct json_t;
void say_json(const struct json_t *json);

int cmd_build(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_check(int argc, char **argv);
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
	const char *channel; /* --channel */
	bool quiet;
	bool help;
};
#define COMMON_OPTIONS(c)                                                                                                                  \
	{ 0, "config", "FILE", OPT_TEXT, &(c)->config, "user configuration (default: ~/.config/ix/config.yaml)" },                         \
		{ 0, "store", "DIR", OPT_TEXT, &(c)->store, "where images and layers are kept" },                                          \
	{                                                                                                                                  \
		'h', "help", NULL, OPT_FLAG, &(c)->help, "show this help"                                                                  \
	}

/* The context and Dockerfile of a lone build, read once. */
struct lone {
	bool ready;
	char *dir;          /* NULL: there is no context */
	char *path;         /* of the Dockerfile, for its own ignore file */
	char *shown;        /* how messages name it; NULL: by its path */
	struct ix_buf text; /* of the Dockerfile */
};

struct opened_context;
struct session {
	struct common_opts common;
	struct ix_cancel *cancel;
	struct ix_user_config *config;
	struct ix_project *project; /* NULL for a lone Dockerfile */
	struct ix_registry *registry;
	struct ix_store *store;
	struct ix_remotes *remotes;
	struct ix_cache *cache;
	struct ix_stat_cache *stat_cache;
	struct ix_ui *ui;

	/* made by load.c and plan */
	const struct build_request *request;
	struct ix_graph *graph;
	struct ix_dockerfile **files;
	size_t nfiles;
	struct ix_strv file_stages; /* whose Dockerfile each one is */
	struct ix_map facts;        /* image -> struct ix_image_facts */
	struct ix_map contexts;     /* directory -> struct ix_context */
	struct ix_map open;         /* stages being loaded, to notice cycles */
	struct ix_stage **targets;
	size_t ntargets;
	struct ix_state *state;
	struct ix_plan *plan;
	struct ix_lock *lock;    /* ix.lock, NULL: there is none */
	struct ix_strv channels; /* after session_plan */
	struct ix_trust trust;
	struct ix_public_key *trusted_keys;
	struct ix_private_key signing_key;
	struct ix_strv warned; /* warnings shown already */
	struct ix_strv told;   /* checks among them, whomever they concern */
	char *remembered;      /* under which the last builds are remembered: the project, or the Dockerfile and its context */
	unsigned nlost;        /* blobs of steps that were lost, and made it start over */
	size_t ndamaged;       /* images that could not be had, and were told */
	struct lone lone;
	struct ix_strv dirs;    /* temporary, to remove */
	struct ix_run_spec run; /* of RUN steps, as far as Dockerfiles do not say otherwise */
	int64_t epoch;          /* SOURCE_DATE_EPOCH for what is built, -1: none; after session_plan */
	int64_t context_time;   /* of a fetched context: commit time, Last-Modified, newest entry; 0: unknown */
	bool checking;          /* Dockerfiles are checked, not built: checks are kept for printing, and may fetch configs of base images */
	bool whole;             /* of a Dockerfile every stage is looked at, needed or not */
	struct opened_context *opened;         /* named contexts that were fetched, the last one first */
	struct ix_ignore *lint_ignore;         /* while a file is checked: its context's ignore rules, or NULL */
	const struct ix_build_secret *secrets; /* borrowed */
	size_t nsecrets;
};

/* --secret, parsed. */
struct secrets {
	struct ix_build_secret *items;
	size_t count;
	struct ix_strv texts;
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
	struct ix_strv annotations;
	struct ix_strv no_cache_filter; /* inner stages */
	struct ix_strv add_hosts, ulimits, allow, secrets;
	const char *network, *shm_size, *tls;
	struct ix_arena *arena;     /* after request_settle, as what follows: of run */
	struct ix_run_spec run;     /* what is said of all RUN steps */
	struct secrets secret_list; /* of secrets */
	bool force_all, no_cache, pull, allow_insecure;
	bool publish;
	bool complete;      /* what is found in the registry is completed there */
	bool require_cache; /* a registry that cannot be asked is an error */
	bool locked;        /* everything external has to be in ix.lock */
	bool offline;       /* nothing is asked of the network */
	bool locking;       /* ix.lock is being written: it pins nothing */
};

#define BUILD_REQUEST_INIT                                                                                                                 \
	{                                                                                                                                  \
		.run = IX_RUN_SPEC_INIT                                                                                                    \
	}
void build_request_release(struct build_request *request);

/* The options of all commands that compute keys: what one of them is given, every other can be given too. */
#define KEY_OPTIONS(r)                                                                                                                     \
	{ 0, "build-arg", "K=V", OPT_LIST, &(r)->build_args, "set an argument" },                                                          \
		{ 0,        "build-context",      "NAME=VALUE",                                                                            \
		  OPT_LIST, &(r)->build_contexts, "named context: directory, URL, docker-image://, oci-layout://" },                       \
		{ 0, "label", "K=V", OPT_LIST, &(r)->labels, "label for the image" },                                                      \
		{ 0, "platform", "OS/ARCH", OPT_TEXT, &(r)->platform, "platform to build for" },                                           \
		{ 0, "secret", "id=ID,src=FILE", OPT_LIST, &(r)->secrets, "secret for RUN --mount=type=secret (src=FILE or env=NAME)" },   \
		{ 0, "add-host", "HOST:IP", OPT_LIST, &(r)->add_hosts, "line for /etc/hosts in steps" },                                   \
		{ 0, "tls", "host|image", OPT_TEXT, &(r)->tls, "whose certificate authorities steps see (default: host)" },                \
		{ 0, "shm-size", "SIZE", OPT_TEXT, &(r)->shm_size, "size of /dev/shm in steps" },                                          \
		{ 0, "ulimit", "NAME=N[:N]", OPT_LIST, &(r)->ulimits, "resource limit of steps" },                                         \
		{ 0, "allow", "WHAT", OPT_LIST, &(r)->allow, "permit security.insecure" },                                                 \
		{ 0, "locked", NULL, OPT_FLAG, &(r)->locked, "refuse what is not pinned in ix.lock" },                                     \
	{                                                                                                                                  \
		0, "offline", NULL, OPT_FLAG, &(r)->offline, "ask nothing of the network"                                                  \
	}
#define REQUIRE_CACHE_OPTION(r)                                                                                                            \
	{                                                                                                                                  \
		0, "require-cache", NULL, OPT_FLAG, &(r)->require_cache, "fail when the registry cannot be asked what it has"              \
	}
#define NETWORK_OPTION(r)                                                                                                                  \
	{                                                                                                                                  \
		0, "network", "MODE", OPT_TEXT, &(r)->network, "network of steps: default (the host's), host or none"                      \
	}
/* Check what the words of the options say and fill what they become; the session gets the secrets. Once, before session_open(). */
int request_settle(struct build_request *request, struct session *session, struct ix_err *err);

/* The value of --build-arg NAME=VALUE, NULL when it was not given so. */
const char *request_arg(const struct build_request *request, const char *name);

/* Store, registry, cache and screen. enter: the command runs steps or touches unpacked layers. project: its file is loaded when there is one. */
int session_open(struct session *session, const struct build_request *request, bool enter, struct ix_err *err);
void session_close(struct session *session);
#define auto_session ix_scoped(session_close) struct session
void session_warn(struct session *session, const char *fmt, ...) ix_printf(2, 3);
/* "host/" that publish names without a host get; NULL for none. */
char *session_prefix(const struct session *session);

/* --- context.c --- */

/* A directory of files with the ignore file that holds for it: the one beside dockerfile (may be NULL), else its own. Takes path. */
const struct ix_dir *session_dir(struct session *session, char *path_take, const char *dockerfile, const char *label);
int need_directory(const char *path, const char *what, struct ix_err *err);
/* A named context's value: docker-image://, oci-layout://, stage:NAME, a URL or a directory relative to base. */
int session_context(struct session *session, const char *value, const char *base, const char *platform, struct ix_source *ret_source,
		    struct ix_err *err);
/* Would it be fetched? */
bool session_is_remote(struct session *session, const char *value);
/* Fetch a pending context, once; data: the session. */
int session_open_context(void *data, const struct ix_named_context *context, struct ix_source *ret_source, struct ix_err *err);
/* A repository or archive by URL becomes a directory: 1. Another text is none: 0. A URL of a file that is no archive goes to ret_text, when that
 * is not NULL, and there is no directory. */
int remote_context(struct session *session, const char *text, char **ret_dir, struct ix_buf *ret_text, struct ix_err *err);
/* Fill session->lone. */
int lone_prepare(struct session *session, struct ix_err *err);
void lone_release(struct lone *lone);

/* --- attempt.c --- */

/* Did it fail because an image that was found could not be had? That is told, and the next session_plan goes without it. */
bool session_again(struct session *session, const struct ix_err *err);

/* --- secret.c --- */

int secrets_parse(const struct ix_strv *specs, struct secrets *secrets, struct ix_err *err);
void secrets_release(struct secrets *secrets);
/* data: the session. For ix_state_inputs. */
int secret_digest(void *data, const char *id, struct ix_digest *ret_digest, struct ix_err *err);

/* --- pins.c --- */

/* Read ix.lock when there is one. */
int pins_load(struct session *session, struct ix_err *err);
/* Pin what the steps of the graph fetch. */
int pins_apply(struct session *session, struct ix_err *err);
int pins_image(const struct session *session, const struct ix_source *source, bool *ret_pinned, struct ix_digest *ret_digest,
	       struct ix_err *err);
char *pins_path(const struct session *session);      /* of ix.lock; caller frees */
char *pins_git_name(const struct ix_remote *remote); /* "URL#ref"; caller frees */

/* --- channel.c --- */

/* The channels of this build: its own, then the default branch's. None without a registry. */
void session_channels(const struct session *session, struct ix_strv *channels);

/* --- load.c --- */

/* Text that lives as long as the graph. */
const char *session_keep(struct session *session, char *text_take);
/* A stage of the project, loaded. NULL when there is none or, with *ret_failed, when it could not be loaded. */
struct ix_stage *session_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err);

/* Dockerfiles become a graph with targets, keys and a plan, asking for base images' configs only when something has to be built on them. */
int session_plan(struct session *session, struct ix_err *err);

/* --- advice.c --- */

/* Warn of what a project had better not do. After session_plan. */
void session_advise(struct session *session);

/* --- lint.c --- */

/* Something that a check found, once however many stages of the project share the Dockerfile. */
struct finding {
	const struct ix_check *check;
	const struct ix_dockerfile *file;
	struct ix_strv stages;
};
/* What was found in the files from the first on, in their order. */
struct finding *session_findings(const struct session *session, size_t first, size_t *ret_count);
void findings_free(struct finding *findings, size_t count);
/* " (stages a, b)" when it concerns several, else "". */
char *finding_stages(const struct finding *finding);
/* Tell what was found in the files from the first on, unless it was told before or the session is only checking. */
void session_tell_findings(struct session *session, size_t first);
/* Run the checks of a file. It fails when something was found and the file wants that to be an error. */
int session_lint(struct session *session, struct ix_dockerfile *file, const struct ix_lower_opts *given, struct ix_err *err);

/* --- epoch.c --- */

/* SOURCE_DATE_EPOCH for what is built: of the request, the environment or the Dockerfile; -1: none. When Dockerfiles and contexts are read. */
int session_epoch(struct session *session, int64_t *ret_epoch, struct ix_err *err);

/* --- load.c again --- */

/* Read everything and make the graph, without keys or a plan. */
int session_load(struct session *session, struct ix_err *err);
int session_outline(struct session *session, struct ix_outline *ret_outline, struct ix_err *err);

/* Operands are stages, or one PATH, URL or "-" of a lone Dockerfile. in_project: a project file was named. */
int request_operands(const struct ix_strv *operands, struct build_request *request, bool in_project, struct ix_err *err);

/* --- call.c --- */

/* What --call asks for: "check", "outline", "targets", each with ",format=json"; printed. */
int call_run(struct session *session, const char *call, int *ret_status, struct ix_err *err);

/* --- table.c --- */
void print_plan(const struct session *session);
void print_plan_json(const struct session *session);
void print_plan_env(const struct session *session);

/* --- works.c --- */

/* How images of the session are read, written and built here. */
void local_options(const struct session *session, struct ix_local_opts *ret_opts);
/* How its plan is run with a builder of these; after session_plan. */
void engine_options(const struct session *session, const struct ix_local_opts *local, struct ix_builder *builder,
		    struct ix_engine_opts *ret_opts);

/* --- cmd_image.c --- */
/* The image a name or stage of the project stands for: manifest and, when its layers may have to be fetched, a reference. */
int find_image(struct session *session, const char *name, struct ix_digest *ret_manifest, char **ret_ref, struct ix_err *err);

#endif
