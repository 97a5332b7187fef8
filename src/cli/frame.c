/* What commands that take operands and a session have in common. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cli_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

int frame_run(const struct command_frame *frame, int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	ix_auto_strv operands = { 0 };
	const struct opt common[] = { PROJECT_OPTION(&session.common),
				      { 0, "progress", "KIND", OPT_TEXT, &session.common.progress, "auto, tty, plain, json or quiet" },
				      COMMON_OPTIONS(&session.common) };
	ix_auto_free struct opt *opts = ix_calloc(frame->nopts + IX_ARRAY_LEN(common), sizeof(*opts));
	const struct command self = { frame->name, frame->operands, NULL, NULL };
	struct ix_err err;
	int r;

	if (frame->nopts > 0)
		memcpy(opts, frame->opts, frame->nopts * sizeof(*opts));
	memcpy(opts + frame->nopts, common, sizeof(common));
	if (opt_parse(argc, argv, opts, frame->nopts + IX_ARRAY_LEN(common), &operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, frame->text, opts, frame->nopts + IX_ARRAY_LEN(common));
		return 0;
	}
	if (operands.count < frame->min || operands.count > frame->max) {
		ix_err_set(&err, IX_EARG, "usage: ix %s %s", frame->name, frame->operands);
		return complain(&err);
	}
	request.pull = frame->pull;
	r = session_open(&session, &request, frame->enter, &err);
	if (r == 0)
		r = frame->run(&session, &operands, frame->data, &err);
	ix_ui_finish(session.ui);
	return r < 0 ? complain(&err) : 0;
}
