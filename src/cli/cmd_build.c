#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fsutil.h"
#include "cli_int.h"
#include "signals_int.h"

static const char text[] = "Build what is missing. In a project (ix.yaml) the operands are stages; without operands everything that\n"
			   "nobody else is built on. With a path (., ./DIR, /DIR, or - for a Dockerfile on standard input) a lone\n"
			   "Dockerfile is built, with docker build's options.";

struct build_opts {
	struct ix_strv operands, outputs, secrets, add_hosts, no_cache_filter;
	const char *compression, *jobs, *iidfile, *epoch_text;
	bool push, no_push, load;
	struct ix_build_secret *secret_list;
	size_t nsecrets;
	struct ix_strv secret_texts;
};

static void build_opts_release(struct build_opts *opts)
{
	struct ix_strv *lists[] = { &opts->operands,  &opts->outputs,         &opts->secrets,
				    &opts->add_hosts, &opts->no_cache_filter, &opts->secret_texts };

	for (size_t i = 0; i < IX_ARRAY_LEN(lists); i++)
		ix_strv_release(lists[i]);
	free(opts->secret_list);
}

static bool is_path(const char *operand)
{
	return operand[0] == '.' || operand[0] == '/' || strcmp(operand, "-") == 0 || strstr(operand, "://");
}

/* --- comma-separated key=value options --- */

static const char *csv_get(const struct ix_strv *fields, const char *key)
{
	return ix_env_get(fields, key);
}

static void csv_split(const char *text_in, struct ix_strv *fields)
{
	ix_auto_free char *copy = ix_strdup(text_in);
	char *rest = copy, *field;

	while ((field = strsep(&rest, ",")) != NULL)
		ix_strv_add(fields, field);
}

/* id=ID[,src=FILE|,env=NAME]; without either: the variable of that name if there is one, otherwise the file. */
static int parse_secrets(struct build_opts *opts, struct ix_err *err)
{
	opts->secret_list = ix_calloc(opts->secrets.count, sizeof(*opts->secret_list));
	for (size_t i = 0; i < opts->secrets.count; i++) {
		ix_auto_strv fields = { 0 };
		struct ix_build_secret *secret = &opts->secret_list[opts->nsecrets++];
		const char *id, *file, *env, *type;

		csv_split(opts->secrets.items[i], &fields);
		id = csv_get(&fields, "id");
		file = csv_get(&fields, "src") ? csv_get(&fields, "src") : csv_get(&fields, "source");
		env = csv_get(&fields, "env");
		type = csv_get(&fields, "type");
		if (!id || !*id)
			return ix_err_set(err, IX_EARG, "--secret %s: id=NAME is missing", opts->secrets.items[i]);
		if (type && strcmp(type, "file") != 0 && strcmp(type, "env") != 0)
			return ix_err_set(err, IX_EARG, "--secret %s: type is file or env", opts->secrets.items[i]);
		if (type && strcmp(type, "env") == 0 && !env)
			env = file ? file : id;
		if (!env && !file && getenv(id)) /* NOLINT(concurrency-mt-unsafe) */
			env = id;
		if (!env && !file)
			file = id;
		ix_strv_add(&opts->secret_texts, id);
		secret->id = opts->secret_texts.items[opts->secret_texts.count - 1];
		ix_strv_add(&opts->secret_texts, env ? env : file);
		*(env ? &secret->env : &secret->file) = opts->secret_texts.items[opts->secret_texts.count - 1];
	}
	return 0;
}

/* --- engine --- */

void engine_options(struct session *session, struct ix_engine_opts *ret_opts)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH"); /* NOLINT(concurrency-mt-unsafe) */
	uint64_t seconds;

	*ret_opts = (struct ix_engine_opts){
		.store = session->store,
		.cache = session->cache,
		.sink = ix_ui_sink(session->ui),
		.cancel = session->cancel,
		.project = session->project ? session->project->name : NULL,
		.compression = IX_COMPRESSION_GZIP,
		.epoch = -1,
		.image_tls = session->project && session->project->image_tls,
	};
	if (epoch && ix_parse_u64(epoch, INT64_MAX, &seconds))
		ret_opts->epoch = (int64_t)seconds;
}

static int set_compression(const char *name, struct ix_engine_opts *engine, struct ix_err *err)
{
	if (!name || strcmp(name, "gzip") == 0)
		engine->compression = IX_COMPRESSION_GZIP;
	else if (strcmp(name, "zstd") == 0)
		engine->compression = IX_COMPRESSION_ZSTD;
	else if (strcmp(name, "uncompressed") == 0)
		engine->compression = IX_COMPRESSION_NONE;
	else
		return ix_err_set(err, IX_EARG, "--compression %s: gzip, zstd or uncompressed", name);
	return 0;
}

static void announce(struct session *session)
{
	for (size_t i = 0; i < session->plan->nstages; i++) {
		const struct ix_plan_stage *planned = &session->plan->stages[i];
		const char *parent = NULL;

		for (size_t j = 0; j < planned->stage->nlinks; j++)
			if (planned->stage->links[j].is_base)
				parent = planned->stage->links[j].stage->name;
		if (planned->decision != IX_PLAN_SKIP)
			ix_report(ix_ui_sink(session->ui), &(struct ix_event){ .kind = IX_EVENT_STAGE_WAIT,
									       .stage = planned->stage->name,
									       .text = ix_decision_text(planned->decision),
									       .why = planned->reason,
									       .parent = parent });
	}
}

/* --- outputs --- */

struct output {
	struct ix_export spec;
	struct ix_strv fields;
	bool to_registry;
};

static int parse_output(const char *text_in, struct output *output, struct ix_err *err)
{
	const char *type, *tar;

	*output = (struct output){ 0 };
	if (strcmp(text_in, "-") == 0) {
		output->spec.kind = IX_EXPORT_TAR;
		return 0;
	}
	if (!strchr(text_in, '=')) {
		ix_strv_add(&output->fields, text_in);
		output->spec.kind = IX_EXPORT_LOCAL;
		output->spec.dest = output->fields.items[0];
		return 0;
	}
	csv_split(text_in, &output->fields);
	type = csv_get(&output->fields, "type");
	output->spec.dest = csv_get(&output->fields, "dest");
	tar = csv_get(&output->fields, "tar");
	output->spec.directory = tar && strcmp(tar, "false") == 0;
	if (ix_streq(type, "oci"))
		output->spec.kind = IX_EXPORT_OCI;
	else if (ix_streq(type, "docker"))
		output->spec.kind = IX_EXPORT_DOCKER;
	else if (ix_streq(type, "tar"))
		output->spec.kind = IX_EXPORT_TAR;
	else if (ix_streq(type, "local"))
		output->spec.kind = IX_EXPORT_LOCAL;
	else if (ix_streq(type, "registry") || ix_streq(type, "image"))
		output->to_registry = ix_streq(type, "registry") || ix_streq(csv_get(&output->fields, "push"), "true");
	else
		return ix_err_set(err, IX_EARG, "--output %s: type is one of oci, docker, tar, local, registry and image", text_in);
	for (size_t i = 0; i < output->fields.count; i++) {
		static const char *const known[] = { "type=", "dest=", "tar=", "push=" };
		bool ok = false;

		for (size_t j = 0; j < IX_ARRAY_LEN(known); j++)
			ok = ok || ix_starts(output->fields.items[i], known[j]);
		if (!ok)
			return ix_err_set(err, IX_EARG, "--output: '%s' is not supported", output->fields.items[i]);
	}
	return 0;
}

/* The one image that outputs and tags are about. */
static int only_target(struct session *session, const struct ix_plan_stage **ret_planned, struct ix_err *err)
{
	if (session->ntargets != 1)
		return ix_err_set(err, IX_EARG, "--output, --tag and --iidfile are about one image: name one stage");
	*ret_planned = &session->plan->stages[session->targets[0]->index];
	return 0;
}

static int tag_names(const struct build_request *request, struct ix_strv *names, struct ix_err *err)
{
	for (size_t i = 0; i < request->tags.count; i++) {
		ix_auto_ref ref = { 0 };

		if (ix_ref_parse(request->tags.items[i], &ref, err) < 0)
			return ix_err_wrap(err, "--tag %s", request->tags.items[i]);
		ix_strv_take(names, ix_ref_text(&ref));
	}
	return 0;
}

static int tag_image(struct session *session, const struct ix_strv *names, const struct ix_digest *manifest, const char *ref,
		     struct ix_err *err)
{
	ix_auto_manifest parsed = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);

	if (names->count == 0)
		return 0;
	if (ix_cache_image(session->cache, ref, manifest, &parsed, &config, err) < 0 ||
	    ix_blob_read(session->store, manifest, &body, err) < 0)
		return -(int)err->code;
	for (size_t i = 0; i < names->count; i++)
		if (ix_store_tag(session->store, names->items[i], manifest, parsed.media_type, body.len, err) < 0)
			return -(int)err->code;
	return 0;
}

static int write_outputs(struct session *session, const struct build_opts *opts, const struct ix_engine_opts *engine,
			 const struct ix_digest *manifest, const char *ref, const struct ix_strv *names, bool *ret_push, struct ix_err *err)
{
	for (size_t i = 0; i < opts->outputs.count; i++) {
		struct output output;
		int r = parse_output(opts->outputs.items[i], &output, err);

		output.spec.names = (const char *const *)names->items;
		if (r == 0 && output.to_registry)
			*ret_push = true;
		else if (r == 0 && !ix_streq(csv_get(&output.fields, "type"), "image"))
			r = ix_export_image(engine, manifest, ref, &output.spec, err);
		ix_strv_release(&output.fields);
		if (r < 0)
			return ix_err_wrap(err, "--output %s", opts->outputs.items[i]);
	}
	(void)session;
	return 0;
}

static int finish_target(struct session *session, const struct build_opts *opts, const struct ix_engine_opts *engine,
			 const struct ix_engine *run, struct ix_err *err)
{
	const struct ix_plan_stage *planned = NULL;
	const struct ix_stage_result *result;
	ix_auto_strv names = { 0 };
	char digest[IX_DIGEST_TEXT];
	bool push = opts->push && !session->project;
	const char *ref;

	if (opts->outputs.count == 0 && session->request->tags.count == 0 && !opts->iidfile && !push)
		return 0;
	if (only_target(session, &planned, err) < 0 || tag_names(session->request, &names, err) < 0)
		return -(int)err->code;
	result = ix_engine_result(run, planned->stage);
	ref = planned->remote && result->outcome != IX_OUTCOME_BUILT ? planned->ref : NULL;
	if (tag_image(session, &names, &result->manifest, ref, err) < 0 ||
	    write_outputs(session, opts, engine, &result->manifest, ref, &names, &push, err) < 0)
		return -(int)err->code;
	if (push && names.count == 0)
		return ix_err_set(err, IX_EARG, "--push needs a name: --tag REGISTRY/NAME");
	for (size_t i = 0; push && i < names.count; i++) {
		struct ix_published moved;

		if (ix_cache_publish_name(session->cache, names.items[i], &result->manifest, ref, planned->stage->name, &moved, err) < 0)
			return -(int)err->code;
	}
	ix_digest_text(&result->manifest, digest);
	if (opts->iidfile && ix_publish_file(AT_FDCWD, opts->iidfile, digest, strlen(digest), 0644, err) < 0)
		return -(int)err->code;
	return 0;
}

/* --- what happened --- */

static void summary(struct session *session, const struct ix_engine *run, uint64_t start_ms)
{
	struct ix_registry_stats stats;
	char down[16], up[16];
	size_t built = 0, found = 0;

	for (size_t i = 0; i < session->graph->nstages; i++) {
		enum ix_outcome outcome = ix_engine_result(run, session->graph->stages[i])->outcome;

		if (session->graph->stages[i]->inner)
			continue;
		built += outcome == IX_OUTCOME_BUILT;
		found += outcome == IX_OUTCOME_DONE || outcome == IX_OUTCOME_FOUND;
	}
	ix_registry_stats(session->registry, &stats);
	fprintf(stderr, "%zu built, %zu found; %llu requests, %s down, %s up; %llu ms\n", built, found, (unsigned long long)stats.requests,
		ix_human_size(stats.bytes_down, down), ix_human_size(stats.bytes_up, up), (unsigned long long)(ix_now_ms() - start_ms));
}

static void print_result(struct session *session, const struct ix_engine *run)
{
	char digest[IX_DIGEST_TEXT];

	for (size_t i = 0; i < session->ntargets; i++) {
		const struct ix_plan_stage *planned = &session->plan->stages[session->targets[i]->index];

		if (session->project)
			printf("%s\n", planned->ref);
		else
			printf("%s\n", ix_digest_text(&ix_engine_result(run, planned->stage)->manifest, digest));
	}
}

static int build(struct session *session, struct build_opts *opts, struct ix_engine_opts *engine, struct ix_err *err)
{
	ix_scoped(ix_engine_freep) struct ix_engine *run = NULL;
	uint64_t start = ix_now_ms();
	bool to_stdout = false;

	for (size_t i = 0; i < opts->outputs.count; i++)
		to_stdout = to_stdout || strcmp(opts->outputs.items[i], "-") == 0 ||
			    (strstr(opts->outputs.items[i], "type=") &&
			     (!strstr(opts->outputs.items[i], "dest=") || strstr(opts->outputs.items[i], "dest=-")));
	if (session_plan(session, err) < 0)
		return -(int)err->code;
	announce(session);
	if (ix_engine_new(engine, session->graph, session->state, session->plan, &run, err) < 0 || ix_engine_run(run, err) < 0 ||
	    finish_target(session, opts, engine, run, err) < 0)
		return -(int)err->code;
	ix_ui_finish(session->ui);
	if (!session->common.quiet)
		summary(session, run, start);
	if (!to_stdout)
		print_result(session, run);
	return 0;
}

static int check_operands(struct build_opts *opts, struct build_request *request, struct session *session, struct ix_err *err)
{
	bool lone = false;

	for (size_t i = 0; i < opts->operands.count; i++)
		lone = lone || (is_path(opts->operands.items[i]) && !session->common.project_file);
	if (lone && opts->operands.count != 1)
		return ix_err_set(err, IX_EARG, "ix build takes one PATH, or names of stages");
	if (lone && strstr(opts->operands.items[0], "://"))
		return ix_err_set(err, IX_EARG, "a URL as build context is not supported yet: fetch it and name the directory");
	if (lone)
		request->lone_context = opts->operands.items[0];
	else
		ix_strv_copy(&request->stages, &opts->operands);
	if (!lone && (request->lone_file || request->target))
		return ix_err_set(err, IX_EARG, "--file and --target go with a PATH; stages of a project have theirs in ix.yaml");
	return 0;
}

int cmd_build(int argc, char **argv)
{
	ix_scoped(build_request_release) struct build_request request = { 0 };
	ix_scoped(build_opts_release) struct build_opts b = { 0 };
	auto_session session = { .cancel = signals_cancel() };
	struct ix_engine_opts engine;
	uint64_t jobs = 0;
	const struct opt opts[] = {
		{ 'p', "project", "FILE", OPT_TEXT, &session.common.project_file, "project file (default: ix.yaml)" },
		{ 'f', "file", "FILE", OPT_TEXT, &request.lone_file, "Dockerfile (default: PATH/Dockerfile; - for standard input)" },
		{ 't', "tag", "NAME", OPT_LIST, &request.tags, "name for the image, in the local store" },
		{ 0, "target", "STAGE", OPT_TEXT, &request.target, "inner stage of the Dockerfile to build" },
		{ 0, "build-arg", "K=V", OPT_LIST, &request.build_args, "set an argument" },
		{ 0, "build-context", "NAME=VALUE", OPT_LIST, &request.build_contexts,
		  "named context: directory, docker-image://, oci-layout://" },
		{ 0, "label", "K=V", OPT_LIST, &request.labels, "label for the image" },
		{ 0, "secret", "id=ID,src=FILE", OPT_LIST, &b.secrets, "secret for RUN --mount=type=secret (src=FILE or env=NAME)" },
		{ 0, "add-host", "HOST:IP", OPT_LIST, &b.add_hosts, "line for /etc/hosts in steps" },
		{ 0, "platform", "OS/ARCH", OPT_TEXT, &request.platform, "platform to build for" },
		{ 0, "no-cache", NULL, OPT_FLAG, &request.no_cache, "build everything again" },
		{ 0, "force", "STAGE", OPT_LIST, &request.force, "build this stage, and those built on it, though the images exist" },
		{ 0, "force-all", NULL, OPT_FLAG, &request.force_all, "build all stages" },
		{ 0, "pull", NULL, OPT_FLAG, &request.pull, "ask registries for base images even when a local image has the name" },
		{ 0, "push", NULL, OPT_FLAG, &b.push, "push the tagged names (projects publish without being asked)" },
		{ 0, "no-push", NULL, OPT_FLAG, &b.no_push, "do not publish to the project's registry" },
		{ 'o', "output", "SPEC", OPT_LIST, &b.outputs, "type=oci|docker|tar|local|registry[,dest=PATH]; a directory; - for a tar" },
		{ 0, "compression", "KIND", OPT_TEXT, &b.compression, "gzip (default), zstd or uncompressed layers" },
		{ 0, "iidfile", "FILE", OPT_TEXT, &b.iidfile, "write the image's digest to a file" },
		{ 'j', "jobs", "N", OPT_TEXT, &b.jobs, "stages to build at once (default: one per CPU)" },
		{ 0, "progress", "KIND", OPT_TEXT, &session.common.progress, "auto, tty, plain, json or quiet" },
		{ 'q', "quiet", NULL, OPT_FLAG, &session.common.quiet, "print only the result" },
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "build", "[STAGE...] | PATH", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &b.operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (b.jobs && !ix_parse_u64(b.jobs, 1000, &jobs)) {
		ix_err_set(&err, IX_EARG, "--jobs %s: not a number", b.jobs);
		return complain(&err);
	}
	request.publish = !b.no_push;
	if (check_operands(&b, &request, &session, &err) < 0 || parse_secrets(&b, &err) < 0 ||
	    session_open(&session, &request, true, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	engine_options(&session, &engine);
	engine.parallel = (unsigned)jobs;
	engine.secrets = b.secret_list;
	engine.nsecrets = b.nsecrets;
	engine.add_hosts = (const char *const *)b.add_hosts.items;
	engine.no_step_cache = request.no_cache;
	engine.publish = session.project && !b.no_push;
	if (set_compression(b.compression, &engine, &err) < 0 || build(&session, &b, &engine, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return 0;
}
