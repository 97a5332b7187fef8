/* What the files of the engine share: an image under construction and its root file system. */
#ifndef IX_ENGINE_ENGINE_INT_H
#define IX_ENGINE_ENGINE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "layer/layer.h"
#include "oci/image.h"
#include "sandbox/sandbox.h"
#include "sched/sched.h"

struct layer_ref {
	struct ix_descriptor blob;
	struct ix_digest diff_id;
	struct ix_digest content; /* of what it holds but for times; of layers nobody said it of, the diff id */
	char *image;              /* a reference whose repository has the blob, NULL: it is in the store */
};

/* An image as it grows: config and layers, lowest first. */
struct image {
	struct ix_image_config config;
	struct layer_ref *layers;
	size_t nlayers;
};
void image_release(struct image *image);
#define auto_image ix_scoped(image_release) struct image
void image_copy(const struct image *from, struct image *ret_image);
struct layer_ref *image_add_layer(struct image *image);

struct ix_engine {
	struct ix_engine_opts opts;
	const struct ix_graph *graph;
	const struct ix_state *state;
	const struct ix_plan *plan;
	struct ix_stage_result *results;   /* by stage index; each is written by its stage's job */
	struct cutoff *cutoff;             /* second identities */
	int64_t started_s;                 /* what is built without an epoch was created then */
	struct publisher *publisher;       /* NULL: nothing is published */
	struct ix_sched *sched;            /* while it runs */
	struct ix_cancel *stop;            /* opts.cancel: raised when a stage fails, too */
	const struct ix_cancel *interrupt; /* what the caller gave */
	char *ca_bundle;                   /* the host's, NULL when there is none to show */
	char *resolv_conf;                 /* the host's resolv.conf to show */
};

/* --- image.c --- */

/* An image by manifest digest; image: a reference it can be fetched from, or NULL. */
int image_load(const struct ix_engine_opts *opts, const char *image, const struct ix_digest *manifest, struct image *ret_image,
	       struct ix_err *err);
/* Write config and manifest into the store. */
int image_store(const struct ix_engine_opts *opts, const struct image *image, const char *stage_key, const char *second,
		struct ix_digest *ret_manifest, uint64_t *ret_size, struct ix_err *err);
/* What came out (docs/identity.md, "Output ids"): the layers' contents and the config, without times and history. */
void image_output(const struct image *image, struct ix_output *ret_output);
/* A history entry at the end. */
void image_history(struct image *image, const char *now, const char *created_by, bool empty_layer);

/* --- perturb.c --- */

/* A directory of an unpacked layer becomes its perturbed copy. */
int perturb_dir(struct ix_perturbed *perturbed, char **dir, struct ix_err *err);

/* --- rootfs.c --- */

/* The unpacked layers of an image, uppermost first, fetching and unpacking what is missing. stage: for events. */
struct lowers {
	char **dirs; /* at least one: an empty directory stands for no layers */
	size_t count;
};
void lowers_release(struct lowers *lowers);
#define auto_lowers ix_scoped(lowers_release) struct lowers
int rootfs_lowers(const struct ix_engine_opts *opts, const struct image *image, const char *stage, struct lowers *ret_lowers,
		  struct ix_err *err);
/* A layer's blob into an empty directory, verified against its diff id. made: as in struct ix_unpack_opts. */
int rootfs_unpack(const struct ix_engine_opts *opts, const struct layer_ref *layer, const char *dir, struct ix_strv *made,
		  struct ix_err *err);
/* The image's merged root, read-only and detached. */
int rootfs_open(const struct ix_engine_opts *opts, const struct image *image, const char *stage, int *ret_fd, struct ix_err *err);
/* The same with an upper directory on top; dir is a fresh scratch directory that gets "upper" and "work". */
struct scratch {
	char *dir;
	char *upper;
	int root_fd;
};
int scratch_open(const struct ix_engine_opts *opts, const struct image *image, const char *stage, struct scratch *ret_scratch,
		 struct ix_err *err);
void scratch_release(struct scratch *scratch); /* removes what is left of it */
#define auto_scratch ix_scoped(scratch_release) struct scratch
/* The changes in the scratch become a layer of the image, in the store and unpacked. */
int scratch_commit(const struct ix_engine_opts *opts, struct scratch *scratch, struct image *image, const struct ix_stage *stage,
		   struct ix_step_result *ret_result, struct ix_err *err);

/* --- engine.c --- */

/* The image of a stage's result gets its name by key in the store. */
int engine_tag(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_err *err);

/* --- publish.c --- */

/* Make ready for a run; jobs by stage index, NULL for those nobody asks for. */
void publish_prepare(struct ix_engine *engine, struct ix_sched *sched, struct ix_job *const *jobs);
/* A stage is done: its image goes out beside the run. Called by the stage's job. */
void publish_later(struct ix_engine *engine, const struct ix_plan_stage *planned);
/* After the run: results become the images that the registry has under their keys. */
int publish_adopt(struct ix_engine *engine, struct ix_err *err);
void publisher_free(struct publisher *publisher);

/* --- parents.c --- */

/* Remember which directories a layer does not speak of, though it has something in them. */
int parents_note(const struct ix_engine_opts *opts, const struct layer_ref *layer, const struct ix_strv *made, struct ix_err *err);
/* Such directories are what they are in the layers below: dirs[n], of the layer, becomes a directory in which they are. */
int parents_inherit(const struct ix_engine_opts *opts, const struct layer_ref *layer, char **dirs, size_t n, const char *stage,
		    struct ix_err *err);

/* --- cutoff.c --- */

struct cutoff *cutoff_new(struct ix_engine *engine);
void cutoff_free(struct cutoff *cutoff);
/* The second keys of the stage's steps, when all it is linked to is there. */
int cutoff_steps(struct ix_engine *engine, const struct ix_stage *stage, struct ix_second *ret_second, struct ix_err *err);
/* Look for an image that was made of the same inputs though they came about otherwise: 1 found, and the stage has its result; 0 not. Asked once
 * for a stage; from then on the answer stays. */
int cutoff_find(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* Keep the image of a stage that was built under its second key too. */
int cutoff_remember(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* The second key of a stage whose links are all there; false: it has none. */
bool cutoff_second(struct ix_engine *engine, const struct ix_stage *stage, struct ix_digest *ret_second);
/* The tag of a stage's second key, NULL when it has none. Caller frees. */
char *cutoff_ref(struct ix_engine *engine, const struct ix_stage *stage);
/* The stage that an inner stage is a part of; itself when it is not inner. */
const struct ix_stage *cutoff_owner(const struct ix_engine *engine, const struct ix_stage *stage);

/* --- steplog.c --- */

struct steplog *steplog_new(void);
void steplog_free(struct steplog *log);
void steplog_put(struct steplog *log, const char *bytes, size_t len);
/* A line before what the step prints; how: "" or "cached: ". */
void steplog_step(struct steplog *log, size_t number, const char *text, const char *how);
const struct ix_buf *steplog_text(const struct steplog *log);

/* --- record.c --- */

struct build;
/* Keep the record of a stage that was just built, or found by its second key: the result's record is set. */
int record_keep(struct build *build, struct ix_err *err);
int record_same(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* A record for an image that the registry has without one: what the key is made of, but not the layers of its steps. */
int record_found(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_digest *ret_record, struct ix_err *err);
/* The record of the channel's latest image, checked against that image; NULL when there is none to be used. */
struct ix_record *record_open(struct ix_engine *engine, const struct ix_stage *stage);

/* --- stage.c --- */

/* One stage being built. */
struct build {
	struct ix_engine *engine;
	const struct ix_stage *stage;
	struct image image;
	char now[32];            /* its time of creation, RFC 3339 */
	struct ix_strv step_env; /* while a step is executed: the arguments it sees */
	size_t step;
	struct ix_step_result *made; /* by step; no media type: no layer */
	struct ix_record *record;    /* of an earlier build to take layers from, or NULL */
	struct steplog *log;
	struct ix_second second; /* keys of the steps by what the stages they use really are; no steps: unknown */
};
/* The image a stage that is done has; for those that are only in the registry, where from. */
int stage_image(struct ix_engine *engine, const struct ix_stage *stage, struct image *ret_image, struct ix_err *err);
int stage_build(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err);
/* The image of another stage or an external one, as a source of files or a base. */
int stage_source(struct ix_engine *engine, const struct ix_source *source, struct image *ret_image, struct ix_err *err);
/* A word of the step with the stage's environment and arguments replaced. Caller frees. */
int build_expand(struct build *build, const struct ix_step *step, const char *word, char **ret_text, struct ix_err *err);
/* The value a step sees for an argument: a link's is the image reference. NULL when it is not set. Caller frees. */
char *build_arg_value(struct build *build, const struct ix_arg *arg);
int err_at_step(struct ix_err *err, const struct ix_step *step);

/* --- config.c --- */

/* Apply an instruction that only changes the config. Adds its history entry. */
int config_apply(struct build *build, const struct ix_step *step, struct ix_err *err);
/* The shell in force: SHELL or the default. */
void config_shell(const struct ix_image_config *config, struct ix_strv *words);

/* --- run.c, copy.c, workdir.c --- */

int run_step(struct build *build, const struct ix_step *step, struct ix_step_result *ret_result, struct ix_err *err);
int copy_step(struct build *build, const struct ix_step *step, struct ix_step_result *ret_result, struct ix_err *err);
/* The layer of a WORKDIR: the config's working directory, if it does not exist. */
int workdir_step(struct build *build, const struct ix_step *step, struct ix_step_result *ret_result, struct ix_err *err);
/* What docker history shows for the step. Caller frees. */
char *run_created_by(struct build *build, const struct ix_step *step);

/* --- mounts.c --- */

/* The mounts of a RUN step, ready for the sandbox, and what has to go when it is over. */
struct step_mounts {
	struct ix_sandbox_mount *items;
	size_t count;
	struct ix_strv strings; /* owned text the items point to */
	struct ix_strv trees;   /* scratch directories to remove */
	int *fds;               /* trees and locks to close */
	size_t nfds;
	struct ix_strv env; /* variables from secrets, and where agents are */
	struct agent **agents;
	size_t nagents;
	unsigned nssh; /* --mount=type=ssh so far */
};
int mounts_prepare(struct build *build, const struct ix_step *step, struct step_mounts *ret_mounts, struct ix_err *err);
void mounts_release(struct step_mounts *mounts);
#define auto_mounts ix_scoped(mounts_release) struct step_mounts

/* --- leftover.c --- */

/* Take away what older versions that were killed left of secrets and agents of this user. */
void leftovers_remove(void);

/* --- host.c --- */

/* What of this machine RUN steps see: certificates, proxies, name service. Fills the engine's fields. */
void host_prepare(struct ix_engine *engine);
/* Proxy variables and, unless image_tls, certificate paths, for those that env does not set itself. */
void host_env(const struct ix_engine *engine, bool image_tls, struct ix_strv *env);
/* /etc/hosts of a step. Caller frees. */
char *host_hosts_file(const struct ix_run_spec *spec);

/* What a RUN step's machine is called unless somebody says otherwise, as docker has it. */
#define STEP_HOSTNAME "buildkitsandbox"
/* Where the host's certificates are seen by a RUN step. */
#define HOST_CA_TARGET "/run/ix/ca-certificates.crt"

#endif
