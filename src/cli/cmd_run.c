#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "cli_int.h"
#include "engine/engine.h"
#include "local/local.h"
#include "project/project.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] = "Run a command in the image of a stage (built or pulled first when it has to be) or in any image, on a\n"
			   "root that is thrown away afterwards, with the network of this machine. The exit status is the command's.";

/* Its layers are going to be read: what is not here is fetched now, so that what cannot be had is built in time. */
static int fetch_layers(struct session *session, const char *ref, const struct ix_digest *digest, struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	int r = ix_cache_image(session->ws->cache, ref, digest, &manifest, &config, err);

	for (size_t i = 0; r == 0 && i < manifest.nlayers; i++)
		r = ix_cache_need_blob(session->ws->cache, ref, &manifest.layers[i], NULL, err);
	return r;
}

/* A stage of the project: made available as ix build would. */
static int stage_image(struct session *session, const struct ix_local_opts *local, struct ix_digest *ret_manifest, char **ret_ref,
		       struct ix_err *err)
{
	ix_scoped(ix_builder_freep) struct ix_builder *builder = ix_local_new(local);
	ix_scoped(ix_engine_freep) struct ix_engine *run = NULL;
	const struct ix_plan_stage *planned;
	struct ix_engine_opts engine;
	int r = ix_workspace_plan(session->ws, err);

	if (r < 0)
		return r;
	ix_workspace_engine(session->ws, local, builder, &engine);
	run = ix_engine_new(&engine, session->ws->graph, session->ws->state, session->ws->plan);
	r = ix_engine_run(run, err);
	if (r < 0)
		return r;
	planned = &session->ws->plan->stages[session->ws->targets[0]->index];
	*ret_manifest = ix_engine_result(run, planned->stage)->manifest;
	free(*ret_ref);
	*ret_ref = ix_cache_is_local(session->ws->cache) ? NULL : ix_strdup(planned->ref);
	return fetch_layers(session, *ret_ref, ret_manifest, err);
}

int cmd_run(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	ix_auto_strv operands = { 0 }, env = { 0 }, volumes = { 0 };
	ix_auto_free char *ref = NULL;
	struct ix_run_opts run = { 0 };
	const char *network = NULL;
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 'e', "env", "K=V", OPT_LIST, &env, "set a variable" },
		{ 'v', "volume", "HOST:TARGET[:ro]", OPT_LIST, &volumes, "show a directory or file of this machine" },
		{ 'w', "workdir", "DIR", OPT_TEXT, &run.workdir, "working directory" },
		{ 'u', "user", "USER[:GROUP]", OPT_TEXT, &run.user, "user to run as" },
		{ 0, "entrypoint", "PROGRAM", OPT_TEXT, &run.entrypoint, "instead of the image's" },
		{ 0, "network", "MODE", OPT_TEXT, &network, "host (default) or none" },
		KEY_OPTIONS(&request),
		{ 0, "progress", "KIND", OPT_TEXT, &session.common.progress, "auto, tty, plain, json or quiet" },
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "run", "STAGE|IMAGE [-- COMMAND...]", NULL, NULL };
	struct ix_local_opts local;
	struct ix_digest manifest;
	struct ix_err err;
	int own = 1, status = 0, r;

	/* What follows the image is the command's, options and all. */
	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	if (opt_parse(own, argv, opts, IX_ARRAY_LEN(opts), &operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (operands.count != 1 || (network && strcmp(network, "host") != 0 && strcmp(network, "none") != 0)) {
		ix_err_set(&err, IX_EARG,
			   operands.count != 1 ? "ix run STAGE -- COMMAND: name one stage or image, and the command behind --"
					       : "--network is host or none");
		return complain(&err);
	}
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, true, &err) < 0)
		return complain(&err);
	ix_workspace_local(session.ws, &local);
	if (session.ws->project && ix_project_stage(session.ws->project, operands.items[0])) {
		ix_strv_add(&request.stages, operands.items[0]);
		do {
			r = stage_image(&session, &local, &manifest, &ref, &err);
		} while (r < 0 && ix_workspace_again(session.ws, &err));
		if (r < 0) {
			ix_ui_finish(session.ui);
			return complain(&err);
		}
	} else if (ix_workspace_image(session.ws, operands.items[0], &manifest, &ref, &err) < 0) {
		return complain(&err);
	}
	ix_ui_finish(session.ui);
	run.argv = own + 1 < argc ? (const char *const *)(argv + own + 1) : NULL;
	run.env = (const char *const *)env.items;
	run.volumes = (const char *const *)volumes.items;
	run.image_tls = session.ws->project && session.ws->project->image_tls;
	run.no_network = network && strcmp(network, "none") == 0;
	signals_leave_to_child();
	if (ix_local_run_image(&local, &manifest, ref, &run, &status, &err) < 0)
		return complain(&err);
	return status;
}
