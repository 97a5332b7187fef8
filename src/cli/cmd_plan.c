#include <stdio.h>
#include <string.h>

#include "cli_int.h"
#include "signals_int.h"

static const char text[] = "Say what would be done, without doing it: for each stage whether its image is here (done), in the\n"
			   "registry (found) or to be built, and why. The exit status is 0 when nothing is to be built and 2 when\n"
			   "something is.";

int cmd_plan(int argc, char **argv)
{
	ix_scoped(build_request_release) struct build_request request = { .publish = true };
	auto_session session = { .cancel = signals_cancel() };
	ix_scoped(secrets_release) struct secrets secrets = { 0 };
	ix_auto_strv specs = { 0 };
	bool json = false, env = false;
	const struct opt opts[] = {
		{ 'p', "project", "FILE", OPT_TEXT, &session.common.project_file, "project file (default: ix.yaml)" },
		{ 0, "json", NULL, OPT_FLAG, &json, "as JSON" },
		{ 0, "env", NULL, OPT_FLAG, &env, "print the arguments of all stages, with links as image references" },
		{ 0, "build-arg", "K=V", OPT_LIST, &request.build_args, "set an argument" },
		{ 0, "platform", "OS/ARCH", OPT_TEXT, &request.platform, "platform to build for" },
		{ 0, "pull", NULL, OPT_FLAG, &request.pull, "ask registries for base images even when a local image has the name" },
		{ 0, "force", "STAGE", OPT_LIST, &request.force, "build this stage though its image exists" },
		{ 0, "force-all", NULL, OPT_FLAG, &request.force_all, "build all stages" },
		{ 0, "locked", NULL, OPT_FLAG, &request.locked, "refuse what is not pinned in ix.lock" },
		{ 0, "offline", NULL, OPT_FLAG, &request.offline, "ask nothing of the network" },
		{ 0, "channel", "NAME", OPT_TEXT, &session.common.channel, "the channel to compare with (default: the git branch)" },
		SECRET_OPTION(&specs),
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
	if (secrets_parse(&specs, &secrets, &err) < 0)
		return complain(&err);
	session.secrets = secrets.items;
	session.nsecrets = secrets.count;
	if (session_open(&session, &request, false, &err) < 0 || session_plan(&session, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	ix_ui_finish(session.ui);
	if (env)
		print_plan_env(&session);
	else if (json)
		print_plan_json(&session);
	else
		print_plan(&session);
	return session.plan->builds > 0 ? 2 : 0;
}
