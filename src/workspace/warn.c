#include <stdarg.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "report/report.h"
#include "workspace_int.h"

ix_printf(2, 0) static void warn(struct workspace *ws, const char *fmt, va_list args)
{
	ix_auto_buf text = { 0 };

	ix_buf_vprintf(&text, fmt, args);
	if (ix_strv_has(&ws->warned, ix_buf_str(&text)))
		return;
	ix_strv_add(&ws->warned, ix_buf_str(&text));
	ix_report(ws->sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .text = ix_buf_str(&text) });
}

void workspace_warn(struct workspace *ws, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	warn(ws, fmt, args);
	va_end(args);
}

void ix_workspace_warn(struct ix_workspace *workspace, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	warn(workspace_of(workspace), fmt, args);
	va_end(args);
}

const char *workspace_keep(struct workspace *ws, char *text_take)
{
	const char *kept = ix_arena_strdup(ws->base.graph->arena, text_take);

	free(text_take);
	return kept;
}
