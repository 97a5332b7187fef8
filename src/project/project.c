#include "project/project.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "base/str.h"
#include "yaml_int.h"

enum { FILE_MAX = 1 << 20 };

static const char *const keys[] = { "project",     "registry",     "registries",     "vars",  "stages",
				    "tls",         "cutoff",       "default_branch", "trust", "trusted_keys",
				    "signing_key", "reproducible", "secrets",        "modes", "logs" };

static int read_tls(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	project->image_tls = strcmp(text, "image") == 0;
	if (!project->image_tls && strcmp(text, "host") != 0)
		return yaml_err(yaml, &member->place, err, "tls: '%s' has to be host or image", text);
	return 0;
}

static int read_cutoff(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	bool cutoff;
	int r = yaml_bool(yaml, member, &cutoff, err);

	if (r < 0)
		return r;
	project->no_cutoff = !cutoff;
	return 0;
}

static int read_modes(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	project->git_modes = strcmp(text, "git") == 0;
	if (!project->git_modes && strcmp(text, "files") != 0)
		return yaml_err(yaml, &member->place, err, "modes: '%s' has to be files or git", text);
	return 0;
}

static int read_logs(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	static const char *const names[] = { [IX_LOGS_PUBLISHED] = "published", [IX_LOGS_LOCAL] = "local", [IX_LOGS_NONE] = "none" };
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	for (size_t i = 0; r == 0 && i < IX_ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			project->logs = (enum ix_logs)i;
			return 0;
		}
	}
	return r < 0 ? r : yaml_err(yaml, &member->place, err, "logs: '%s' has to be published, local or none", text);
}

static int read_trust(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	project->trust_signed = strcmp(text, "signed") == 0;
	if (!project->trust_signed && strcmp(text, "any") != 0)
		return yaml_err(yaml, &member->place, err, "trust: '%s' has to be any or signed", text);
	return 0;
}

/* { digest: [ID...], salt: { env: NAME } } */
static int read_secrets(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	static const char *const inner_keys[] = { "digest", "salt" };
	struct member inner;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0) {
		if (strcmp(inner.key, "digest") == 0)
			r = yaml_texts(yaml, &inner, &project->secret_digests, &project->nsecret_digests, err);
		else if (strcmp(inner.key, "salt") == 0)
			r = credential_read(yaml, &inner, &project->secret_salt, err);
		else
			r = yaml_unknown(yaml, &inner, "secrets", inner_keys, IX_ARRAY_LEN(inner_keys), err);
		if (r < 0)
			return r;
	}
	if (r == 0 && project->nsecret_digests > 0 && project->secret_salt.kind == IX_CREDENTIAL_NONE)
		return yaml_err(yaml, &member->place, err, "secrets: digest: needs salt:, as { env: NAME }");
	return r;
}

static int read_registry(const struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	project->registry = strcmp(text, "none") == 0 || !*text ? NULL : text;
	return 0;
}

/* Variables first, wherever they stand: everything else may use them. */
static int read_vars(struct yaml *yaml, struct fy_node *root, struct ix_err *err)
{
	struct member member;
	void *iter = NULL;
	int r;

	while ((r = yaml_next(yaml, root, &iter, &member, err)) > 0)
		if (strcmp(member.key, "vars") == 0 && (r = yaml_pairs(yaml, &member, false, &yaml->vars, &yaml->nvars, err)) < 0)
			return r;
	return r;
}

static int read_member(struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	if (strcmp(member->key, "vars") == 0)
		return 0;
	if (strcmp(member->key, "project") == 0)
		return yaml_text(yaml, member, false, &project->name, err);
	if (strcmp(member->key, "registry") == 0)
		return read_registry(yaml, member, project, err);
	if (strcmp(member->key, "registries") == 0)
		return hosts_read(yaml, member, &project->hosts, &project->nhosts, err);
	if (strcmp(member->key, "stages") == 0)
		return stages_read(yaml, member, project, err);
	if (strcmp(member->key, "tls") == 0)
		return read_tls(yaml, member, project, err);
	if (strcmp(member->key, "default_branch") == 0)
		return yaml_text(yaml, member, false, &project->default_branch, err);
	if (strcmp(member->key, "reproducible") == 0)
		return yaml_bool(yaml, member, &project->reproducible, err);
	if (strcmp(member->key, "secrets") == 0)
		return read_secrets(yaml, member, project, err);
	if (strcmp(member->key, "trust") == 0)
		return read_trust(yaml, member, project, err);
	if (strcmp(member->key, "trusted_keys") == 0)
		return yaml_texts(yaml, member, &project->trusted_keys, &project->ntrusted_keys, err);
	if (strcmp(member->key, "signing_key") == 0)
		return credential_read(yaml, member, &project->signing_key, err);
	if (strcmp(member->key, "modes") == 0)
		return read_modes(yaml, member, project, err);
	if (strcmp(member->key, "logs") == 0)
		return read_logs(yaml, member, project, err);
	if (strcmp(member->key, "cutoff") == 0)
		return read_cutoff(yaml, member, project, err);
	return yaml_unknown(yaml, member, "the project", keys, IX_ARRAY_LEN(keys), err);
}

static int read_root(struct yaml *yaml, struct ix_project *project, struct ix_err *err)
{
	struct fy_node *root = fy_document_root(yaml->doc);
	const struct ix_place top = { 1, 1 };
	struct member member;
	void *iter = NULL;
	int r;

	if (!root || !fy_node_is_mapping(root))
		return yaml_err(yaml, &top, err, "a project file is a mapping with project:, registry: and stages:");
	r = read_vars(yaml, root, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, root, &iter, &member, err)) > 0)
		if ((r = read_member(yaml, &member, project, err)) < 0)
			return r;
	if (r == 0 && project->nstages == 0)
		return yaml_err(yaml, &top, err, "no stages: a project needs stages:");
	return r;
}

int ix_project_parse(const char *name, const char *dir, const char *text, size_t len, struct ix_project **ret_project, struct ix_err *err)
{
	ix_scoped(ix_project_freep) struct ix_project *project = ix_calloc(1, sizeof(*project));
	struct yaml yaml;
	int r;

	project->arena = ix_arena_new();
	project->path = ix_arena_strdup(project->arena, name);
	project->dir = ix_arena_strdup(project->arena, dir);
	project->name = ix_arena_strdup(project->arena, ix_path_base(dir));
	r = yaml_open(&yaml, name, text, len, project->arena, err);
	if (r == 0)
		r = read_root(&yaml, project, err);
	yaml_close(&yaml);
	if (r < 0)
		return r;
	*ret_project = ix_steal(&project);
	return 0;
}

int ix_project_load(const char *path, struct ix_project **ret_project, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(FILE_MAX);
	ix_auto_free char *absolute = realpath(path, NULL);
	ix_auto_free char *dir = NULL;

	if (!absolute)
		return ix_err_sys(err, "project file %s", path);
	if (ix_read_file(AT_FDCWD, absolute, &text, err) < 0)
		return ix_err_wrap(err, "project file");
	dir = ix_path_dir(absolute);
	return ix_project_parse(path, dir, ix_buf_str(&text), text.len, ret_project, err);
}

void ix_project_free(struct ix_project *project)
{
	if (!project)
		return;
	ix_map_release(&project->by_name);
	ix_arena_free(project->arena);
	free(project);
}

int ix_project_unknown_stage(const struct ix_project *project, const char *name, struct ix_err *err)
{
	const char *near = ix_nearest(name, project->names, project->nstages);

	if (near)
		return ix_err_set(err, IX_EARG, "no stage '%s' in %s (did you mean %s?)", name, project->path, near);
	return ix_err_set(err, IX_EARG, "no stage '%s' in %s", name, project->path);
}
