/*
 * Runs a plan: builds stages with sandbox, layers and store, publishes them, and hands images out. It ties rooms together and contains no
 * algorithms of its own.
 */
#ifndef IX_ENGINE_ENGINE_H
#define IX_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "graph/graph.h"
#include "io/compress.h"
#include "plan/plan.h"
#include "remote/remote.h"
#include "report/report.h"
#include "sandbox/sandbox.h"
#include "state/state.h"
#include "store/store.h"

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

/* Copies of unpacked layers whose directories list their entries otherwise; removed when it is freed. */
struct ix_perturbed;
struct ix_perturbed *ix_perturbed_new(struct ix_store *store);
void ix_perturbed_free(struct ix_perturbed *perturbed);
IX_DEFINE_FREEP(struct ix_perturbed, ix_perturbed_free)

struct ix_engine_opts {
	struct ix_store *store; /* borrowed, as all of these */
	struct ix_cache *cache;
	struct ix_remotes *remotes; /* fetches what ADD names by URL */
	struct ix_sink *sink;
	struct ix_cancel *cancel;
	const char *project;    /* NULL for a lone Dockerfile */
	const char *remembered; /* under which its last builds are remembered */
	const char *channel;    /* moved to what is built; NULL: none */
	const struct ix_build_secret *secrets;
	size_t nsecrets;
	const struct ix_build_ssh *ssh;
	size_t nssh;
	const struct ix_strv *build_args; /* NAME=VALUE, NAME: those of proxies go to RUN steps; NULL: none */
	enum ix_compression compression;
	int compression_level;          /* 0: default */
	int64_t epoch;                  /* SOURCE_DATE_EPOCH of what is imported and exported, -1: none; what is built has its own */
	unsigned parallel;              /* stages at once; 0: as many as memory allows, 4 to 64 */
	bool no_cutoff;                 /* descendants of a stage that is built are built, whatever came out */
	bool publish;                   /* push stages and names to the registry */
	const char *cache_namespace;    /* cache mounts of another namespace are others; NULL: none */
	bool no_step_cache;             /* --no-cache */
	struct ix_perturbed *perturbed; /* steps see another machine, and nothing is remembered; NULL: as usual */
};

enum ix_outcome { IX_OUTCOME_NONE, IX_OUTCOME_BUILT, IX_OUTCOME_DONE, IX_OUTCOME_FOUND, IX_OUTCOME_SAME, IX_OUTCOME_FAILED };

/* SAME: nothing was run, because what it is made of came out as it was when its image was made. */
struct ix_stage_result {
	enum ix_outcome outcome;
	struct ix_digest manifest;
	struct ix_digest record; /* BUILT, SAME: manifest of its record */
	uint64_t ms;
	unsigned steps_run, steps_cached;
};

struct ix_engine;
int ix_engine_new(const struct ix_engine_opts *opts, const struct ix_graph *graph, const struct ix_state *state, const struct ix_plan *plan,
		  struct ix_engine **ret_engine, struct ix_err *err);
void ix_engine_free(struct ix_engine *engine);
IX_DEFINE_FREEP(struct ix_engine, ix_engine_free)

/* Build what the plan says. A failed step is IX_ESTEP with its exit status; its message names the instruction, its detail the Dockerfile's lines.
 * Each stage, and the names, are published beside that as soon as the stage is done: nothing waits for it but the end, and it fails nothing. */
int ix_engine_run(struct ix_engine *engine, struct ix_err *err);
/* What is not published, after the run, all in one error; 0: everything is. */
int ix_engine_published(const struct ix_engine *engine, struct ix_err *err);
const struct ix_stage_result *ix_engine_result(const struct ix_engine *engine, const struct ix_stage *stage);

/* --- images out --- */

enum ix_export_kind { IX_EXPORT_OCI, IX_EXPORT_DOCKER, IX_EXPORT_TAR, IX_EXPORT_LOCAL };
struct ix_export {
	enum ix_export_kind kind;
	const char *dest;         /* file; directory for LOCAL; NULL or "-": standard output */
	bool directory;           /* OCI: a layout directory instead of its tar (tar=false) */
	const char *const *names; /* OCI, DOCKER: names the image carries, full references; NULL terminated or NULL */
};
/* image: where blobs that are not in the store are fetched from, or NULL. */
int ix_export_image(const struct ix_engine_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_export *spec,
		    struct ix_err *err);

/* Another form of an image. */
struct ix_convert {
	bool has_compression;
	enum ix_compression compression;
	int level;              /* 0: default */
	bool force;             /* layers of the base image too */
	bool rewrite_timestamp; /* times after epoch become it, except in layers of the base image */
	int64_t epoch;
	size_t base_layers;                /* how many layers come from the base image */
	bool docker_types;                 /* docker's media types instead of OCI's */
	const struct ix_strv *annotations; /* of the manifest: key, value, ...; NULL: none */
};
/* The converted image is in the store; its manifest may be the same. */
int ix_image_convert(const struct ix_engine_opts *opts, const struct ix_digest *digest, const char *image, const struct ix_convert *spec,
		     struct ix_digest *ret_digest, struct ix_err *err);

/* The first difference of two images of the same stage; what NULL: none. image_a: where blobs of a may have to come from. The caller frees path. */
struct ix_image_difference {
	size_t layer; /* 1-based; 0: it is not in a layer */
	char step[128];
	char *path;
	const char *what;
	bool times_only;
};
int ix_image_compare(const struct ix_engine_opts *opts, const struct ix_digest *a, const char *image_a, const struct ix_digest *b,
		     struct ix_image_difference *ret_difference, struct ix_err *err);

/* --- running --- */

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
/* Run a command in an image on a throw-away root with the host's network and this terminal. */
int ix_run_image(const struct ix_engine_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_run_opts *run,
		 int *ret_status, struct ix_err *err);

/* --- images in --- */

/* A tar of a root file system (plain or compressed, from fd) becomes an image of one layer under name. */
int ix_import_rootfs(const struct ix_engine_opts *opts, int fd, const char *name, const struct ix_platform *platform,
		     struct ix_digest *ret_manifest, struct ix_err *err);

#endif
