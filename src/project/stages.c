#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "yaml_int.h"

static const char *const keys[] = { "dockerfile", "dockerfile_inline", "context", "target", "args", "contexts",
				    "labels",     "publish",           "platform" };

static bool good_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= '0' && name[i] <= '9') ||
		      (i > 0 && strchr("._-", name[i]))))
			return false;
	return len > 0 && len <= 60;
}

static int read_inline(const struct yaml *yaml, const struct member *member, struct ix_project_stage *stage, struct ix_err *err)
{
	struct fy_token *token = member->value && fy_node_is_scalar(member->value) ? fy_node_get_scalar_token(member->value) : NULL;
	const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
	const char *text;
	size_t len;

	/* As written: its variables are the Dockerfile's. */
	text = token ? fy_node_get_scalar(member->value, &len) : NULL;
	if (!text)
		return yaml_err(yaml, &member->place, err, "'%s' has to be the text of a Dockerfile", member->key);
	stage->inline_text = ix_arena_strndup(yaml->arena, text, len);
	stage->inline_place = mark ? (struct ix_place){ (unsigned)mark->line + 1, (unsigned)mark->column + 1 } : member->place;
	return 0;
}

/* A path, or { inline: text }. */
static int read_dockerfile(const struct yaml *yaml, const struct member *member, struct ix_project_stage *stage, struct ix_err *err)
{
	static const char *const inner_keys[] = { "inline" };
	struct member inner;
	void *iter = NULL;
	int r;

	if (!member->value || !fy_node_is_mapping(member->value))
		return yaml_text(yaml, member, false, &stage->dockerfile, err);
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0) {
		if (strcmp(inner.key, "inline") != 0)
			return yaml_unknown(yaml, &inner, "dockerfile", inner_keys, 1, err);
		r = read_inline(yaml, &inner, stage, err);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_member(const struct yaml *yaml, const struct member *member, struct ix_project_stage *stage, struct ix_err *err)
{
	ix_auto_free char *where = NULL;

	if (strcmp(member->key, "dockerfile") == 0)
		return read_dockerfile(yaml, member, stage, err);
	if (strcmp(member->key, "dockerfile_inline") == 0)
		return read_inline(yaml, member, stage, err);
	if (strcmp(member->key, "context") == 0)
		return yaml_text(yaml, member, false, &stage->context, err);
	if (strcmp(member->key, "target") == 0)
		return yaml_text(yaml, member, false, &stage->target, err);
	if (strcmp(member->key, "platform") == 0)
		return yaml_text(yaml, member, false, &stage->platform, err);
	if (strcmp(member->key, "args") == 0)
		return yaml_pairs(yaml, member, true, &stage->args, &stage->nargs, err);
	if (strcmp(member->key, "contexts") == 0)
		return yaml_pairs(yaml, member, false, &stage->contexts, &stage->ncontexts, err);
	if (strcmp(member->key, "labels") == 0)
		return yaml_pairs(yaml, member, false, &stage->labels, &stage->nlabels, err);
	if (strcmp(member->key, "publish") == 0)
		return yaml_texts(yaml, member, &stage->publish, &stage->npublish, err);
	where = ix_asprintf("stage '%s'", stage->name);
	return yaml_unknown(yaml, member, where, keys, IX_ARRAY_LEN(keys), err);
}

/* Names are tags, which some file systems do not tell apart by case. Caller frees. */
static char *lower_case(const char *name)
{
	char *lower = ix_strdup(name);

	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return lower;
}

static int read_stage(struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	ix_auto_free char *lower = lower_case(member->key);
	struct ix_project_stage *stage;
	struct member inner;
	void *iter = NULL;
	size_t other;
	int r;

	if (!good_name(member->key))
		return yaml_err(yaml, &member->place, err,
				"'%s' is not a stage name: letters, digits, '.', '_' and '-', at most 60, beginning with a letter or digit",
				member->key);
	other = (size_t)(uintptr_t)ix_map_get(&project->by_name, lower);
	if (other)
		return yaml_err(yaml, &member->place, err, "stages '%s' and '%s' differ only in case", project->stages[other - 1].name,
				member->key);
	stage = IX_ARENA_PUSH(yaml->arena, project->stages, project->nstages);
	*stage = (struct ix_project_stage){ .name = member->key, .place = member->place, .context = "." };
	ix_map_set(&project->by_name, lower, (void *)(uintptr_t)project->nstages);
	if (!member->value || (fy_node_is_scalar(member->value) && fy_node_get_scalar_length(member->value) == 0))
		return 0;
	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0)
		if ((r = read_member(yaml, &inner, stage, err)) < 0)
			return r;
	if (r == 0 && stage->dockerfile && stage->inline_text)
		return yaml_err(yaml, &stage->place, err, "stage '%s' has both dockerfile and dockerfile_inline", stage->name);
	return r;
}

/* --- links --- */

static int check_link(const struct yaml *yaml, const struct ix_project *project, const struct ix_project_stage *stage,
		      const struct ix_project_pair *pair, struct ix_err *err)
{
	const char *near;

	if (!pair->value || !ix_starts(pair->value, "stage:"))
		return 0;
	if (strcmp(pair->value + 6, stage->name) == 0)
		return yaml_err(yaml, &pair->place, err, "stage '%s' links to itself", stage->name);
	if (ix_project_stage(project, pair->value + 6))
		return 0;
	near = ix_nearest(pair->value + 6, project->names, project->nstages);
	if (near)
		return yaml_err(yaml, &pair->place, err, "no stage '%s' (did you mean %s?)", pair->value + 6, near);
	return yaml_err(yaml, &pair->place, err, "no stage '%s'", pair->value + 6);
}

/* The i-th link of a stage, NULL when there are no more. */
static const struct ix_project_stage *link_at(const struct ix_project *project, const struct ix_project_stage *stage, size_t i)
{
	for (size_t j = 0; j < stage->nargs + stage->ncontexts; j++) {
		const struct ix_project_pair *pair = j < stage->nargs ? &stage->args[j] : &stage->contexts[j - stage->nargs];

		if (pair->value && ix_starts(pair->value, "stage:") && i-- == 0)
			return ix_project_stage(project, pair->value + 6);
	}
	return NULL;
}

/* Depth first with an explicit stack; a stage met again while it is open closes a cycle. */
static int check_cycles(const struct yaml *yaml, const struct ix_project *project, struct ix_err *err)
{
	ix_auto_free size_t *next = ix_calloc(project->nstages, sizeof(*next));
	ix_auto_free size_t *stack = ix_calloc(project->nstages + 1, sizeof(*stack));
	ix_auto_free char *state = ix_calloc(project->nstages, 1); /* 0 new, 1 open, 2 done */

	for (size_t start = 0; start < project->nstages; start++) {
		size_t depth = 0;

		if (state[start])
			continue;
		stack[depth++] = start;
		state[start] = 1;
		while (depth > 0) {
			size_t at = stack[depth - 1];
			const struct ix_project_stage *other = link_at(project, &project->stages[at], next[at]++);
			size_t index = other ? (size_t)(other - project->stages) : 0;

			if (!other) {
				state[at] = 2;
				depth--;
			} else if (state[index] == 0) {
				state[index] = 1;
				stack[depth++] = index;
			} else if (state[index] == 1) {
				ix_auto_buf path = { 0 };
				size_t i = depth;

				while (stack[i - 1] != index)
					i--;
				for (; i <= depth; i++)
					ix_buf_printf(&path, "%s → ", project->stages[stack[i - 1]].name);
				return yaml_err(yaml, &project->stages[at].place, err, "stages need each other: %s%s", ix_buf_str(&path),
						other->name);
			}
		}
	}
	return 0;
}

int stages_read(struct yaml *yaml, const struct member *member, struct ix_project *project, struct ix_err *err)
{
	struct member inner;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0)
		if ((r = read_stage(yaml, &inner, project, err)) < 0)
			return r;
	if (r < 0)
		return r;
	project->names = ix_arena_alloc(project->arena, (project->nstages + 1) * sizeof(char *));
	for (size_t i = 0; i < project->nstages; i++)
		project->names[i] = project->stages[i].name;
	for (size_t i = 0; i < project->nstages; i++) {
		const struct ix_project_stage *stage = &project->stages[i];

		for (size_t j = 0; j < stage->nargs; j++)
			if ((r = check_link(yaml, project, stage, &stage->args[j], err)) < 0)
				return r;
		for (size_t j = 0; j < stage->ncontexts; j++)
			if ((r = check_link(yaml, project, stage, &stage->contexts[j], err)) < 0)
				return r;
	}
	return check_cycles(yaml, project, err);
}

const struct ix_project_stage *ix_project_stage(const struct ix_project *project, const char *name)
{
	ix_auto_free char *lower = lower_case(name);
	size_t index = (size_t)(uintptr_t)ix_map_get(&project->by_name, lower);

	return index && strcmp(project->stages[index - 1].name, name) == 0 ? &project->stages[index - 1] : NULL;
}
