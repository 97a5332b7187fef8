/* What the commands share: options, and a session with everything wired together. */
#ifndef IX_CLI_CLI_INT_H
#define IX_CLI_CLI_INT_H

#include <stdbool.h>

#include "base/str.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

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

struct command {
	const char *name;
	const char *operands; /* "[STAGE...]" */
	const char *summary;
	int (*run)(int argc, char **argv);
};
void command_help(const struct command *command, const char *text, const struct opt *opts, size_t nopts);
/* Print an error as the program does, once. Returns the exit status it stands for. */
int complain(const struct ix_err *err);
/* From now on neither results nor errors say what the redactor knows (borrowed; NULL: nothing is hidden). */
void say_nothing_of(const struct ix_redactor *redactor);
/* printf of results: whatever came from outside does nothing to the terminal. The one way that text, other than of ix's own, gets to standard output. */
void say(const char *fmt, ...) ix_printf(1, 2);
struct json_t;
void say_json(const struct json_t *json);

int cmd_build(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_login(int argc, char **argv);
int cmd_logout(int argc, char **argv);
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

/* What every command that looks at a project or the store has: options, a workspace, a screen. */
struct common_opts {
	struct ix_workspace_opts workspace;
	const char *progress;
	const char *trace; /* a file for the timeline */
	bool quiet;
	bool help;
};
#define COMMON_OPTIONS(c)                                                                                                                  \
	{ 0, "config", "FILE", OPT_TEXT, &(c)->workspace.config, "user configuration (default: ~/.config/ix/config.yaml)" },               \
		{ 0, "store", "DIR", OPT_TEXT, &(c)->workspace.store, "where images and layers are kept" },                                \
	{                                                                                                                                  \
		'h', "help", NULL, OPT_FLAG, &(c)->help, "show this help"                                                                  \
	}
#define PROJECT_OPTION(c)                                                                                                                  \
	{                                                                                                                                  \
		'p', "project", "FILE", OPT_TEXT, &(c)->workspace.project_file, "project file (default: ix.yaml)"                          \
	}

struct session {
	struct common_opts common;
	struct ix_ui *ui;
	struct ix_timeline *timeline; /* or NULL */
	struct ix_sink *sinks[2];
	struct ix_tee tee; /* of both */
	struct ix_workspace *ws;
};
/* enter: the command runs steps or touches unpacked layers. The request is borrowed, and settled by then. */
int session_open(struct session *session, const struct ix_request *request, bool enter, struct ix_err *err);
void session_close(struct session *session);
#define auto_session ix_scoped(session_close) struct session

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

/* --- call.c --- */

/* What --call asks for: "check", "outline", "targets", each with ",format=json". It is told to the request first, and printed when that is opened. */
int call_prepare(const char *call, struct ix_request *request, struct ix_err *err);
int call_run(struct session *session, const char *call, int *ret_status, struct ix_err *err);

/* --- table.c --- */
void print_plan(const struct ix_workspace *ws);
void print_plan_json(const struct ix_workspace *ws);
void print_plan_env(const struct ix_workspace *ws);

/* --- frame.c --- */

struct command_frame {
	const char *name, *operands, *text;
	const struct opt *opts; /* besides the common ones */
	size_t nopts;
	size_t min, max; /* operands */
	bool enter;
	int (*run)(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err);
	void *data;
	bool pull; /* registries are asked, whatever the store has */
};
int frame_run(const struct command_frame *frame, int argc, char **argv);

#endif
