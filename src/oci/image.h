/*
 * OCI image documents (image-spec 1.1) and their Docker schema 2 twins: descriptors, manifests, indexes, image configs; JSON in and out.
 * Everything read is hostile: sizes, counts, depths and digests are checked here, so that the rest can trust the structs.
 */
#ifndef IX_OCI_IMAGE_H
#define IX_OCI_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "io/compress.h"
#include "io/digest.h"

#define IX_MEDIA_MANIFEST   "application/vnd.oci.image.manifest.v1+json"
#define IX_MEDIA_INDEX      "application/vnd.oci.image.index.v1+json"
#define IX_MEDIA_CONFIG     "application/vnd.oci.image.config.v1+json"
#define IX_MEDIA_LAYER      "application/vnd.oci.image.layer.v1.tar"
#define IX_MEDIA_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define IX_MEDIA_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define IX_MEDIA_EMPTY      "application/vnd.oci.empty.v1+json" /* of the two bytes {} */
#define IX_MEDIA_D_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define IX_MEDIA_D_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define IX_MEDIA_D_CONFIG   "application/vnd.docker.container.image.v1+json"
#define IX_MEDIA_D_LAYER    "application/vnd.docker.image.rootfs.diff.tar.gzip"

enum { IX_LAYERS_MAX = 500 };

struct ix_platform {
	char os[32];
	char arch[32];
	char variant[32]; /* "" when there is none */
};

/* "linux/amd64", "linux/arm64/v8", "amd64"; normalised as containerd does (x86_64, aarch64, arm64/v8). */
int ix_platform_parse(const char *text, struct ix_platform *ret_platform, struct ix_err *err);
/* "os/arch[/variant]". Caller frees. */
char *ix_platform_text(const struct ix_platform *platform);
bool ix_platform_eq(const struct ix_platform *a, const struct ix_platform *b);
/* This machine's. */
void ix_platform_host(struct ix_platform *ret_platform);

struct ix_descriptor {
	char *media_type;
	struct ix_digest digest;
	uint64_t size;
	struct ix_strv annotations; /* key, value, key, value, ... */
	bool has_platform;
	struct ix_platform platform;
};
void ix_descriptor_release(struct ix_descriptor *descriptor);
void ix_descriptor_copy(const struct ix_descriptor *from, struct ix_descriptor *ret_descriptor);
/* NULL when absent. */
const char *ix_annotation(const struct ix_strv *annotations, const char *key);
/* IX_ECORRUPT for media types that are no layer ix can unpack (foreign, encrypted). */
int ix_layer_compression(const char *media_type, enum ix_compression *ret_kind, struct ix_err *err);
const char *ix_layer_media_type(enum ix_compression kind);

struct ix_manifest {
	char *media_type;
	char *artifact_type; /* or NULL */
	struct ix_descriptor config;
	struct ix_descriptor *layers;
	size_t nlayers;
	struct ix_descriptor subject; /* the manifest it speaks of; media_type NULL: none */
	struct ix_strv annotations;
};
/* An image manifest, or docker's schema 2. What is malformed is IX_ECORRUPT, what is over a limit IX_ELIMIT, and *ret_manifest is untouched. */
int ix_manifest_parse(const void *bytes, size_t len, struct ix_manifest *ret_manifest, struct ix_err *err);
void ix_manifest_release(struct ix_manifest *manifest);
#define ix_auto_manifest ix_scoped(ix_manifest_release) struct ix_manifest
/* Canonical JSON (sorted keys, no blanks), appended. */
void ix_manifest_json(const struct ix_manifest *manifest, struct ix_buf *buf);
/* A zeroed one at the end, for the caller to fill. */
struct ix_descriptor *ix_manifest_add_layer(struct ix_manifest *manifest);

struct ix_index {
	struct ix_descriptor *manifests;
	size_t nmanifests;
	struct ix_strv annotations;
};
/* An image index, or docker's manifest list; otherwise as ix_manifest_parse. */
int ix_index_parse(const void *bytes, size_t len, struct ix_index *ret_index, struct ix_err *err);
void ix_index_release(struct ix_index *index);
#define ix_auto_index ix_scoped(ix_index_release) struct ix_index
/* Canonical JSON, appended. */
void ix_index_json(const struct ix_index *index, struct ix_buf *buf);
/* A zeroed entry at the end, for the caller to fill. */
struct ix_descriptor *ix_index_add(struct ix_index *index);
/* The entry for a platform: exact first, then the same os and architecture; attestations are skipped. NULL when there is none. */
const struct ix_descriptor *ix_index_select(const struct ix_index *index, const struct ix_platform *platform);

/* Does the media type (or, when it is "", the document) stand for an index? IX_EARG for schema 1 and unknown types. */
int ix_is_index(const char *media_type, const void *bytes, size_t len, bool *ret_is_index, struct ix_err *err);

struct ix_health {
	struct ix_strv test;                                     /* "NONE", or "CMD"/"CMD-SHELL" and words */
	int64_t interval, timeout, start_period, start_interval; /* nanoseconds, 0 unset */
	int retries;
};

struct ix_history {
	char *created; /* any may be NULL */
	char *created_by;
	char *author;
	char *comment;
	bool empty_layer;
};

struct ix_image_config {
	char *created;
	char *author;
	struct ix_platform platform;
	char *os_version; /* or NULL */

	char *user;
	char *working_dir;
	char *stop_signal;
	struct ix_strv env;
	struct ix_strv exposed_ports; /* sorted */
	struct ix_strv volumes;       /* sorted */
	struct ix_strv labels;        /* key, value, ...; sorted by key when written */
	struct ix_strv entrypoint;
	struct ix_strv cmd;
	struct ix_strv shell;
	struct ix_strv onbuild;
	bool has_entrypoint, has_cmd; /* an empty list differs from none */
	bool args_escaped;            /* ArgsEscaped: docker sets it with every CMD, and nobody reads it on Linux */
	struct ix_health *health;     /* or NULL */

	struct ix_digest *diff_ids;
	size_t ndiff_ids;
	struct ix_history *history;
	size_t nhistory;
};
/* An image config; otherwise as ix_manifest_parse. Members that ix does not know are dropped. */
int ix_config_parse(const void *bytes, size_t len, struct ix_image_config *ret_config, struct ix_err *err);
void ix_config_release(struct ix_image_config *config);
#define ix_auto_config ix_scoped(ix_config_release) struct ix_image_config
/* Canonical JSON, appended. */
void ix_config_json(const struct ix_image_config *config, struct ix_buf *buf);
/* At the end: the digest is copied; the history is zeroed, for the caller to fill. */
void ix_config_add_diff_id(struct ix_image_config *config, const struct ix_digest *diff_id);
struct ix_history *ix_config_add_history(struct ix_image_config *config);
/* Key-value lists (labels, annotations): replaces or appends. */
void ix_pairs_set(struct ix_strv *pairs, const char *key, const char *value);
/* Deep copy through JSON. */
void ix_config_copy(const struct ix_image_config *from, struct ix_image_config *ret_config);

#endif
