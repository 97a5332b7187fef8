/* A YAML document with positions, over libfyaml, and the variables its texts may use. */
#ifndef IX_PROJECT_YAML_INT_H
#define IX_PROJECT_YAML_INT_H

#include <libfyaml.h>

#include "project/project.h"

struct yaml {
	struct ix_arena *arena;
	const char *name; /* for messages */
	const char *text;
	struct fy_document *doc;
	struct fy_diag *diag;
	struct ix_project_pair *vars;
	size_t nvars;
};
int yaml_open(struct yaml *yaml, const char *name, const char *text, size_t len, struct ix_arena *arena, struct ix_err *err);
void yaml_close(struct yaml *yaml);

/* "name:line:column: <text>" with the excerpt. */
int yaml_err(const struct yaml *yaml, const struct ix_place *place, struct ix_err *err, const char *fmt, ...) ix_printf(4, 5);

/* One member of a mapping. */
struct member {
	const char *key;
	struct ix_place place;
	struct fy_node *value; /* NULL: nothing was written */
};
/* 1 with the next member, 0 at the end. where: for messages, "stage 'base'". */
int yaml_next(const struct yaml *yaml, struct fy_node *mapping, void **iter, struct member *ret_member, struct ix_err *err);
int yaml_need_mapping(const struct yaml *yaml, const struct member *member, struct ix_err *err);
/* Text with variables replaced. NULL (no error) for null when may_be_null. */
int yaml_text(const struct yaml *yaml, const struct member *member, bool may_be_null, const char **ret_text, struct ix_err *err);
int yaml_bool(const struct yaml *yaml, const struct member *member, bool *ret_value, struct ix_err *err);
/* One text or a list of them. */
int yaml_texts(const struct yaml *yaml, const struct member *member, const char ***ret_list, size_t *ret_count, struct ix_err *err);
int yaml_pairs(const struct yaml *yaml, const struct member *member, bool may_be_null, struct ix_project_pair **ret_pairs,
	       size_t *ret_count, struct ix_err *err);
/* "unknown key 'x' in <where> (did you mean y?)" */
int yaml_unknown(const struct yaml *yaml, const struct member *member, const char *where, const char *const *keys, size_t nkeys,
		 struct ix_err *err);

/* ${VAR}, ${VAR:-x}, ${VAR-x}, ${VAR:?m}; $$ is a dollar. The environment wins over vars. */
int vars_expand(const struct yaml *yaml, const struct ix_place *place, const char *text, const char **ret_text, struct ix_err *err);

/* registries.c */
int hosts_read(struct yaml *yaml, const struct member *member, struct ix_host_config **hosts, size_t *nhosts, struct ix_err *err);
struct ix_host_config *hosts_get(struct ix_arena *arena, struct ix_host_config **hosts, size_t *nhosts, const char *host);
/* { env: NAME }, { file: PATH } or { command: COMMAND } */
int credential_read(const struct yaml *yaml, const struct member *member, struct ix_credential *credential, struct ix_err *err);
/* stages.c */
int stages_read(struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err);

#endif
