#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "cli_int.h"
#include "io/digest.h"
#include "plan/plan.h"
#include "state/state.h"
#include "store/store.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] =
	"Print what the steps of a stage printed when its image was built, here or on another machine: its log travels with its\n"
	"record. With a step's number, only what that step printed. logs: in ix.yaml says whether logs are kept.";

/* The record of the image that the stage has now, else of its last build here. */
static int record_of(const struct ix_workspace *ws, const struct ix_stage *stage, struct ix_kept_record *ret_record, struct ix_err *err)
{
	int r = ix_cache_record_of_key(ws->cache, stage->name, ix_state_stage_key(ws->state, stage), ret_record, err);

	if (r != -IX_ENOTFOUND)
		return r;
	r = ix_plan_last(ws->store, ws->cache, ws->remembered, stage, ret_record, err);
	if (r == -IX_ENOTFOUND)
		return ix_err_set(err, IX_ENOTFOUND, "stage '%s' was never built here, and the registry has no record of it", stage->name);
	return r;
}

static int log_of(const struct ix_workspace *ws, const struct ix_kept_record *kept, const struct ix_record *record, struct ix_buf *ret_log,
		  struct ix_err *err)
{
	char hex[IX_DIGEST_HEX + 1];
	int r;

	if (record->log)
		return ix_buf_append(ret_log, record->log, strlen(record->log), err);
	r = ix_store_fact(ws->store, IX_LOG_TOPIC, ix_digest_hex(&kept->key, hex), ret_log, NULL, err);
	return r == -IX_ENOTFOUND ? ix_kept_record_log(ws->cache, kept, ret_log, err) : r;
}

static int read_log(const struct ix_workspace *ws, const struct ix_stage *stage, struct ix_buf *ret_log, struct ix_err *err)
{
	ix_scoped(ix_record_freep) struct ix_record *record = NULL;
	ix_auto_kept_record kept = { 0 };
	int r;

	if ((r = record_of(ws, stage, &kept, err)) < 0 || (r = ix_record_parse(&kept.json, &record, err)) < 0)
		return r;
	/* An image that was found by its second key is that of another build. */
	if (record->has_same_as) {
		struct ix_digest made_as = record->same_as;

		ix_kept_record_release(&kept);
		ix_record_free(ix_steal(&record));
		if ((r = ix_cache_record_of_key(ws->cache, stage->name, &made_as, &kept, err)) < 0 ||
		    (r = ix_record_parse(&kept.json, &record, err)) < 0)
			return r;
	}
	r = log_of(ws, &kept, record, ret_log, err);
	if (r == -IX_ENOTFOUND || (r == 0 && ret_log->len == 0))
		return ix_err_set(err, IX_ENOTFOUND, "stage '%s' has no log: its steps printed nothing, or logs were not kept",
				  stage->name);
	return r;
}

/* A step's part begins with "#NUMBER " at the beginning of a line, and ends before the next. */
static bool is_head(const char *line, unsigned *ret_number)
{
	char *end;

	if (*line != '#' || line[1] < '1' || line[1] > '9')
		return false;
	*ret_number = (unsigned)strtoul(line + 1, &end, 10);
	return *end == ' ';
}

static bool print_log(const struct ix_buf *log, unsigned step)
{
	bool wanted = step == 0, any = false;

	for (const char *line = ix_buf_str(log); *line;) {
		size_t len = strcspn(line, "\n");
		unsigned number;

		if (step > 0 && is_head(line, &number))
			wanted = number == step;
		if (wanted)
			say("%.*s\n", (int)len, line);
		any = any || wanted;
		line += len + (line[len] == '\n');
	}
	return any;
}

static int logs(struct session *session, const struct ix_strv *operands, struct ix_err *err)
{
	ix_auto_buf log = { 0 };
	uint64_t step = 0;
	int r;

	if (operands->count > 1 && (!ix_parse_u64(operands->items[1], 100000, &step) || step == 0))
		return ix_err_set(err, IX_EARG, "'%s' is not a step's number", operands->items[1]);
	if ((r = ix_workspace_plan(session->ws, err)) < 0 || (r = read_log(session->ws, session->ws->targets[0], &log, err)) < 0)
		return r;
	ix_ui_finish(session->ui);
	if (!print_log(&log, (unsigned)step))
		return ix_err_set(err, IX_ENOTFOUND, "stage '%s' has no step %llu that was run", operands->items[0],
				  (unsigned long long)step);
	return 0;
}

int cmd_logs(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	ix_auto_strv operands = { 0 };
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 0, "channel", "NAME", OPT_TEXT, &request.channel, "the channel to look at (default: the git branch)" },
		KEY_OPTIONS(&request),
		NETWORK_OPTION(&request),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "logs", "STAGE [STEP]", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &operands, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (operands.count < 1 || operands.count > 2) {
		ix_err_set(&err, IX_EARG, "usage: ix logs STAGE [STEP]");
		return complain(&err);
	}
	ix_strv_add(&request.stages, operands.items[0]);
	session.common.quiet = true;
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    logs(&session, &operands, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return 0;
}
