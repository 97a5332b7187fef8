#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "cli_int.h"
#include "engine/engine.h"
#include "image/image.h"
#include "images/images.h"
#include "local/local.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] =
	"Build a stage once more where the time, the host name, process ids and the order of directories are others, and compare\n"
	"with the image that is there. The exit status is 0 when all files came out the same, 1 when one did not: the first\n"
	"is named. Nothing is published, and the image that is there stays.";

/* The image that is there. */
static int find_original(struct session *session, struct ix_digest *ret_manifest, char **ret_ref, struct ix_err *err)
{
	const struct ix_plan_stage *planned = &session->ws->plan->stages[session->ws->targets[0]->index];

	if (planned->decision == IX_PLAN_BUILD)
		return ix_err_set(err, IX_ENOTFOUND, "stage '%s' has no image to compare with (%s): build it first", planned->stage->name,
				  planned->reason);
	*ret_manifest = planned->manifest;
	*ret_ref = planned->remote ? ix_strdup(planned->ref) : NULL;
	return 0;
}

/* The stage and its inner stages are built again; everything else is as it was found. */
static void force_stage(struct session *session, struct ix_request *request, const char *name)
{
	ix_auto_free char *prefix = ix_asprintf("%s.", name);

	ix_strv_add(&request->force, name);
	for (size_t i = 0; i < session->ws->graph->nstages; i++)
		if (session->ws->graph->stages[i]->inner && ix_starts(session->ws->graph->stages[i]->name, prefix))
			ix_strv_add(&request->force, session->ws->graph->stages[i]->name);
}

static void tell(const char *stage, const struct ix_image_difference *difference)
{
	if (!difference->what)
		say("%s: reproducible, bit for bit\n", stage);
	else if (difference->times_only)
		say("%s: reproducible but for times (/%s): reproducible: true or SOURCE_DATE_EPOCH clamp them\n", stage, difference->path);
	else if (difference->layer)
		say("%s: not reproducible: /%s: %s (layer %zu: %s)\n", stage, difference->path, difference->what, difference->layer,
		    difference->step);
	else
		say("%s: not reproducible: %s\n", stage, difference->what);
}

static int verify(struct session *session, struct ix_request *request, int *ret_status, struct ix_err *err)
{
	ix_scoped(ix_perturbed_freep) struct ix_perturbed *perturbed = NULL;
	ix_scoped(ix_builder_freep) struct ix_builder *builder = NULL;
	ix_scoped(ix_engine_freep) struct ix_engine *run = NULL;
	struct ix_image_difference difference = { 0 };
	ix_auto_free char *name = ix_strdup(request->stages.items[0]);
	ix_auto_free char *ref = NULL;
	struct ix_local_opts local;
	struct ix_engine_opts engine;
	struct ix_digest before;
	int r;

	if ((r = ix_workspace_plan(session->ws, err)) < 0 || (r = find_original(session, &before, &ref, err)) < 0)
		return r;
	force_stage(session, request, name);
	r = ix_workspace_plan(session->ws, err);
	if (r < 0)
		return r;
	ix_workspace_local(session->ws, &local);
	perturbed = ix_perturbed_new(session->ws->store);
	local.image.perturbed = perturbed;
	builder = ix_local_new(&local);
	ix_workspace_engine(session->ws, &local, builder, &engine);
	/* Another second at least. */
	r = ix_cancel_sleep(signals_cancel(), 1100, err);
	if (r < 0)
		return r;
	run = ix_engine_new(&engine, session->ws->graph, session->ws->state, session->ws->plan);
	if ((r = ix_engine_run(run, err)) < 0 ||
	    (r = ix_image_compare(&local.image, &before, ref, &ix_engine_result(run, session->ws->targets[0])->manifest, &difference,
				  err)) < 0)
		return r;
	ix_ui_finish(session->ui);
	tell(name, &difference);
	*ret_status = difference.what && !difference.times_only;
	free(difference.path);
	return 0;
}

int cmd_verify(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 0, "progress", "KIND", OPT_TEXT, &session.common.progress, "auto, tty, plain, json or quiet" },
		KEY_OPTIONS(&request),
		NETWORK_OPTION(&request),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "verify", "STAGE", NULL, NULL };
	struct ix_err err;
	int status = 0;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &request.stages, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (request.stages.count != 1) {
		ix_err_set(&err, IX_EARG, "one stage: ix verify STAGE");
		return complain(&err);
	}
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, true, &err) < 0 ||
	    verify(&session, &request, &status, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return status;
}
