/*
 * The builder that is always there: operations are executed on this machine, in a sandbox, on overlays of unpacked layers. As root or as an ordinary user
 * (sandbox.h says how).
 */
#ifndef IX_LOCAL_LOCAL_H
#define IX_LOCAL_LOCAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/redact.h"
#include "base/str.h"
#include "builder/builder.h"
#include "image/image.h"
#include "remote/remote.h"
#include "report/report.h"

/* Everything is borrowed. */
struct ix_local_opts {
	struct ix_image_opts image;
	struct ix_remotes *remotes; /* fetches what ADD names by URL; NULL: nothing is fetched */
	struct ix_sink *sink;
	const struct ix_redactor *redactor; /* what steps print is shown and kept without its words; NULL: as it is */
	const struct ix_build_secret *secrets;
	size_t nsecrets;
	const struct ix_build_ssh *ssh;
	size_t nssh;
	const struct ix_strv *build_args; /* NAME=VALUE, NAME: those of proxies go to RUN steps; NULL: none */
	const char *cache_namespace;      /* cache mounts of another namespace are others; NULL: none */
};
/* Never fails; what killed versions of long ago left of this user's secrets is removed on the way. */
struct ix_builder *ix_local_new(const struct ix_local_opts *opts);

/* The SSH agents of a build: items and count are for ix_local_opts. All zero: none yet. */
struct ix_agents {
	struct ix_build_ssh *items;
	size_t count;
	struct ix_strv texts; /* what items point to */
	int *pids;            /* agents that were started for key files */
	size_t npids;
	char *dir; /* of their sockets; NULL: none was started */
};
/* One more. spec: ID (the agent of SSH_AUTH_SOCK), ID=SOCKET or ID=KEY[,KEY...]: key files are given to an ssh-agent that is started for them and lives
 * until the release. IX_EARG: SSH_AUTH_SOCK is not set; IX_ENOTFOUND: there is no ssh-agent or ssh-add; IX_EFAIL: one of them said no. agents is released by
 * the caller, also after an error. */
int ix_agents_add(struct ix_agents *agents, const char *spec, struct ix_err *err);
/* Ends the agents that were started, and removes their sockets. */
void ix_agents_release(struct ix_agents *agents);

struct ix_run_opts {
	const char *const *argv;    /* NULL: the image's entrypoint and command */
	const char *const *env;     /* KEY=VALUE in addition, NULL terminated or NULL */
	const char *workdir;        /* NULL: the image's */
	const char *user;           /* NULL: the image's */
	const char *const *volumes; /* "host:target[:ro]", NULL terminated or NULL */
	bool no_network;
	bool image_tls;         /* the host's certificates are not shown */
	const char *entrypoint; /* NULL: the image's; "" none */
};
/* Run a command in an image on a throw-away root with the host's network and this terminal. image: where blobs that are not in the store are
 * fetched from, or NULL. */
int ix_local_run_image(const struct ix_local_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_run_opts *run,
		       int *ret_status, struct ix_err *err);

#endif
