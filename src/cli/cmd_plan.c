#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli_int.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] = "Say what would be done, without doing it: for each stage whether its image is here (done), in the\n"
			   "registry (found) or to be built, and why. The exit status is 0 when nothing is to be built and 2 when\n"
			   "something is.";

int cmd_plan(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	bool json = false, env = false;
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 0, "json", NULL, OPT_FLAG, &json, "as JSON" },
		{ 0, "env", NULL, OPT_FLAG, &env, "print the arguments of all stages, with links as image references" },
		{ 0, "pull", NULL, OPT_FLAG, &request.pull, "ask registries for base images even when a local image has the name" },
		{ 0, "force", "STAGE", OPT_LIST, &request.force, "build this stage though its image exists" },
		{ 0, "force-all", NULL, OPT_FLAG, &request.force_all, "build all stages" },
		REQUIRE_CACHE_OPTION(&request),
		{ 0, "channel", "NAME", OPT_TEXT, &request.channel, "the channel to compare with (default: the git branch)" },
		KEY_OPTIONS(&request),
		NETWORK_OPTION(&request),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "plan", "[STAGE...]", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &request.stages, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (json && env) {
		ix_err_set(&err, IX_EARG, "one of --json and --env");
		return complain(&err);
	}
	request.publish = true;
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    ix_workspace_plan(session.ws, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	ix_workspace_advise(session.ws);
	ix_ui_finish(session.ui);
	if (env)
		print_plan_env(session.ws);
	else if (json)
		print_plan_json(session.ws);
	else
		print_plan(session.ws);
	return session.ws->plan->builds > 0 ? 2 : 0;
}
