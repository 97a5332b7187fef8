#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/str.h"
#include "context/context.h"
#include "dockerfile/dockerfile.h"
#include "graph/graph.h"
#include "syntax/syntax.h"
#include "workspace_int.h"

/* The build checks of a Dockerfile with what only a workspace knows: ignore files, and base images. */

static bool is_ignored(void *data, const char *path)
{
	const struct workspace *ws = data;
	ix_auto_free char *rooted = ix_asprintf("/%s", path);
	ix_auto_free char *clean = ix_path_clean(rooted);

	return ws->lint_ignore && clean[1] && ix_ignore_match(ws->lint_ignore, clean + 1);
}

/* A malformed one is an error even where nothing is copied, as in docker. */
static int read_ignore(const struct ix_dir *dir, struct ix_ignore **ret_ignore, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(IX_TEXT_MAX);
	int r;

	*ret_ignore = NULL;
	if (!dir || !dir->ignore_path)
		return 0;
	r = ix_read_file(AT_FDCWD, dir->ignore_path, &text, err);
	return r < 0 ? r : ix_ignore_parse(dir->ignore_path, ix_buf_str(&text), text.len, ret_ignore, err);
}

/* --- what was found --- */

static bool same_check(const struct ix_check *a, const struct ix_check *b)
{
	return a->pos.line == b->pos.line && a->pos.column == b->pos.column && strcmp(a->pos.file, b->pos.file) == 0 &&
	       strcmp(a->rule, b->rule) == 0 && strcmp(a->message, b->message) == 0;
}

/* One that another file has told, not this one: a line may have the same mistake twice. */
static struct ix_finding *known_finding(struct ix_finding *findings, size_t before, const struct ix_check *check, const char *stage)
{
	for (size_t i = 0; i < before; i++)
		if (same_check(findings[i].check, check) && !ix_strv_has(&findings[i].stages, stage))
			return &findings[i];
	return NULL;
}

static struct ix_finding *find(const struct workspace *ws, size_t first, size_t *ret_count)
{
	struct ix_finding *findings = NULL;
	size_t count = 0;

	for (size_t i = first; i < ws->nfiles; i++) {
		size_t n, before = count;
		const struct ix_check *checks = ix_dockerfile_checks(ws->files[i], &n);
		const char *stage = ws->file_stages.items[i];

		for (size_t j = 0; j < n; j++) {
			struct ix_finding *finding = known_finding(findings, before, &checks[j], stage);

			if (!finding) {
				findings = ix_realloc_array(findings, count + 1, sizeof(*findings));
				finding = &findings[count++];
				*finding = (struct ix_finding){ .check = &checks[j], .file = ws->files[i] };
			}
			ix_strv_add(&finding->stages, stage);
		}
	}
	*ret_count = count;
	return findings;
}

struct ix_finding *ix_workspace_findings(const struct ix_workspace *workspace, size_t *ret_count)
{
	return find(workspace_of_const(workspace), 0, ret_count);
}

size_t ix_workspace_nfiles(const struct ix_workspace *workspace)
{
	return workspace_of_const(workspace)->nfiles;
}

void ix_findings_free(struct ix_finding *findings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ix_strv_release(&findings[i].stages);
	free(findings);
}

char *ix_finding_stages(const struct ix_finding *finding)
{
	ix_auto_buf text = { 0 };

	if (finding->stages.count < 2)
		return ix_strdup("");
	for (size_t i = 0; i < finding->stages.count; i++)
		ix_buf_printf(&text, "%s%s", i == 0 ? " (stages " : ", ", finding->stages.items[i]);
	ix_buf_putc(&text, ')');
	return ix_strdup(ix_buf_str(&text));
}

void lint_tell(struct workspace *ws, size_t first)
{
	size_t n = 0;
	struct ix_finding *findings = ws->base.request->checking ? NULL : find(ws, first, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ix_check *check = findings[i].check;
		ix_auto_free char *text =
			ix_asprintf("%s:%u:%u: %s: %s", check->pos.file, check->pos.line, check->pos.column, check->rule, check->message);
		ix_auto_free char *stages = ix_finding_stages(&findings[i]);

		/* A base that is an argument is how a project's stages are linked; ix check tells of it all the same. */
		if ((ws->base.project && strcmp(check->rule, "InvalidDefaultArgInFrom") == 0) || ix_strv_has(&ws->told, text))
			continue;
		ix_strv_add(&ws->told, text);
		workspace_warn(ws, "%s%s", text, stages);
	}
	ix_findings_free(findings, n);
}

/* --- finding --- */

/* "lint violation found for rules: ...", behind the place when there is one. */
static int tell_violation(const struct ix_dockerfile *file, const struct ix_pos *place, struct ix_err *err)
{
	size_t n;
	const struct ix_check *checks = ix_dockerfile_checks(file, &n);
	ix_auto_buf names = { 0 };

	for (size_t i = 0; i < n; i++)
		if (!strstr(ix_buf_str(&names), checks[i].rule))
			ix_buf_printf(&names, "%s%s", names.len ? ", " : "", checks[i].rule);
	return ix_err_at(err, place, "lint violation found for rules: %s", ix_buf_str(&names));
}

static int refuse_found(const struct workspace *ws, const struct ix_dockerfile *file, struct ix_err *err)
{
	size_t n;

	if (ws->base.request->checking || !ix_dockerfile_checks_fail(file))
		return 0;
	return tell_violation(file, &ix_dockerfile_checks(file, &n)[0].pos, err);
}

int ix_workspace_violation(const struct ix_workspace *workspace, struct ix_err *err)
{
	const struct workspace *ws = workspace_of_const(workspace);

	for (size_t i = 0; i < ws->nfiles; i++)
		if (ix_dockerfile_checks_fail(ws->files[i]))
			return tell_violation(ws->files[i], NULL, err);
	return 0;
}

int lint_file(struct workspace *ws, struct ix_dockerfile *file, const struct ix_lower_opts *given, struct ix_err *err)
{
	struct ix_lower_opts opts = *given;
	int r;

	for (size_t i = 0; i < opts.nargs; i++)
		if (strcmp(opts.args[i].name, "BUILDKIT_DOCKERFILE_CHECK") == 0 && opts.args[i].value &&
		    (r = ix_dockerfile_set_checks(file, opts.args[i].value, err)) < 0)
			return r;
	opts.ignored = is_ignored;
	opts.lint_needs_facts = ws->base.request->checking;
	r = read_ignore(opts.context, &ws->lint_ignore, err);
	if (r < 0)
		return r;
	ix_dockerfile_lint(file, &opts);
	ix_ignore_free(ws->lint_ignore);
	ws->lint_ignore = NULL;
	return refuse_found(ws, file, err);
}
