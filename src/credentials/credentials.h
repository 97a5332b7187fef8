/*
 * Who logs in where: the names and passwords that docker, its helpers and containers' tools keep for registries. Nothing here asks a registry.
 *
 * Places are asked in this order, and the first that knows the host answers: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json,
 * $XDG_RUNTIME_DIR/containers/auth.json (unless REGISTRY_AUTH_FILE is set), $XDG_CONFIG_HOME/containers/auth.json (~/.config/containers/auth.json),
 * ~/.docker/config.json and ~/.dockercfg (unless DOCKER_CONFIG is set). Within a file a helper (credHelpers, credsStore) comes before "auths", whose
 * keys may be hosts, host/path or URLs: the longest prefix of host/repository counts, and Docker Hub's many names are one. A file that is missing or
 * empty knows nothing; one that is not JSON of that form is IX_EARG and says where; more than 10,000 logins are IX_ELIMIT.
 *
 * Hosts are "host[:port]" as references have them ("docker.io"). Errors never hold a secret.
 */
#ifndef IX_CREDENTIALS_CREDENTIALS_H
#define IX_CREDENTIALS_CREDENTIALS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/scope.h"
#include "http/http.h"

/* What opens one door, owned. All NULL: nothing is known. */
struct ix_creds {
	char *username;
	struct ix_secret password;
	struct ix_secret identity; /* refresh token for the token server */
	struct ix_secret registry; /* bearer token for the registry itself */
	char *source;              /* for messages: "~/.docker/config.json", "docker-credential-pass" */
};
/* Is there anything to log in with? A name alone is nothing. */
bool ix_creds_known(const struct ix_creds *creds);
/* Frees what is in it, secrets wiped, and makes it all NULL. */
void ix_creds_release(struct ix_creds *creds);
#define ix_auto_creds ix_scoped(ix_creds_release) struct ix_creds

struct ix_credentials;

/* docker_config: a directory with a config.json, the only place that is looked at; NULL: all of the above. Copied. Reads nothing yet. */
struct ix_credentials *ix_credentials_new(const char *docker_config);
/* NULL is fine. */
void ix_credentials_free(struct ix_credentials *credentials);

/* What is known for host and repository (NULL: the host as such). ret_creds comes all NULL and is released by the caller, also after an error.
 * Nothing found is success with nothing known. Files are read at the first call, and again after one that failed; a helper's answer holds for five
 * minutes. A helper that cannot be run or fails is IX_EFAIL, one whose name is a path IX_EARG. May be called from several threads. */
int ix_credentials_find(struct ix_credentials *credentials, const char *host, const char *repository, struct ix_creds *ret_creds,
			struct ix_err *err);
/* The server refused what was found for host: its helper is asked again next time. May be called from several threads. */
void ix_credentials_refused(struct ix_credentials *credentials, const char *host);

/* Keep a login where docker does: with the helper that config.json (docker_config's, $DOCKER_CONFIG's or ~/.docker's) names for the host, else in
 * that file, readable by its owner. The rest of the file stays as it is, which is locked by its directory meanwhile. *ret_where says where, for
 * people. Caller frees. IX_EARG: there is no such directory to name, or the file is not JSON; IX_EFAIL: the helper cannot. */
int ix_credentials_keep(const struct ix_credentials *credentials, const char *host, const char *username, const char *password,
			char **ret_where, struct ix_err *err);
/* Forget what is kept there: -IX_ENOTFOUND when nothing is. *ret_left: where credentials for the host are still found, set then, too; NULL:
 * nowhere. Caller frees. */
int ix_credentials_forget(struct ix_credentials *credentials, const char *host, char **ret_left, struct ix_err *err);

#endif
