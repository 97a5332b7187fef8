#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cli_int.h"
#include "dockerfile/dockerfile.h"
#include "signals_int.h"
#include "syntax/syntax.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

/* --call and ix check: what can be said about Dockerfiles without building them, in the form that docker buildx gives it. */

#define auto_json ix_scoped(json_decrefp) json_t

static json_t *location(unsigned first, unsigned last)
{
	return json_pack("{s:[{s:{s:I}, s:{s:I}}]}", "ranges", "start", "line", (json_int_t)first, "end", "line", (json_int_t)last);
}

/* --- checks --- */

/* The lines of the finding between two before and two behind, as docker shows them. */
static void print_excerpt(const char *text, const struct ix_check *check)
{
	unsigned number = 1;

	say("%s:%u\n--------------------\n", check->pos.file, check->pos.line);
	for (const char *line = text; *line && number <= check->last_line + 2; number++) {
		size_t len = strcspn(line, "\n");
		ix_auto_free char *copy = ix_strndup(line, len);
		ix_auto_free char *shown = ix_printable(copy, 400);
		bool hit = number >= check->pos.line && number <= check->last_line;

		if (number + 2 >= check->pos.line)
			say("%4u | %s %s\n", number, hit ? ">>>" : "   ", shown);
		if (number == check->pos.line && check->pos.column > 1)
			say("     |     %*s^\n", (int)(check->pos.column > 200 ? 200 : check->pos.column - 1), "");
		line += len + (line[len] == '\n');
	}
	say("--------------------\n");
}

static void print_finding(const struct ix_finding *finding)
{
	ix_auto_free char *stages = ix_finding_stages(finding);

	say("\nWARNING: %s - %s\n%s%s\n", finding->check->rule, finding->check->url, finding->check->message, stages);
	print_excerpt(ix_dockerfile_text(finding->file), finding->check);
}

static json_t *finding_json(const struct ix_finding *finding)
{
	const struct ix_check *check = finding->check;
	json_t *json =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "ruleName", check->rule, "description", check->description, "url", check->url,
			  "detail", check->message, "file", check->pos.file, "location", location(check->pos.line, check->last_line));

	if (finding->stages.count < 2)
		return json;
	json_object_set_new(json, "stages", json_array());
	for (size_t i = 0; i < finding->stages.count; i++)
		json_array_append_new(json_object_get(json, "stages"), json_string(finding->stages.items[i]));
	return json;
}

/* What is wrong with a Dockerfile, as docker tells it: with the line, when the message begins with a place. */
static json_t *error_json(const struct ix_err *failure)
{
	const char *at = failure->msg;
	json_t *json = json_pack("{s:s}", "message", failure->msg);
	uint64_t line = 0;

	for (at = strchr(at, ':'); at && line == 0; at = strchr(at + 1, ':')) {
		ix_auto_free char *number = ix_strndup(at + 1, strspn(at + 1, "0123456789"));

		if (*number && at[1 + strlen(number)] == ':')
			(void)ix_parse_u64(number, UINT32_MAX, &line);
	}
	if (line > 0)
		json_object_set_new(json, "location", location((unsigned)line, (unsigned)line));
	return json;
}

static void print_findings(const struct ix_finding *findings, size_t total, const struct ix_err *failure)
{
	(void)failure; /* it is told as every error is */
	if (total == 0)
		say("Check complete, no warnings found.\n");
	else
		say("Check complete, %zu warning%s been found!\n", total, total == 1 ? " has" : "s have");
	for (size_t i = 0; i < total; i++)
		print_finding(&findings[i]);
}

static void print_findings_json(const struct ix_finding *findings, size_t total, const struct ix_err *failure)
{
	auto_json *warnings = json_array();
	auto_json *all = json_pack("{s:O}", "warnings", warnings);

	for (size_t i = 0; i < total; i++)
		json_array_append_new(warnings, finding_json(&findings[i]));
	if (failure)
		json_object_set_new(all, "buildError", error_json(failure));
	say_json(all);
}

/* All Dockerfiles that were read. Exit status 1 when anything was found. failure: what reading ended with, or NULL. */
static void run_check(struct session *session, bool json, const struct ix_err *failure, int *ret_status)
{
	size_t total;
	struct ix_finding *findings = ix_workspace_findings(session->ws, &total);
	struct ix_err violation;

	/* "# check=error=true" */
	if (!failure && ix_workspace_violation(session->ws, &violation) < 0)
		failure = &violation;
	*ret_status = total > 0 || failure;
	(json ? print_findings_json : print_findings)(findings, total, failure);
	ix_findings_free(findings, total);
}

/* --- outline --- */

static json_t *items_json(const struct ix_outline_item *items, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *one = json_pack("{s:s}", "name", items[i].name);

		if (items[i].description)
			json_object_set_new(one, "description", json_string(items[i].description));
		if (items[i].value)
			json_object_set_new(one, "value", json_string(items[i].value));
		if (items[i].required)
			json_object_set_new(one, "required", json_true());
		json_object_set_new(one, "location", location(items[i].line, items[i].line));
		json_array_append_new(list, one);
	}
	return list;
}

static void print_requirements(const char *title, const struct ix_outline_item *items, size_t n)
{
	if (n > 0)
		say("\n%-20s REQUIRED\n", title);
	for (size_t i = 0; i < n; i++)
		say("%-20s %s\n", items[i].name, items[i].required ? "true" : "");
}

static void print_outline(const struct ix_outline *outline)
{
	if (outline->name)
		say("TARGET: %s\n", outline->name);
	if (outline->description)
		say("DESCRIPTION: %s\n", outline->description);
	if (outline->nargs > 0)
		say("\n%-20s %-20s %s\n", "BUILD ARG", "VALUE", "DESCRIPTION");
	for (size_t i = 0; i < outline->nargs; i++)
		say("%-20s %-20s %s\n", outline->args[i].name, outline->args[i].value ? outline->args[i].value : "",
		    outline->args[i].description ? outline->args[i].description : "");
	print_requirements("SECRET", outline->secrets, outline->nsecrets);
	print_requirements("SSH", outline->ssh, outline->nssh);
}

static void print_outline_json(const struct ix_outline *outline)
{
	auto_json *json = json_object();

	if (outline->name)
		json_object_set_new(json, "name", json_string(outline->name));
	if (outline->description)
		json_object_set_new(json, "description", json_string(outline->description));
	json_object_set_new(json, "args", items_json(outline->args, outline->nargs));
	json_object_set_new(json, "secrets", items_json(outline->secrets, outline->nsecrets));
	json_object_set_new(json, "ssh", items_json(outline->ssh, outline->nssh));
	say_json(json);
}

/* --- targets --- */

static void print_targets(const struct ix_outline *outline)
{
	say("%-24s %s\n", "TARGET", "DESCRIPTION");
	for (size_t i = 0; i < outline->ntargets; i++) {
		const struct ix_outline_item *target = &outline->targets[i];
		bool last = i + 1 == outline->ntargets;
		ix_auto_free char *name = ix_asprintf("%s%s", target->name ? target->name : "", last ? " (default)" : "");

		if (target->name || last)
			say("%-24s %s\n", target->name ? name : "(default)", target->description ? target->description : "");
	}
}

static void print_targets_json(const struct ix_outline *outline)
{
	auto_json *json = json_pack("{s:[]}", "targets");

	for (size_t i = 0; i < outline->ntargets; i++) {
		const struct ix_outline_item *target = &outline->targets[i];
		json_t *one = json_object();

		if (target->name)
			json_object_set_new(one, "name", json_string(target->name));
		if (target->description)
			json_object_set_new(one, "description", json_string(target->description));
		if (i + 1 == outline->ntargets)
			json_object_set_new(one, "default", json_true());
		json_object_set_new(one, "base", json_string(target->value));
		if (target->platform)
			json_object_set_new(one, "platform", json_string(target->platform));
		json_object_set_new(one, "location", location(target->line, target->line));
		json_array_append_new(json_object_get(json, "targets"), one);
	}
	say_json(json);
}

/* --- the calls --- */

static int run_outline(struct session *session, const char *what, bool json, struct ix_err *err)
{
	struct ix_outline outline;

	if (session->ws->project || ix_workspace_nfiles(session->ws) == 0)
		return ix_err_set(err, IX_EARG, "--call %s is about a Dockerfile: name its directory", what);
	int r = ix_workspace_outline(session->ws, &outline, err);
	if (r < 0)
		return r;
	if (strcmp(what, "targets") == 0)
		(json ? print_targets_json : print_targets)(&outline);
	else
		(json ? print_outline_json : print_outline)(&outline);
	return 0;
}

/* The part before the comma. Caller frees. */
static char *call_what(const char *call)
{
	return ix_strndup(call, strcspn(call, ","));
}

int call_prepare(const char *call, struct ix_request *request, struct ix_err *err)
{
	ix_auto_free char *what = call_what(call);
	const char *format = call[strlen(what)] ? call + strlen(what) + 1 : "";

	if (*format && strcmp(format, "format=json") != 0 && strcmp(format, "format=text") != 0)
		return ix_err_set(err, IX_EARG, "--call %s: format=json or format=text", call);
	if (strcmp(what, "check") != 0 && strcmp(what, "outline") != 0 && strcmp(what, "targets") != 0)
		return ix_err_set(err, IX_EARG, "--call %s: build, check, outline or targets", call);
	request->checking = true;
	request->whole = strcmp(what, "check") == 0;
	return 0;
}

int call_run(struct session *session, const char *call, int *ret_status, struct ix_err *err)
{
	ix_auto_free char *what = call_what(call);
	bool json = ix_ends(call, ",format=json");
	int r;

	r = ix_workspace_load(session->ws, err);
	/* Targets are there however wrong what builds them is. */
	if (r < 0 && strcmp(what, "targets") == 0 && r == -IX_EARG && ix_workspace_nfiles(session->ws) > 0)
		r = 0;
	if (r < 0 && (strcmp(what, "check") != 0 || r != -IX_EARG || (!json && ix_workspace_nfiles(session->ws) == 0)))
		return r;
	ix_ui_finish(session->ui);
	if (strcmp(what, "check") != 0)
		return run_outline(session, what, json, err);
	run_check(session, json, r < 0 ? err : NULL, ret_status);
	return json ? 0 : r;
}

/* --- ix check --- */

static const char text[] =
	"Check Dockerfiles without building: those of the project's stages, or the one of a PATH. The rules are those of\n"
	"docker build --check. Exit status 0: nothing found, 1: warnings or an error.";

int cmd_check(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	ix_auto_strv operands = { 0 };
	bool json = false;
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 'f', "file", "FILE", OPT_TEXT, &request.lone_file, "Dockerfile (default: PATH/Dockerfile; - for standard input)" },
		{ 0, "target", "STAGE", OPT_TEXT, &request.target, "inner stage of the Dockerfile" },
		{ 0, "build-arg", "K=V", OPT_LIST, &request.build_args, "set an argument" },
		{ 0, "build-context", "NAME=VALUE", OPT_LIST, &request.build_contexts, "named context" },
		{ 0, "json", NULL, OPT_FLAG, &json, "print JSON" },
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "check", "[STAGE...] | PATH", NULL, NULL };
	const char *call;
	struct ix_err err;
	int status = 0;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	session.common.quiet = true;
	call = json ? "check,format=json" : "check";
	if (ix_request_operands(&operands, &request, session.common.workspace.project_file != NULL, &err) < 0 ||
	    call_prepare(call, &request, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    call_run(&session, call, &status, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return status;
}
