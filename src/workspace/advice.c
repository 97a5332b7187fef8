/* What is worth a word before a project is built: links nobody uses, and what makes two checkouts of a commit differ. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"
#include "state/state.h"
#include "workspace_int.h"

/* --- links --- */

/* Directly, or by one of its inner stages; what its parents use is theirs. */
static bool uses(const struct ix_parts *parts, const char *name)
{
	for (size_t i = 0; i < parts->nothers; i++)
		if (strcmp(parts->others[i]->name, name) == 0)
			return true;
	return false;
}

static void check_links(struct workspace *ws, const struct ix_project_stage *spec, const struct ix_stage *stage)
{
	ix_auto_parts parts = { 0 };

	ix_stage_parts(stage, &parts);
	for (size_t i = 0; i < spec->nargs + spec->ncontexts; i++) {
		const struct ix_project_pair *pair = i < spec->nargs ? &spec->args[i] : &spec->contexts[i - spec->nargs];

		if (pair->value && ix_starts(pair->value, "stage:") && !uses(&parts, pair->value + 6))
			workspace_warn(ws, "%s:%u:%u: stage '%s': its Dockerfile does not use the link %s to stage '%s'",
				       ws->base.project->path, pair->place.line, pair->place.column, spec->name, pair->name,
				       pair->value + 6);
	}
}

/* --- checkouts --- */

static bool in_repository(const char *dir)
{
	ix_auto_free char *at = ix_strdup(dir);

	for (;;) {
		ix_auto_free char *git = ix_path_join(at, ".git");
		char *slash = strrchr(at, '/');

		if (access(git, F_OK) == 0)
			return true;
		if (!slash || slash == at)
			return false;
		*slash = '\0';
	}
}

static bool is_git_dir(const struct ix_entry *entry)
{
	return S_ISDIR(entry->mode) && strcmp(ix_path_base(entry->path), ".git") == 0;
}

static bool git_has_mode(const struct ix_entry *entry)
{
	uint32_t mode = entry->mode & 07777;

	return S_ISREG(entry->mode) ? mode == 0644 || mode == 0755 : !S_ISDIR(entry->mode) || mode == 0755;
}

static void check_files(struct workspace *ws, const struct ix_stage *stage, const struct ix_step *step, const struct ix_selection *files,
			bool repository)
{
	const struct ix_entry *git = NULL, *odd = NULL;
	size_t others = 0;

	for (size_t i = 0; i < files->nentries; i++) {
		const struct ix_entry *entry = &files->entries[i];
		bool counts = entry->path[0] && (entry->name[0] || !S_ISDIR(entry->mode));

		if (!git && is_git_dir(entry))
			git = entry;
		if (!counts || git_has_mode(entry))
			continue;
		others += odd != NULL;
		odd = odd ? odd : entry;
	}
	if (git && step->kind != IX_STEP_RUN)
		workspace_warn(
			ws,
			"%s:%u:%u: stage '%s': %s takes in %s, which differs between two clones of a commit: name it in the ignore file",
			step->pos.file, step->pos.line, step->pos.column, stage->name, ix_step_word(step->kind), git->path);
	if (odd && repository && !ws->base.project->git_modes) {
		ix_auto_free char *shown = ix_printable(odd->path, 200);

		workspace_warn(ws,
			       "%s:%u:%u: stage '%s': git does not record permissions such as 0%o of %s%s: other checkouts get other keys; "
			       "modes: git in %s makes them equal",
			       step->pos.file, step->pos.line, step->pos.column, stage->name, odd->mode & 07777, shown,
			       others ? " (and others)" : "", ws->base.project->path);
	}
}

static void check_stage(struct workspace *ws, const struct ix_stage *stage, bool repository)
{
	for (size_t i = 0; i < stage->nsteps; i++) {
		const struct ix_step *step = &stage->steps[i];
		size_t n = step->kind == IX_STEP_RUN ? step->nmounts : step->nwords;
		bool takes = step->kind == IX_STEP_RUN || step->kind == IX_STEP_COPY || step->kind == IX_STEP_ADD;

		for (size_t j = 0; takes && j < n; j++) {
			const struct ix_selection *files = ix_state_selection(ws->base.state, stage, i, j);

			if (files)
				check_files(ws, stage, step, files, repository);
		}
	}
}

void ix_workspace_advise(struct ix_workspace *workspace)
{
	struct workspace *ws = workspace_of(workspace);
	bool repository = ws->base.project && in_repository(ws->base.project->dir);

	for (size_t i = 0; ws->base.project && i < ws->base.project->nstages; i++) {
		const struct ix_project_stage *spec = &ws->base.project->stages[i];
		const struct ix_stage *stage = ix_graph_find(ws->base.graph, spec->name);

		if (stage && ws->base.plan->stages[stage->index].ref)
			check_links(ws, spec, stage);
	}
	for (size_t i = 0; ws->base.project && i < ws->base.graph->nstages; i++)
		if (ws->base.plan->stages[i].ref)
			check_stage(ws, ws->base.graph->stages[i], repository);
}
