#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli_int.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "plan/plan.h"
#include "state/state.h"

/* The stage a stage is drawn below: the one it is built FROM, through its inner stages. */
static const struct ix_stage *parent_of(const struct ix_stage *stage)
{
	do {
		stage = stage->base.kind == IX_SOURCE_STAGE ? stage->base.stage : NULL;
	} while (stage && stage->inner);
	return stage;
}

static bool shown(const struct ix_workspace *ws, const struct ix_stage *stage)
{
	return ws->plan->stages[stage->index].ref != NULL && !stage->inner;
}

static const struct {
	const char *icon, *word, *color;
} looks[] = {
	[IX_PLAN_SKIP] = { "·", "not needed", "2" },
	[IX_PLAN_DONE] = { "✔", "done", "32" },
	[IX_PLAN_FOUND] = { "⇣", "found", "36" },
	[IX_PLAN_BUILD] = { "●", "build", "33;1" },
};

struct drawing {
	const struct ix_workspace *ws;
	unsigned width; /* of the first column */
	/* The last child of a stage, and of none before all; the child of the same stage before a stage. NULL: no such. */
	const struct ix_stage **last_child, **earlier;
	bool color;
};

/* A stage that nothing asks for is shown as what it is, too. */
static enum ix_decision appearance(const struct ix_plan_stage *planned)
{
	if (planned->decision != IX_PLAN_SKIP)
		return planned->decision;
	return planned->local ? IX_PLAN_DONE : planned->remote ? IX_PLAN_FOUND : IX_PLAN_SKIP;
}

static unsigned columns(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void draw_line(const struct drawing *self, const char *lead, const struct ix_stage *stage)
{
	const struct ix_plan_stage *planned = &self->ws->plan->stages[stage->index];
	unsigned used = columns(lead) + columns(stage->name);
	enum ix_decision look = appearance(planned);
	const char *reason = planned->reason ? planned->reason : look == IX_PLAN_SKIP ? "" : "not needed";

	if (self->color)
		printf("%s\033[%sm%s\033[0m ", lead, looks[look].color, looks[look].icon);
	else
		printf("%s%s ", lead, looks[look].icon);
	say("%s", stage->name);
	say("%*s  %-10s  %s\n", (int)(self->width > used ? self->width - used : 0), "", looks[look].word, reason);
	for (size_t i = 1; i < planned->causes.count; i++)
		say("%*s%s\n", (int)self->width + 16, "", planned->causes.items[i]);
}

/* One entry of the way down the tree: children are drawn below their parents, with an explicit stack. */
struct pending {
	const struct ix_stage *stage;
	char *lead;  /* before its icon */
	char *below; /* before its children's */
};

static void push_children(const struct drawing *self, const struct ix_stage *parent, const char *below, struct pending *stack, size_t *n)
{
	bool last = true;

	/* From the last one, so that the first is on top of the stack. */
	for (const struct ix_stage *stage = self->last_child[parent ? parent->index + 1 : 0]; stage; stage = self->earlier[stage->index]) {
		stack[(*n)++] = (struct pending){
			stage,
			parent ? ix_asprintf("%s%s", below, last ? "└─ " : "├─ ") : ix_strdup(""),
			parent ? ix_asprintf("%s%s", below, last ? "   " : "│  ") : ix_strdup(""),
		};
		last = false;
	}
}

static unsigned first_column(const struct ix_workspace *ws)
{
	unsigned width = 8;

	for (size_t i = 0; i < ws->graph->nstages; i++) {
		const struct ix_stage *stage = ws->graph->stages[i];
		unsigned used = (unsigned)strlen(stage->name);

		for (const struct ix_stage *above = parent_of(stage); above; above = parent_of(above))
			used += 3;
		if (shown(ws, stage) && used > width)
			width = used;
	}
	return width;
}

/* Caller frees both. */
static void link_children(struct drawing *self)
{
	const struct ix_graph *graph = self->ws->graph;

	self->last_child = ix_calloc(graph->nstages + 1, sizeof(struct ix_stage *));
	self->earlier = ix_calloc(graph->nstages + 1, sizeof(struct ix_stage *));
	for (size_t i = 0; i < graph->nstages; i++) {
		const struct ix_stage *stage = graph->stages[i], *parent = parent_of(stage);
		const struct ix_stage **last = &self->last_child[parent ? parent->index + 1 : 0];

		if (!shown(self->ws, stage))
			continue;
		self->earlier[i] = *last;
		*last = stage;
	}
}

void print_plan(const struct ix_workspace *ws)
{
	const char *no_color = getenv("NO_COLOR");
	struct drawing self = { .ws = ws, .width = first_column(ws), .color = isatty(STDOUT_FILENO) && !no_color };
	ix_auto_free struct pending *stack = ix_calloc(ws->graph->nstages + 1, sizeof(*stack));
	size_t n = 0, found = 0;

	link_children(&self);
	push_children(&self, NULL, "", stack, &n);
	while (n > 0) {
		struct pending top = stack[--n];

		draw_line(&self, top.lead, top.stage);
		push_children(&self, top.stage, top.below, stack, &n);
		free(top.lead);
		free(top.below);
	}
	free(self.last_child);
	free(self.earlier);
	for (size_t i = 0; i < ws->plan->nstages; i++)
		found += !ws->graph->stages[i]->inner &&
			 (ws->plan->stages[i].decision == IX_PLAN_DONE || ws->plan->stages[i].decision == IX_PLAN_FOUND);
	say("\n");
	for (size_t i = 0; i < ws->graph->nstages; i++)
		if (shown(ws, ws->graph->stages[i]))
			say("%-*s  %s\n", (int)self.width, ws->graph->stages[i]->name, ws->plan->stages[i].ref);
	if (ws->plan->builds == 0)
		say("\nNothing to build.\n");
	else
		say("\n%zu to build, %zu found.\n", ws->plan->builds, found);
}

void print_plan_json(const struct ix_workspace *ws)
{
	json_t *root = json_object(), *stages = json_array();

	for (size_t i = 0; i < ws->graph->nstages; i++) {
		const struct ix_stage *stage = ws->graph->stages[i];
		const struct ix_plan_stage *planned = &ws->plan->stages[i];
		json_t *json, *links = json_array(), *causes = json_array();
		char hex[IX_DIGEST_TEXT];

		if (!planned->ref)
			continue;
		for (size_t j = 0; j < stage->nlinks; j++)
			json_array_append_new(links, json_string(stage->links[j].stage->name));
		for (size_t j = 0; j < planned->causes.count; j++)
			json_array_append_new(causes, json_string(planned->causes.items[j]));
		json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:s?, s:o, s:o, s:b}", "stage", stage->name, "decision",
				 ix_decision_text(planned->decision), "key", ix_digest_text(ix_state_stage_key(ws->state, stage), hex),
				 "reference", planned->ref, "target", planned->target, "inner", stage->inner, "reason", planned->reason,
				 "causes", causes, "needs", links, "in_registry", planned->remote);
		if (stage->inner && stage->alias)
			json_object_set_new(json, "alias", json_string(stage->alias));
		if (stage->inner && stage->pos.file)
			json_object_set_new(json, "at", json_sprintf("%s:%u", stage->pos.file, stage->pos.line));
		json_array_append_new(stages, json);
	}
	json_object_set_new(root, "format", json_integer(1));
	json_object_set_new(root, "to_build", json_integer((json_int_t)ws->plan->builds));
	json_object_set_new(root, "stages", stages);
	say_json(root);
	json_decref(root);
}

/* What docker build --build-arg needs to build any of the Dockerfiles by hand. */
void print_plan_env(const struct ix_workspace *ws)
{
	for (size_t i = 0; i < ws->project->nstages; i++) {
		const struct ix_project_stage *spec = &ws->project->stages[i];
		const struct ix_stage *stage = ix_graph_find(ws->graph, spec->name);

		if (!stage || !ws->plan->stages[stage->index].ref)
			continue;
		for (size_t j = 0; j < spec->nargs; j++) {
			const char *value = spec->args[j].value;
			const struct ix_stage *link = value && ix_starts(value, "stage:") ? ix_graph_find(ws->graph, value + 6) : NULL;

			if (link)
				value = ws->plan->stages[link->index].ref;
			if (value)
				say("%s.%s=%s\n", spec->name, spec->args[j].name, value);
		}
	}
}
