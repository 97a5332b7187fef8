/* One operation being executed, and what its parts share. */
#ifndef IX_LOCAL_LOCAL_INT_H
#define IX_LOCAL_LOCAL_INT_H

#include "jail/jail.h"
#include "local/local.h"

/* --- host.c --- */

/* What of this machine RUN steps see: certificates, proxies, name service. */
struct host {
	const struct ix_strv *build_args;
	char *ca_bundle;   /* NULL when there is none to show */
	char *resolv_conf; /* the resolv.conf to show */
};
void host_init(struct host *host, const struct ix_strv *build_args);
void host_release(struct host *host);
/* Proxy variables and, unless image_tls, certificate paths, for those that env does not set itself. */
void host_env(const struct host *host, bool image_tls, struct ix_strv *env);
/* The bundle of certificates where steps see it; false: there is none to be seen. */
bool host_ca_mount(const struct host *host, bool image_tls, struct ix_jail_mount *ret_mount);
/* /etc/hosts of a step. Caller frees. */
char *host_hosts_file(const struct ix_run_spec *spec);

/* What a RUN step's machine is called unless somebody says otherwise, as docker has it. */
#define STEP_HOSTNAME "buildkitsandbox"

/* --- local.c --- */

struct local {
	struct ix_builder base;
	struct ix_local_opts opts;
	struct host host;
};

struct task {
	const struct local *local;
	const struct ix_build *build;
	const struct ix_operation *operation;
	struct ix_image_opts image; /* as the builder's; cancel: the build's */
};

/* The image that a step takes files from. */
static inline int task_image(const struct task *task, const struct ix_source *source, struct ix_image *ret_image, struct ix_err *err)
{
	return task->build->provider->image(task->build->data, source, ret_image, err);
}
/* What source word or bind mount i selected when the key was made, or NULL. */
static inline const struct ix_selection *task_selection(const struct task *task, size_t i)
{
	return task->build->provider->selection(task->build->data, task->operation->index, i);
}

/* --- run.c, copy.c, workdir.c: execute an operation --- */

int run_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err);
int copy_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err);
/* The layer of a WORKDIR: the directory, if it does not exist. */
int workdir_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err);

/* --- mounts.c --- */

/* The mounts of a RUN step, ready for the sandbox, and what has to go when it is over. */
struct step_mounts {
	struct ix_jail_mount *items;
	size_t count;
	struct ix_strv strings; /* owned text the items point to */
	struct ix_strv trees;   /* scratch directories to remove */
	int *fds;               /* trees and locks to close */
	size_t nfds;
	struct ix_strv caches; /* "cache=directory" of those that are held */
	struct ix_strv env;    /* variables from secrets, and where agents are */
	struct agent **agents;
	size_t nagents;
	unsigned nssh; /* --mount=type=ssh so far */
};
int mounts_prepare(const struct task *task, struct step_mounts *ret_mounts, struct ix_err *err);
/* One more. Its strings are the caller's, or kept with mounts_keep. */
void mounts_add(struct step_mounts *mounts, const struct ix_jail_mount *mount);
void mounts_release(struct step_mounts *mounts);
#define auto_mounts ix_scoped(mounts_release) struct step_mounts

/* --- leftover.c --- */

/* Take away what older versions that were killed left of secrets and agents of this user. */
void leftovers_remove(void);

#endif
