/*
 * The one model between front ends and engines: stages, the steps they are made of, and the links between them. Everything that chooses a
 * stage, an image or a context file is resolved here; what depends on a base image's environment stays a word with variables and is expanded
 * when the step is executed (graph/expand.c). The graph does not read files or images and knows no digests.
 *
 * All memory belongs to the graph's arena and lives as long as the graph.
 */
#ifndef IX_GRAPH_GRAPH_H
#define IX_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

struct ix_pos {
	const char *file; /* as the user named it; NULL when there is none */
	unsigned line;    /* 1-based */
	unsigned column;  /* 1-based bytes */
};

/* "file:line:column: <text>" as IX_EARG. Returns -IX_EARG. */
int ix_err_at(struct ix_err *err, const struct ix_pos *pos, const char *fmt, ...) ix_printf(3, 4);

/* A directory of files: a build context or a named one. */
struct ix_dir {
	const char *path;        /* absolute */
	const char *ignore_path; /* absolute path of the ignore file in force, or NULL */
	const char *label;       /* as the user named it, for messages */
};

enum ix_source_kind {
	IX_SOURCE_SCRATCH, /* nothing: FROM scratch */
	IX_SOURCE_STAGE,
	IX_SOURCE_IMAGE,  /* an image of a registry: text is the reference as written */
	IX_SOURCE_DIR,    /* files of this machine */
	IX_SOURCE_LAYOUT, /* an image of an OCI image layout: text is its directory */
};

/* Where files or an image come from. */
struct ix_source {
	enum ix_source_kind kind;
	struct ix_stage *stage;   /* STAGE */
	const char *text;         /* IMAGE: reference; LAYOUT: absolute directory */
	const char *layout_ref;   /* LAYOUT: tag or digest, NULL when the layout has one image */
	const struct ix_dir *dir; /* DIR */
	const char *platform;     /* IMAGE, LAYOUT: "linux/amd64"; never NULL for those */
};

/* A file or a repository that ADD fetches. NONE: the word names files of the context. */
enum ix_remote_kind { IX_REMOTE_NONE, IX_REMOTE_HTTP, IX_REMOTE_GIT };
struct ix_remote {
	enum ix_remote_kind kind;
	const char *url;      /* HTTP: the whole URL; GIT: the repository as git takes it */
	const char *checksum; /* HTTP: "sha256:..."; GIT: commit or its beginning; NULL: none was given */
	const char *name;     /* HTTP: of the file: the last element of the URL's path */
	const char *ref;      /* GIT: branch, tag or commit; NULL: the default branch */
	const char *subdir;   /* GIT: directory of the repository, "" its root */
	bool keep_git_dir;    /* GIT: .git stays */
	bool no_submodules;   /* GIT: submodules are not fetched */
	bool fetch_by_commit; /* GIT: ask for the commit itself, not for a ref that leads to it */
};

/* What a source word or a context's name says about being fetched; NONE when it names files of this machine. Malformed git URLs are IX_EARG. */
int ix_remote_parse(struct ix_arena *arena, const char *text, struct ix_remote *ret_remote, struct ix_err *err);
/* "URL#ref", of a repository. Caller frees. */
char *ix_remote_git_text(const struct ix_remote *remote);

/* A value from outside that a step can see. */
struct ix_arg {
	const char *name;
	const char *value;     /* NULL: declared without a value. For a link: "stage:NAME" */
	struct ix_stage *link; /* the value is that stage's image reference, known when its key is */
};

struct ix_heredoc {
	const char *name; /* the delimiter, without quotes */
	const char *body; /* with trailing newline; tabs already stripped for <<- */
	const char *raw;  /* the same with its tabs */
	bool expand;      /* variables in body are expanded (COPY, ADD; a shell does it itself for RUN) */
	int fd;           /* RUN: descriptor it feeds; 0 unless written */
	bool strip_tabs;  /* it was written <<- */
};

enum ix_mount_kind { IX_MOUNT_BIND, IX_MOUNT_CACHE, IX_MOUNT_TMPFS, IX_MOUNT_SECRET, IX_MOUNT_SSH };
enum ix_sharing { IX_SHARING_SHARED, IX_SHARING_PRIVATE, IX_SHARING_LOCKED };

/* RUN --mount, with its variables replaced. */
struct ix_mount {
	enum ix_mount_kind kind;
	struct ix_source from; /* bind, cache: SCRATCH for a cache without from; bind defaults to the build context */
	const char *source;    /* path inside from; "" or "/" its root */
	const char *target;    /* "" the working directory; NULL for a secret or an agent that has its place by default */
	const char *id;        /* cache, secret, ssh: NULL when not given */
	const char *env;       /* secret: variable that receives the value, NULL when not given */
	enum ix_sharing sharing;
	uint64_t size; /* tmpfs: bytes, 0 unlimited */
	bool read_only;
	bool required;
	bool has_mode, has_uid, has_gid;
	uint32_t mode, uid, gid;
};

enum ix_step_kind {
	IX_STEP_ADD,
	IX_STEP_ARG,
	IX_STEP_CMD,
	IX_STEP_COPY,
	IX_STEP_ENTRYPOINT,
	IX_STEP_ENV,
	IX_STEP_EXPOSE,
	IX_STEP_HEALTHCHECK,
	IX_STEP_LABEL,
	IX_STEP_MAINTAINER,
	IX_STEP_ONBUILD,
	IX_STEP_RUN,
	IX_STEP_SHELL,
	IX_STEP_STOPSIGNAL,
	IX_STEP_USER,
	IX_STEP_VOLUME,
	IX_STEP_WORKDIR,
};

enum ix_network { IX_NETWORK_DEFAULT, IX_NETWORK_NONE, IX_NETWORK_HOST };

/* Do people give secrets under such a name? As docker's check SecretsUsedInArgOrEnv has it. */
bool ix_names_secret(const char *name);

/* A line of a step's /etc/hosts, and a resource limit by its name in docker's --ulimit; UINT64_MAX: unlimited. */
struct ix_run_host {
	const char *name, *address;
};
struct ix_run_limit {
	const char *name;
	uint64_t soft, hard;
};

/*
 * What the execution of a RUN step depends on besides command, files, environment and mounts. The front end fills it once, with the command line
 * laid over what the Dockerfile says; state hashes it and builders execute it, both from this table, so that there is no setting that
 * one knows and the other does not. NUMBER and TEXT are field(type, name, what people call it), LIST is field(type, name, what, printer).
 */
#define IX_RUN_SPEC(NUMBER, TEXT, LIST)                                                                                                    \
	NUMBER(enum ix_network, network, "network")                                                                                        \
	NUMBER(bool, insecure, "security=insecure")                                                                                        \
	NUMBER(bool, image_tls, "tls: image")                                                                                              \
	NUMBER(uint64_t, shm_size, "shm-size")                                                                                             \
	TEXT(hostname, "hostname")                                                                                                         \
	LIST(struct ix_run_host, hosts, "add-host", ix_run_host_text)                                                                      \
	LIST(struct ix_run_limit, limits, "ulimit", ix_run_limit_text)

/* PATH where neither image nor Dockerfile sets one. */
#define IX_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { IX_SHM_SIZE = 64 << 20 }; /* bytes of /dev/shm unless somebody says otherwise, as docker has it */

struct ix_run_spec {
#define IX_NUMBER(type, name, what) type name;
#define IX_TEXT(name, what)         const char *name;
#define IX_LIST(type, name, what, print)                                                                                                   \
	const type *name;                                                                                                                  \
	size_t n##name;
	IX_RUN_SPEC(IX_NUMBER, IX_TEXT, IX_LIST) /* lists are sorted by name; hostname NULL: buildkitsandbox, as docker has it */
#undef IX_NUMBER
#undef IX_TEXT
#undef IX_LIST
};
#define IX_RUN_SPEC_INIT                                                                                                                   \
	{                                                                                                                                  \
		.shm_size = IX_SHM_SIZE                                                                                                    \
	}

/* "name:address", "nofile=1024:4096": what is hashed and told of them. Caller frees. */
char *ix_run_host_text(const struct ix_run_host *host);
char *ix_run_limit_text(const struct ix_run_limit *limit);

/*
 * One instruction. words are its operands, raw as written (quotes and variables in place) unless said otherwise:
 *
 *	ADD COPY            sources, expanded, quotes removed; heredoc sources are "<<NAME"; dest is apart; what is fetched is in remotes
 *	ARG                 name, value raw or absent: one step per name
 *	CMD ENTRYPOINT RUN  exec form: the argument list, literal; shell form: one word, the command line with continuations joined
 *	ENV LABEL           key, value, key, value, ...
 *	EXPOSE VOLUME       one word per item
 *	HEALTHCHECK         "NONE", or "CMD" followed as for CMD
 *	ONBUILD             one literal word: the trigger instruction's text
 *	SHELL               literal words
 *	MAINTAINER STOPSIGNAL USER WORKDIR   one word
 */
struct ix_step {
	enum ix_step_kind kind;
	struct ix_pos pos;
	unsigned last_line; /* of the instruction, with continuations and heredocs */
	const char *text;   /* the instruction as written on one line, for people: "COPY --chown=app src/ ./" */
	char **words;
	size_t nwords;
	bool exec;   /* JSON form */
	char escape; /* the file's escape character */
	struct ix_heredoc *docs;
	size_t ndocs;
	struct ix_arg *args; /* values from outside that this step depends on: for RUN all in scope, otherwise those it names */
	size_t nargs;

	/* ADD, COPY */
	struct ix_source from; /* DIR of the build context unless --from */
	const char *dest;      /* word */
	const char *chown;     /* word or NULL */
	const char *chmod;     /* word or NULL */
	bool link;             /* --link */
	bool parents;          /* COPY --parents */
	const char **excludes; /* --exclude: words */
	size_t nexcludes;
	struct ix_remote *remotes; /* ADD: one for each word; NULL when all are files */
	bool no_unpack;            /* ADD --unpack=false */
	bool unpack;               /* ADD --unpack=true: what was fetched is unpacked too */

	/* RUN */
	struct ix_mount *mounts;
	size_t nmounts;
	struct ix_run_spec run;

	/* HEALTHCHECK: nanoseconds, 0 when not given */
	int64_t interval, timeout, start_period, start_interval;
	int retries;

	bool trigger; /* it came from an ONBUILD of the base image */
};

/* A link to another stage, for drawing and scheduling; duplicates are merged. */
struct ix_link {
	struct ix_stage *stage;
	bool is_base; /* FROM; otherwise COPY --from, RUN --mount=from or an argument */
};

/* PATH of images that have none. */
#define IX_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct ix_stage {
	const char *name;     /* project stage: its name; inner stage: "owner.inner", unnamed inner stages "owner.0" */
	const char *alias;    /* what its file calls it: FROM ... AS alias; NULL when it has no name there */
	bool inner;           /* not published under a name of its own */
	size_t index;         /* position in the graph */
	struct ix_pos pos;    /* its FROM */
	const char *platform; /* "linux/amd64[/variant]" */
	struct ix_source base;
	struct ix_step *steps;
	size_t nsteps;
	struct ix_link *links;
	size_t nlinks;
	struct ix_strv env;   /* ENV as known when the graph was made, after the last step */
	bool env_complete;    /* env also holds the base image's variables */
	const char **onbuild; /* ONBUILD triggers this stage hands to those built from it */
	size_t nonbuild;

	/* settings of the project's stage that are not part of any key */
	const char **publish; /* names to publish besides the key tag, expanded */
	size_t npublish;
	/* settings that are part of the stage's key, applied to the finished config: key, value, key, value */
	const char **labels;
	size_t nlabels;
	int64_t epoch; /* SOURCE_DATE_EPOCH: later times in its layers and its time of creation become this; -1: none */
	bool no_cache; /* every step of it runs again; no part of the key */
};

struct ix_graph {
	struct ix_arena *arena;
	struct ix_stage **stages; /* in order of definition; links point to stages of the same graph */
	size_t nstages;
	bool awaits_bases; /* whether a word is right hangs on a base image's config, which was not known; also where making it failed */
	struct ix_map by_name; /* ix_graph_find() */
};

/* Empty; its stages and all they hold live in its arena. */
struct ix_graph *ix_graph_new(void);
void ix_graph_free(struct ix_graph *graph);
IX_DEFINE_FREEP(struct ix_graph, ix_graph_free)

/* A new stage of that name, zeroed; the name is copied. */
struct ix_stage *ix_graph_add(struct ix_graph *graph, const char *name);
/* The same of a stage that is made already, in the graph's arena, and named. */
void ix_graph_join(struct ix_graph *graph, struct ix_stage *stage);
/* NULL when there is none of that name. An inner stage can have the name of another stage, which is then the one that is found. */
struct ix_stage *ix_graph_find(const struct ix_graph *graph, const char *name);
/* Record that stage needs other; is_base wins when both kinds occur. */
void ix_stage_link(struct ix_graph *graph, struct ix_stage *stage, struct ix_stage *other, bool is_base);
/* What a stage is made of: the inner stages that it is linked to, directly or through each other, and all other stages that it and they are linked
 * to, each once. Costs what these are, not what the graph is. The stages are the graph's. */
struct ix_parts {
	struct ix_stage **inner, **others;
	size_t ninner, nothers;
};
void ix_stage_parts(const struct ix_stage *stage, struct ix_parts *ret_parts);
void ix_parts_release(struct ix_parts *parts);
#define ix_auto_parts ix_scoped(ix_parts_release) struct ix_parts
/* needed[stage->index] = true for every target and everything it can reach. needed has nstages entries. */
void ix_graph_reach(const struct ix_graph *graph, struct ix_stage *const *targets, size_t ntargets, bool *needed);
/* Stages so that each comes after those it links to. order has nstages entries. A cycle is IX_EARG and names its members. */
int ix_graph_order(const struct ix_graph *graph, struct ix_stage **order, struct ix_err *err);
const char *ix_step_word(enum ix_step_kind kind); /* "COPY" */
/* A RUN whose one heredoc stands alone on its line: the text is the script. With anything beside it, a shell reads it all. */
bool ix_step_is_script(const struct ix_step *step);
/* The script names what reads it ("#!"), and sees what it is called: the heredoc's name. With tabs before it, stripped or not, it does not. */
bool ix_step_has_interpreter(const struct ix_step *step);

/* What a front end has to know of a base image before its steps can be listed. Read from its config; owned by whoever answers. */
struct ix_image_facts {
	struct ix_strv env;
	struct ix_strv onbuild;
	bool workdir; /* it has one that is not the root */
};

/*
 * Words with variables (Dockerfile reference, "Environment replacement"): $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m}
 * ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}, quotes and escapes.
 */
struct ix_expand_opts {
	char escape; /* '\\' or '`'; 0 is '\\' */
	/* Value of a variable, or NULL when it is not set. */
	const char *(*lookup)(void *data, const char *name);
	void *data;
	/* Is the value of the variable one that stands for another, which is not known yet? It is put where it is named as it is; a modifier, which
	 * has to look into it, is IX_EARG. May be NULL. */
	bool (*opaque)(void *data, const char *name);
	bool keep_quotes; /* a heredoc's body: quotes are characters like others, and the escape is a backslash */
};
/* One word: quotes removed, variables replaced. Caller frees *ret_text. A bad pattern or a failed ${v:?m} is IX_EARG. */
int ix_expand(const struct ix_expand_opts *opts, const char *word, char **ret_text, struct ix_err *err);
/* The names a word refers to, each once, appended, as ix_expand would ask for them with the same opts (its lookup is not called). Malformed
 * words give what was read before the mistake. */
void ix_expand_names(const struct ix_expand_opts *opts, const char *word, struct ix_strv *names);

/* --chmod. */
enum { IX_MODE_CLAUSES_MAX = 16 };
struct ix_mode_clause {
	unsigned who, bits;
	char op, copy; /* copy: "g=u" */
	bool search, set_id, sticky;
};
struct ix_mode_change {
	bool given;
	unsigned octal; /* when there are no clauses */
	struct ix_mode_clause clauses[IX_MODE_CLAUSES_MAX];
	size_t nclauses;
};
/* Octal or symbolic as chmod(1) has it. */
bool ix_mode_parse(const char *text, struct ix_mode_change *ret_change);
/* The mode a file of that type and mode gets; links keep theirs. */
uint32_t ix_mode_apply(const struct ix_mode_change *change, uint32_t mode);

/* What EXPOSE takes: "8080", "8080/udp", "8000-8010", with an address and a port of the host before them, which say nothing about the image.
 * proto: room for "sctp". Malformed: IX_EARG. */
int ix_ports_parse(const char *text, unsigned *ret_first, unsigned *ret_last, char ret_proto[static 5], struct ix_err *err);
/* A signal's number, or name with or without SIG, real-time signals as RTMIN+3. */
bool ix_signal_known(const char *text);

#endif
