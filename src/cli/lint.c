#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "cli_int.h"

/* The build checks of a Dockerfile with what only a session knows: ignore files, and base images. */

static bool is_ignored(void *data, const char *path)
{
	const struct session *session = data;
	ix_auto_free char *rooted = ix_asprintf("/%s", path);
	ix_auto_free char *clean = ix_path_clean(rooted);

	return session->lint_ignore && clean[1] && ix_ignore_match(session->lint_ignore, clean + 1);
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

static int tell_checks(struct session *session, struct ix_dockerfile *file, struct ix_err *err)
{
	size_t n;
	const struct ix_check *checks = ix_dockerfile_checks(file, &n);
	ix_auto_buf names = { 0 };

	if (session->checking)
		return 0;
	for (size_t i = 0; i < n; i++) {
		/* A base that is an argument is how a project's stages are linked; ix check tells of it all the same. */
		if (session->project && strcmp(checks[i].rule, "InvalidDefaultArgInFrom") == 0)
			continue;
		session_warn(session, "%s:%u:%u: %s: %s", checks[i].pos.file, checks[i].pos.line, checks[i].pos.column, checks[i].rule,
			     checks[i].message);
		if (!strstr(ix_buf_str(&names), checks[i].rule))
			ix_buf_printf(&names, "%s%s", names.len ? ", " : "", checks[i].rule);
	}
	if (ix_dockerfile_checks_fail(file))
		return ix_err_set(err, IX_EARG, "%s:%u:%u: lint violation found for rules: %s", checks[0].pos.file, checks[0].pos.line,
				  checks[0].pos.column, ix_buf_str(&names));
	return 0;
}

int session_lint(struct session *session, struct ix_dockerfile *file, const struct ix_lower_opts *given, struct ix_err *err)
{
	struct ix_lower_opts opts = *given;
	int r;

	for (size_t i = 0; i < opts.nargs; i++)
		if (strcmp(opts.args[i].name, "BUILDKIT_DOCKERFILE_CHECK") == 0 && opts.args[i].value &&
		    ix_dockerfile_set_checks(file, opts.args[i].value, err) < 0)
			return -(int)err->code;
	opts.ignored = is_ignored;
	opts.lint_needs_facts = session->checking;
	r = read_ignore(opts.context, &session->lint_ignore, err);
	if (r < 0)
		return r;
	ix_dockerfile_lint(file, &opts);
	ix_ignore_free(session->lint_ignore);
	session->lint_ignore = NULL;
	return tell_checks(session, file, err);
}
