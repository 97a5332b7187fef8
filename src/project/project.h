/*
 * The declarative front door: ix.yaml, ix.lock and the user's configuration, read into plain structs with the positions of everything that can be
 * wrong later. It reads these files and the environment, and touches nothing else. All strings live as long as the struct.
 */
#ifndef IX_PROJECT_PROJECT_H
#define IX_PROJECT_PROJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/scope.h"

struct ix_place {
	unsigned line, column; /* 1-based */
};

/* A key with a value: argument, named context, label. */
struct ix_project_pair {
	const char *name;
	const char *value; /* NULL: the environment variable of that name, when it is set (args only) */
	struct ix_place place;
};

struct ix_project_stage {
	const char *name;
	struct ix_place place;
	const char *dockerfile;  /* path relative to the project's directory; NULL: inline, or "Dockerfile" in the context */
	const char *inline_text; /* the Dockerfile itself, or NULL */
	struct ix_place inline_place;
	const char *context;  /* directory relative to the project's; "." unless given */
	const char *target;   /* NULL: the last inner stage */
	const char *platform; /* NULL: this machine's */
	struct ix_project_pair *args;
	size_t nargs;
	struct ix_project_pair *contexts;
	size_t ncontexts;
	struct ix_project_pair *labels;
	size_t nlabels;
	const char **publish;
	size_t npublish;
};

/* Where a user name or password is found. Never the secret itself. */
enum ix_credential_kind { IX_CREDENTIAL_NONE, IX_CREDENTIAL_ENV, IX_CREDENTIAL_FILE, IX_CREDENTIAL_COMMAND };
struct ix_credential {
	enum ix_credential_kind kind;
	const char *value; /* variable, file, or command line for sh */
};

struct ix_host_config {
	const char *host;
	struct ix_credential username, password;
	const char *ca_file; /* NULL: none */
	bool insecure;
	const char **mirrors; /* NULL terminated; NULL: none */
	size_t nmirrors;
};

/* logs: what becomes of what steps print. */
enum ix_logs { IX_LOGS_PUBLISHED, IX_LOGS_LOCAL, IX_LOGS_NONE };

struct ix_project {
	struct ix_arena *arena;
	const char *path; /* as given */
	const char *dir;  /* absolute directory the file is in */
	const char *name;
	const char *registry;       /* NULL: stages stay local */
	bool image_tls;             /* tls: image */
	const char *default_branch; /* NULL: git's */
	bool trust_signed;          /* trust: signed */
	const char **trusted_keys;  /* files, relative to dir */
	size_t ntrusted_keys;
	struct ix_credential signing_key;
	const char **secret_digests; /* ids of secrets whose contents count */
	size_t nsecret_digests;
	struct ix_credential secret_salt;
	bool reproducible; /* reproducible: true */
	bool no_cutoff;    /* cutoff: false */
	bool git_modes;    /* modes: git */
	enum ix_logs logs;
	struct ix_project_stage *stages;
	size_t nstages;
	const char **names;    /* of the stages, and NULL */
	struct ix_map by_name; /* in lower case -> index + 1; ix_project_stage() */
	struct ix_host_config *hosts;
	size_t nhosts;
};

/* Load a project file. Errors are file:line:column with an excerpt and, where it helps, the nearest name. */
int ix_project_load(const char *path, struct ix_project **ret_project, struct ix_err *err);
/* The same from text. name: for messages; dir: what relative paths are relative to. */
int ix_project_parse(const char *name, const char *dir, const char *text, size_t len, struct ix_project **ret_project, struct ix_err *err);
void ix_project_free(struct ix_project *project);
IX_DEFINE_FREEP(struct ix_project, ix_project_free)

/* NULL when there is none. */
const struct ix_project_stage *ix_project_stage(const struct ix_project *project, const char *name);
/* "no stage 'webpak' (did you mean webpack?)" as IX_EARG. */
int ix_project_unknown_stage(const struct ix_project *project, const char *name, struct ix_err *err);

/* The user's own configuration, ~/.config/ix/config.yaml. */
struct ix_user_config {
	struct ix_arena *arena;
	const char *store; /* NULL: the default place */
	struct ix_host_config *hosts;
	size_t nhosts;
};
/* path NULL: $XDG_CONFIG_HOME/ix/config.yaml or ~/.config/ix/config.yaml, which may be absent. */
int ix_user_config_load(const char *path, struct ix_user_config **ret_config, struct ix_err *err);
int ix_user_config_parse(const char *name, const char *text, size_t len, struct ix_user_config **ret_config, struct ix_err *err);
void ix_user_config_free(struct ix_user_config *config);
IX_DEFINE_FREEP(struct ix_user_config, ix_user_config_free)

/* The value a credential names, read now. Caller frees and wipes. */
int ix_credential_read(const struct ix_credential *credential, char **ret_value, struct ix_err *err);

/* --- ix.lock: what external images, repositories and files are, so that a build is the same until somebody says otherwise --- */

/* IMAGE: name is the reference as written, platform "linux/amd64", pin the digest of its manifest. GIT: "URL#ref" (no ref: the default branch), the
 * commit. HTTP: the URL, "sha256:...". */
enum ix_lock_kind { IX_LOCK_IMAGE, IX_LOCK_GIT, IX_LOCK_HTTP };

struct ix_lock;
/* Nothing is pinned. */
struct ix_lock *ix_lock_new(void);
void ix_lock_free(struct ix_lock *lock);
IX_DEFINE_FREEP(struct ix_lock, ix_lock_free)
/* -IX_ENOTFOUND when there is no such file. Errors are path:line:column. */
int ix_lock_load(const char *path, struct ix_lock **ret_lock, struct ix_err *err);
int ix_lock_parse(const char *name, const char *text, size_t len, struct ix_lock **ret_lock, struct ix_err *err);
/* NULL when it is not pinned. platform: of images only, else NULL. */
const char *ix_lock_get(const struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform);
void ix_lock_set(struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform, const char *pin);
/* The file's text, sorted, appended. */
void ix_lock_text(const struct ix_lock *lock, struct ix_buf *text);
/* Entry i in the order of the file; false behind the last. */
struct ix_lock_entry {
	enum ix_lock_kind kind;
	const char *name, *platform, *pin;
};
bool ix_lock_at(const struct ix_lock *lock, size_t i, struct ix_lock_entry *ret_entry);

#endif
