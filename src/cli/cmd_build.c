#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "build_int.h"
#include "builder/builder.h"
#include "engine/engine.h"
#include "io/compress.h"
#include "io/digest.h"
#include "local/local.h"
#include "plan/plan.h"
#include "registry/registry.h"
#include "report/report.h"
#include "signals_int.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] = "Build what is missing. In a project (ix.yaml) the operands are stages; without operands everything that\n"
			   "nobody else is built on. With a path (., ./DIR, /DIR, or - for a Dockerfile on standard input) a lone\n"
			   "Dockerfile is built, with docker build's options.";

static void build_opts_release(struct build_opts *opts)
{
	struct ix_strv *lists[] = { &opts->operands, &opts->outputs, &opts->ssh };

	for (size_t i = 0; i < IX_ARRAY_LEN(lists); i++)
		ix_strv_release(lists[i]);
	outputs_release(&opts->parsed);
	ix_agents_release(&opts->agents);
}

/* --- engine --- */

static int set_numbers(const struct build_opts *opts, struct ix_image_opts *image, struct ix_err *err)
{
	if (opts->compression && ix_compression_parse(opts->compression, &image->compression, err) < 0)
		return ix_err_wrap(err, "--compression");
	if (opts->compression_level &&
	    ix_compression_level(opts->compression_level, image->compression, &image->compression_level, err) < 0)
		return ix_err_wrap(err, "--compression-level");
	return 0;
}

static int local_fill(const struct session *session, const struct build_opts *opts, struct ix_local_opts *local, struct ix_err *err)
{
	ix_workspace_local(session->ws, local);
	local->ssh = opts->agents.items;
	local->nssh = opts->agents.count;
	local->cache_namespace = ix_request_arg(session->ws->request, "BUILDKIT_CACHE_MOUNT_NS");
	return set_numbers(opts, &local->image, err);
}

static int engine_fill(const struct session *session, const struct build_opts *opts, const struct ix_local_opts *local,
		       struct ix_builder *builder, struct ix_engine_opts *engine, struct ix_err *err)
{
	uint64_t jobs = 0;

	if (opts->jobs && !ix_parse_u64(opts->jobs, 1000, &jobs))
		return ix_err_set(err, IX_EARG, "--jobs %s: not a number", opts->jobs);
	ix_workspace_engine(session->ws, local, builder, engine);
	engine->parallel = (unsigned)jobs;
	engine->no_step_cache = session->ws->request->no_cache;
	engine->publish = session->ws->project && !opts->no_push && !session->ws->request->offline;
	engine->channel = session->ws->channels.count > 0 ? session->ws->channels.items[0] : NULL;
	return 0;
}

static void announce(struct session *session)
{
	static const enum ix_outcome outcomes[] = {
		[IX_PLAN_SKIP] = IX_OUTCOME_NONE,
		[IX_PLAN_DONE] = IX_OUTCOME_DONE,
		[IX_PLAN_FOUND] = IX_OUTCOME_FOUND,
		[IX_PLAN_BUILD] = IX_OUTCOME_TO_BUILD,
	};

	for (size_t i = 0; i < session->ws->plan->nstages; i++) {
		const struct ix_plan_stage *planned = &session->ws->plan->stages[i];
		const struct ix_source *base = &planned->stage->base;
		const char *parent = base->kind == IX_SOURCE_STAGE ? base->stage->name : NULL;

		if (planned->decision != IX_PLAN_SKIP)
			ix_report(&session->tee.sink, &(struct ix_event){ .kind = IX_EVENT_STAGE_WAIT,
									  .stage = planned->stage->name,
									  .outcome = outcomes[planned->decision],
									  .platform = planned->stage->platform,
									  .why = planned->reason,
									  .parent = parent });
	}
}

/* --- what happened --- */

static void summary(struct session *session, const struct ix_engine *run, uint64_t start_ms)
{
	struct ix_registry_stats stats;
	char down[16], up[16];
	size_t built = 0, found = 0;

	for (size_t i = 0; i < session->ws->graph->nstages; i++) {
		enum ix_outcome outcome = ix_engine_result(run, session->ws->graph->stages[i])->outcome;

		if (session->ws->graph->stages[i]->inner)
			continue;
		built += outcome == IX_OUTCOME_BUILT;
		found += outcome == IX_OUTCOME_DONE || outcome == IX_OUTCOME_FOUND || outcome == IX_OUTCOME_SAME;
	}
	ix_registry_stats(session->ws->registry, &stats);
	fprintf(stderr, "%zu built, %zu found; %llu requests, %s down, %s up; %llu ms\n", built, found, (unsigned long long)stats.requests,
		ix_human_size(stats.bytes_down, down), ix_human_size(stats.bytes_up, up), (unsigned long long)(ix_now_ms() - start_ms));
}

/* image: as it went out, of the one target of a lone build. */
static void print_result(struct session *session, const struct ix_digest *image)
{
	char digest[IX_DIGEST_TEXT];

	for (size_t i = 0; i < session->ws->ntargets; i++) {
		const struct ix_plan_stage *planned = &session->ws->plan->stages[session->ws->targets[i]->index];

		if (session->ws->project)
			say("%s\n", planned->ref);
		else
			say("%s\n", ix_digest_text(image, digest));
	}
}

/* --no-build: what would have to be built, by name and reason. */
static int refuse_builds(const struct session *session, struct ix_err *err)
{
	ix_auto_buf list = { 0 };

	if (session->ws->plan->builds == 0)
		return 0;
	for (size_t i = 0; i < session->ws->plan->nstages; i++) {
		const struct ix_plan_stage *planned = &session->ws->plan->stages[i];

		if (planned->decision == IX_PLAN_BUILD && !planned->stage->inner)
			ix_buf_printf(&list, "%s%s (%s)", list.len ? ", " : "", planned->stage->name, planned->reason);
	}
	return ix_err_set(err, IX_EFAIL, "--no-build: would have to be built: %s", ix_buf_str(&list));
}

/* Another failure ends the run: what was not published is told before it. */
static void warn_unpublished(struct session *session, const struct ix_engine *run, const struct ix_err *failure)
{
	struct ix_err err;

	if (failure->code != IX_ECANCELED && ix_engine_published(run, &err) < 0)
		ix_workspace_warn(session->ws, "%s\n%s", err.msg, err.detail);
}

/* A build with all that was made for it. */
struct making {
	struct ix_local_opts local;
	struct ix_builder *builder;
	struct ix_engine *run;
	struct ix_digest image; /* as it went out, of the one target of a lone build */
};

static void making_release(struct making *making)
{
	ix_engine_free(making->run);
	ix_builder_free(making->builder);
}

static int attempt(struct session *session, struct build_opts *opts, struct making *making, struct ix_err *err)
{
	struct ix_engine_opts engine;
	int r = ix_workspace_plan(session->ws, err);

	if (r < 0)
		return r;
	making->local.image.epoch = session->ws->epoch;
	if (opts->no_build && (r = refuse_builds(session, err)) < 0)
		return r;
	ix_workspace_advise(session->ws);
	announce(session);
	r = engine_fill(session, opts, &making->local, making->builder, &engine, err);
	if (r < 0)
		return r;
	ix_engine_free(making->run);
	making->run = ix_engine_new(&engine, session->ws->graph, session->ws->state, session->ws->plan);
	r = ix_engine_run(making->run, err);
	if (r < 0)
		warn_unpublished(session, making->run, err);
	return r < 0 ? r : outputs_write(session, opts, &making->local.image, making->run, &making->image, err);
}

static int build(struct session *session, struct build_opts *opts, struct ix_err *err)
{
	ix_scoped(making_release) struct making making = { 0 };
	uint64_t start = ix_now_ms();
	int r = local_fill(session, opts, &making.local, err);

	if (r < 0)
		return r;
	making.builder = ix_local_new(&making.local);
	do {
		r = attempt(session, opts, &making, err);
	} while (r < 0 && ix_workspace_again(session->ws, err));
	if (r < 0)
		return r;
	ix_ui_finish(session->ui);
	r = ix_timeline_finish(session->timeline, err);
	if (r < 0)
		return r;
	if (!session->common.quiet)
		summary(session, making.run, start);
	if (!outputs_to_stdout(&opts->parsed))
		print_result(session, &making.image);
	return ix_engine_published(making.run, err);
}

/* What is said in vain is refused. */
static int check_options(const struct build_opts *opts, const struct ix_request *request, struct ix_err *err)
{
	bool lone = request->lone_context != NULL;

	if (opts->push && opts->no_push)
		return ix_err_set(err, IX_EARG, "--push and --no-push contradict each other");
	if (opts->push && request->offline)
		return ix_err_set(err, IX_EARG, "--push and --offline contradict each other");
	if (lone && (request->channel || request->require_cache || request->force.count > 0))
		return ix_err_set(err, IX_EARG, "--channel, --require-cache and --force go with a project; a PATH has --no-cache");
	return 0;
}

static int agents_add(const struct ix_strv *specs, struct ix_agents *agents, struct ix_err *err)
{
	for (size_t i = 0; i < specs->count; i++)
		if (ix_agents_add(agents, specs->items[i], err) < 0)
			return ix_err_wrap(err, "--ssh %s", specs->items[i]);
	return 0;
}

/* Everything that can be wrong with the command line is found before anything is opened. */
static int prepare(struct build_opts *opts, struct ix_request *request, struct session *session, struct ix_err *err)
{
	int r;

	request->publish = !opts->no_push && !request->offline;
	request->complete = request->publish;
	if ((r = docker_opts_check(&opts->docker, err)) < 0 ||
	    (r = ix_request_operands(&opts->operands, request, session->common.workspace.project_file != NULL, err)) < 0 ||
	    (r = check_options(opts, request, err)) < 0 || (r = ix_request_settle(request, err)) < 0 ||
	    (r = outputs_parse(&opts->outputs, opts->push && (request->lone_context || request->tags.count > 0), &opts->parsed, err)) < 0 ||
	    (r = agents_add(&opts->ssh, &opts->agents, err)) < 0)
		return r;
	return 0;
}

static int run(struct session *session, struct build_opts *opts, struct ix_request *request, int *ret_status, struct ix_err *err)
{
	const char *call = opts->check ? "check" : opts->call;
	int r = prepare(opts, request, session, err);

	if (r < 0)
		return r;
	if (call && strcmp(call, "build") != 0) {
		if ((r = call_prepare(call, request, err)) == 0)
			r = session_open(session, request, false, err);
		return r < 0 ? r : call_run(session, call, ret_status, err);
	}
	r = session_open(session, request, true, err);
	return r < 0 ? r : build(session, opts, err);
}

int cmd_build(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	ix_scoped(build_opts_release) struct build_opts b = { 0 };
	auto_session session = { 0 };
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 'f', "file", "FILE", OPT_TEXT, &request.lone_file, "Dockerfile (default: PATH/Dockerfile; - for standard input)" },
		{ 't', "tag", "NAME", OPT_LIST, &request.tags, "name for the image, in the local store" },
		{ 0, "target", "STAGE", OPT_TEXT, &request.target, "inner stage of the Dockerfile to build" },
		{ 0, "annotation", "K=V", OPT_LIST, &request.annotations, "annotation for the image's manifest" },
		KEY_OPTIONS(&request),
		NETWORK_OPTION(&request),
		{ 0, "ssh", "ID[=SOCKET|KEY]", OPT_LIST, &b.ssh, "agent or keys for RUN --mount=type=ssh" },
		{ 0, "no-cache", NULL, OPT_FLAG, &request.no_cache, "build everything again" },
		{ 0, "no-cache-filter", "STAGE,...", OPT_LIST, &request.no_cache_filter, "build these inner stages again" },
		{ 0, "force", "STAGE", OPT_LIST, &request.force, "build this stage, and those built on it, though the images exist" },
		{ 0, "force-all", NULL, OPT_FLAG, &request.force_all, "build all stages" },
		{ 0, "pull", NULL, OPT_FLAG, &request.pull, "ask registries for base images even when a local image has the name" },
		{ 0, "push", NULL, OPT_FLAG, &b.push, "push the tagged names (projects publish without being asked)" },
		{ 0, "channel", "NAME", OPT_TEXT, &request.channel, "the channel to move and to start from (default: the git branch)" },
		REQUIRE_CACHE_OPTION(&request),
		{ 0, "no-build", NULL, OPT_FLAG, &b.no_build, "fail if anything would have to be built" },
		{ 0, "no-push", NULL, OPT_FLAG, &b.no_push, "do not publish to the project's registry" },
		{ 0, "load", NULL, OPT_FLAG, &b.load, "keep the image in the local store, which is always done" },
		{ 'o', "output", "SPEC", OPT_LIST, &b.outputs,
		  "type=oci|docker|tar|local|registry|image[,dest=PATH][,compression=...]; a directory; - for a tar" },
		{ 0, "compression", "KIND", OPT_TEXT, &b.compression, "gzip (default), zstd or uncompressed layers" },
		{ 0, "compression-level", "N", OPT_TEXT, &b.compression_level, "level for new layers" },
		{ 0, "iidfile", "FILE", OPT_TEXT, &b.iidfile, "write the image's id to a file" },
		{ 0, "metadata-file", "FILE", OPT_TEXT, &b.metadata_file, "write digests and names as JSON to a file" },
		{ 0, "call", "WHAT", OPT_TEXT, &b.call, "check, outline or targets instead of building; check,format=json" },
		{ 0, "check", NULL, OPT_FLAG, &b.check, "the same as --call=check" },
		{ 'j', "jobs", "N", OPT_TEXT, &b.jobs,
		  "stages to build at once (default: as many as can run and memory allows, up to 64)" },
		{ 0, "progress", "KIND", OPT_TEXT, &session.common.progress, "auto, tty, plain, json or quiet" },
		{ 0, "trace", "FILE", OPT_TEXT, &session.common.trace, "write when what happened, for chrome://tracing and Perfetto" },
		{ 'q', "quiet", NULL, OPT_FLAG, &session.common.quiet, "print only the result" },
		DOCKER_OPTIONS(&b.docker),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "build", "[STAGE...] | PATH", NULL, NULL };
	struct ix_err err;
	int status = 0;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &b.operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (run(&session, &b, &request, &status, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return status;
}
