#include <unistd.h>

#include "cli_int.h"
#include "report/report.h"
#include "sandbox/sandbox.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

int session_open(struct session *session, const struct ix_request *request, bool enter, struct ix_err *err)
{
	enum ix_progress progress = IX_PROGRESS_AUTO;
	const char *degraded = NULL;
	int r;

	if (session->common.progress && (r = ix_progress_parse(session->common.progress, &progress, err)) < 0)
		return r;
	if (session->common.quiet)
		progress = IX_PROGRESS_QUIET;
	session->common.workspace.cancel = signals_cancel();
	r = ix_workspace_new(&session->common.workspace, request, &session->ws, err);
	if (r < 0)
		return r;
	say_nothing_of(session->ws->redactor);
	/* Before the first thread: namespaces are entered by a process that has only one. */
	if (enter && (r = ix_sandbox_enter(&degraded, err)) < 0)
		return r;
	session->ui = ix_ui_new(progress, STDERR_FILENO);
	if (session->common.trace && (r = ix_timeline_new(session->common.trace, &session->timeline, err)) < 0)
		return r;
	session->sinks[0] = ix_ui_sink(session->ui);
	session->sinks[1] = ix_timeline_sink(session->timeline);
	ix_tee_init(&session->tee, session->sinks, IX_ARRAY_LEN(session->sinks));
	r = ix_workspace_open(session->ws, &session->tee.sink, err);
	if (degraded)
		ix_workspace_warn(session->ws, "%s", degraded);
	return r;
}

void session_close(struct session *session)
{
	ix_ui_finish(session->ui);
	say_nothing_of(NULL);
	ix_workspace_free(session->ws);
	ix_ui_free(session->ui);
	ix_timeline_free(session->timeline);
}
