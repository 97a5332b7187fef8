#include <stdio.h>
#include <string.h>

#include "cli_int.h"
#include "signals_int.h"

static const char text[] = "Say what would be done, without doing it: for each stage whether its image is here (done), in the\n"
			   "registry (found) or to be built, and why. The exit status is 0 when nothing is to be built and 2 when\n"
			   "something is.";

int cmd_plan(int argc, char **argv)
{
	ix_scoped(build_request_release) struct build_request request = BUILD_REQUEST_INIT;
	auto_session session = { .cancel = signals_cancel() };
	bool json = false, env = false;
	const struct opt opts[] = {
		{ 'p', "project", "FILE", OPT_TEXT, &session.common.project_file, "project file (default: ix.yaml)" },
		{ 0, "json", NULL, OPT_FLAG, &json, "as JSON" },
		{ 0, "env", NULL, OPT_FLAG, &env, "print the arguments of all stages, with links as image references" },
		{ 0, "pull", NULL, OPT_FLAG, &request.pull, "ask registries for base images even when a local image has the name" },
		{ 0, "force", "STAGE", OPT_LIST, &request.force, "build this stage though its image exists" },
		{ 0, "force-all", NULL, OPT_FLAG, &request.force_all, "build all stages" },
		REQUIRE_CACHE_OPTION(&request),
		{ 0, "channel", "NAME", OPT_TEXT, &session.common.channel, "the channel to compare with (default: the git branch)" },
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
	if (request_settle(&request, &session, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    session_plan(&session, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	session_advise(&session);
	ix_ui_finish(session.ui);
	if (env)
		print_plan_env(&session);
	else if (json)
		print_plan_json(&session);
	else
		print_plan(&session);
	return session.plan->builds > 0 ? 2 : 0;
}
