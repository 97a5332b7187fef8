#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "cache/cache.h"
#include "cli_int.h"
#include "graph/graph.h"
#include "image/image.h"
#include "io/digest.h"
#include "plan/plan.h"
#include "signals_int.h"
#include "state/state.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

static const char text[] =
	"Say why a stage's key is another than that of its last build here or, where there was none, of its latest image\n"
	"on the channel. Causes come in order: what changed first, then what it made change. WHAT is a channel (a branch),\n"
	"a key (or its first digits, as in a tag), or an image of the stage.";

enum { NAMES = 20 }; /* of files in a line */

/* One line of the answer. */
struct line {
	const char *stage;
	char *text;
};

struct explain {
	struct session *session;
	struct line *lines;
	size_t nlines;
	struct ix_map seen; /* stages that were told about */
};

static void explain_release(struct explain *self)
{
	for (size_t i = 0; i < self->nlines; i++)
		free(self->lines[i].text);
	free(self->lines);
	ix_map_release(&self->seen);
}

/* --- what it is compared with --- */

static int record_of_image(struct session *session, const struct ix_stage *stage, const char *name, struct ix_kept_record *ret_record,
			   struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_free char *ref = NULL;
	const struct ix_image_opts image = { .store = session->ws->store, .cache = session->ws->cache };
	struct ix_digest digest, key, second;
	int r;

	if ((r = ix_workspace_image(session->ws, name, &digest, &ref, err)) < 0 ||
	    (r = ix_cache_image(session->ws->cache, ref, &digest, &manifest, &config, err)) < 0 ||
	    (r = ix_image_made_as(&image, &digest, &key, &second, err)) < 0)
		return r;
	if (ix_digest_is_zero(&key))
		return ix_err_set(err, IX_EARG, "image %s was not built by ix: it says no key", name);
	return ix_cache_record_of_key(session->ws->cache, stage->name, &key, ret_record, err);
}

static bool is_key(const char *what)
{
	size_t n = strspn(what, "0123456789abcdef");

	return !what[n] && (n == 40 || n == IX_DIGEST_HEX);
}

static int record_against(struct session *session, const struct ix_stage *stage, const char *what, struct ix_kept_record *ret_record,
			  struct ix_err *err)
{
	int r;

	if (ix_starts(what, "sha256:"))
		what += 7;
	if (is_key(what))
		return ix_cache_record_of_tag(session->ws->cache, stage->name, what, ret_record, err);
	if (strchr(what, ':') || strchr(what, '@') || strchr(what, '/')) {
		ix_auto_strv channels = { 0 };

		/* A branch may have a slash in its name, too. */
		if (!strchr(what, ':') && !strchr(what, '@')) {
			ix_workspace_channels(session->ws, what, &channels);
			if (channels.count > 0 &&
			    ix_cache_record_of_channel(session->ws->cache, stage->name, channels.items[0], ret_record, err) == 0)
				return 0;
		}
		return record_of_image(session, stage, what, ret_record, err);
	}
	r = ix_cache_record_of_channel(session->ws->cache, stage->name, what, ret_record, err);
	if (r == -IX_ENOTFOUND)
		return ix_err_set(err, IX_ENOTFOUND, "stage '%s' has no image on channel '%s' that says how it was made", stage->name,
				  what);
	return r;
}

/* The last build here, else the channel's. *ret_from: in words. Caller frees. */
static int record_default(struct session *session, const struct ix_stage *stage, struct ix_kept_record *ret_record, char **ret_from,
			  struct ix_err *err)
{
	ix_auto_strv channels = { 0 };

	if (ix_plan_last(session->ws->store, session->ws->cache, session->ws->remembered, stage, ret_record, err) == 0) {
		*ret_from = ix_strdup("the last build here");
		return 0;
	}
	ix_workspace_channels(session->ws, session->ws->request->channel, &channels);
	for (size_t i = 0; i < channels.count; i++) {
		int r = ix_cache_record_of_channel(session->ws->cache, stage->name, channels.items[i], ret_record, err);

		if (r == 0)
			*ret_from = ix_asprintf("channel %s", channels.items[i]);
		if (r != -IX_ENOTFOUND)
			return r;
	}
	return ix_err_set(err, IX_ENOTFOUND, "stage '%s' was never built here, and no channel has it: there is nothing to compare with",
			  stage->name);
}

/* --- causes --- */

static void add_line(struct explain *self, const char *stage, const char *what)
{
	self->lines = ix_realloc_array(self->lines, self->nlines + 1, sizeof(*self->lines));
	self->lines[self->nlines++] = (struct line){ stage, ix_strdup(what) };
}

/* A stage whose causes are being told, on the way from the parents to it. */
struct frame {
	const struct ix_stage *stage;
	struct ix_causes causes;
	size_t next;
};

static int open_frame(struct explain *self, const struct ix_stage *stage, const struct ix_kept_record *then, struct frame *ret_frame,
		      struct ix_err *err)
{
	*ret_frame = (struct frame){ .stage = stage };
	ix_map_set(&self->seen, stage->name, self);
	return ix_plan_causes(self->session->ws->cache, self->session->ws->state, stage, then, NAMES, &ret_frame->causes, err);
}

/* The stage a cause speaks of, when more can be told about it. */
static const struct ix_stage *deeper(struct explain *self, const struct ix_cause *cause, struct ix_kept_record *ret_then)
{
	const struct ix_stage *stage = cause->parent ? ix_graph_find(self->session->ws->graph, cause->parent) : NULL;
	struct ix_err ignored;

	if (!stage || ix_map_get(&self->seen, stage->name) ||
	    ix_cache_record_of_key(self->session->ws->cache, stage->name, &cause->then_key, ret_then, &ignored) < 0)
		return NULL;
	return stage;
}

/* Parents before those they made change, with an explicit stack. */
static int collect(struct explain *self, const struct ix_stage *stage, const struct ix_kept_record *then, struct ix_err *err)
{
	ix_auto_free struct frame *stack = ix_calloc(self->session->ws->graph->nstages + 1, sizeof(*stack));
	size_t depth = 0;
	int r = open_frame(self, stage, then, &stack[depth++], err);

	while (depth > 0) {
		struct frame *top = &stack[depth - 1];

		if (r == 0 && top->next < top->causes.count) {
			ix_auto_kept_record before = { 0 };
			const struct ix_stage *parent = deeper(self, &top->causes.items[top->next++], &before);

			if (parent)
				r = open_frame(self, parent, &before, &stack[depth++], err);
			continue;
		}
		for (size_t i = 0; r == 0 && i < top->causes.count; i++)
			add_line(self, top->stage->name, top->causes.items[i].text);
		ix_causes_release(&top->causes);
		depth--;
	}
	return r;
}

/* --- answers --- */

static void print_json(const struct explain *self, const struct ix_stage *stage, const struct ix_kept_record *then, const char *from)
{
	char now[IX_DIGEST_TEXT], before[IX_DIGEST_TEXT];
	json_t *causes = json_array();
	json_t *root;

	for (size_t i = 0; i < self->nlines; i++)
		json_array_append_new(causes, json_pack("{s:s, s:s}", "stage", self->lines[i].stage, "text", self->lines[i].text));
	root = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:o}", "format", 1, "stage", stage->name, "key",
			 ix_digest_text(ix_state_stage_key(self->session->ws->state, stage), now), "against", from, "against_key",
			 ix_digest_text(&then->key, before), "changed", self->nlines > 0, "causes", causes);
	say_json(root);
	json_decref(root);
}

static int explain(struct session *session, const char *against, bool json, struct ix_err *err)
{
	ix_scoped(explain_release) struct explain self = { .session = session };
	const struct ix_stage *stage = session->ws->targets[0];
	ix_auto_kept_record then = { 0 };
	ix_auto_free char *from = ix_strdup(against);
	int r = against ? record_against(session, stage, against, &then, err) : record_default(session, stage, &then, &from, err);

	if (r == 0)
		r = collect(&self, stage, &then, err);
	if (r < 0)
		return r;
	ix_ui_finish(session->ui);
	if (json) {
		print_json(&self, stage, &then, from);
		return 0;
	}
	for (size_t i = 0; i < self.nlines; i++)
		say("%s: %s\n", self.lines[i].stage, self.lines[i].text);
	if (self.nlines == 0)
		say("%s: nothing changed since %s\n", stage->name, from);
	return 0;
}

int cmd_explain(int argc, char **argv)
{
	ix_auto_request request = IX_REQUEST_INIT;
	auto_session session = { 0 };
	const char *against = NULL;
	bool json = false;
	const struct opt opts[] = {
		PROJECT_OPTION(&session.common),
		{ 0, "against", "WHAT", OPT_TEXT, &against, "a channel, a key or an image to compare with" },
		{ 0, "json", NULL, OPT_FLAG, &json, "as JSON" },
		{ 0, "channel", "NAME", OPT_TEXT, &request.channel, "the channel (default: the git branch)" },
		KEY_OPTIONS(&request),
		NETWORK_OPTION(&request),
		COMMON_OPTIONS(&session.common),
	};
	static const struct command self = { "explain", "STAGE", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &request.stages, &err) < 0)
		return complain(&err);
	if (session.common.help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (request.stages.count != 1) {
		ix_err_set(&err, IX_EARG, "one stage: ix explain STAGE");
		return complain(&err);
	}
	if (ix_request_settle(&request, &err) < 0 || session_open(&session, &request, false, &err) < 0 ||
	    ix_workspace_plan(session.ws, &err) < 0 || explain(&session, against, json, &err) < 0) {
		ix_ui_finish(session.ui);
		return complain(&err);
	}
	return 0;
}
