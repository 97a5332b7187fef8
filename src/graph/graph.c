#include "graph/graph.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

int ix_err_at(struct ix_err *err, const struct ix_pos *pos, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	if (pos && pos->file)
		return ix_err_set(err, IX_EARG, "%s:%u:%u: %s", pos->file, pos->line, pos->column, ix_buf_str(&text));
	return ix_err_set(err, IX_EARG, "%s", ix_buf_str(&text));
}

struct ix_graph *ix_graph_new(void)
{
	struct ix_graph *graph = ix_calloc(1, sizeof(*graph));

	graph->arena = ix_arena_new();
	return graph;
}

void ix_graph_free(struct ix_graph *graph)
{
	if (!graph)
		return;
	for (size_t i = 0; i < graph->nstages; i++)
		ix_strv_release(&graph->stages[i]->env);
	ix_map_release(&graph->by_name);
	ix_arena_free(graph->arena);
	free(graph);
}

void ix_graph_join(struct ix_graph *graph, struct ix_stage *stage)
{
	const struct ix_stage *known = ix_map_get(&graph->by_name, stage->name);

	stage->index = graph->nstages;
	*IX_ARENA_PUSH(graph->arena, graph->stages, graph->nstages) = stage;
	if (!known || (known->inner && !stage->inner))
		ix_map_set(&graph->by_name, stage->name, stage);
}

struct ix_stage *ix_graph_add(struct ix_graph *graph, const char *name)
{
	struct ix_stage *stage = ix_arena_alloc(graph->arena, sizeof(*stage));

	stage->name = ix_arena_strdup(graph->arena, name);
	ix_graph_join(graph, stage);
	return stage;
}

struct ix_stage *ix_graph_find(const struct ix_graph *graph, const char *name)
{
	return ix_map_get(&graph->by_name, name);
}

void ix_stage_link(struct ix_graph *graph, struct ix_stage *stage, struct ix_stage *other, bool is_base)
{
	for (size_t i = 0; i < stage->nlinks; i++) {
		if (stage->links[i].stage == other) {
			stage->links[i].is_base |= is_base;
			return;
		}
	}
	*IX_ARENA_PUSH(graph->arena, stage->links, stage->nlinks) = (struct ix_link){ other, is_base };
}

static void add_once(struct ix_stage ***items, size_t *count, struct ix_stage *stage)
{
	for (size_t i = 0; i < *count; i++)
		if ((*items)[i] == stage)
			return;
	*items = ix_realloc_array(*items, *count + 1, sizeof(struct ix_stage *));
	(*items)[(*count)++] = stage;
}

static void add_links(const struct ix_stage *stage, struct ix_parts *parts)
{
	for (size_t i = 0; i < stage->nlinks; i++) {
		struct ix_stage *other = stage->links[i].stage;

		if (other->inner)
			add_once(&parts->inner, &parts->ninner, other);
		else
			add_once(&parts->others, &parts->nothers, other);
	}
}

void ix_stage_parts(const struct ix_stage *stage, struct ix_parts *ret_parts)
{
	*ret_parts = (struct ix_parts){ 0 };
	add_links(stage, ret_parts);
	for (size_t i = 0; i < ret_parts->ninner; i++)
		add_links(ret_parts->inner[i], ret_parts);
}

void ix_parts_release(struct ix_parts *parts)
{
	free(parts->inner);
	free(parts->others);
	*parts = (struct ix_parts){ 0 };
}

void ix_graph_reach(const struct ix_graph *graph, struct ix_stage *const *targets, size_t ntargets, bool *needed)
{
	ix_auto_free struct ix_stage **stack = ix_calloc(graph->nstages + 1, sizeof(struct ix_stage *));
	size_t n = 0;

	for (size_t i = 0; i < ntargets; i++) {
		if (!needed[targets[i]->index])
			stack[n++] = targets[i];
		needed[targets[i]->index] = true;
	}
	while (n > 0) {
		const struct ix_stage *stage = stack[--n];

		for (size_t i = 0; i < stage->nlinks; i++) {
			struct ix_stage *other = stage->links[i].stage;

			if (!needed[other->index])
				stack[n++] = other;
			needed[other->index] = true;
		}
	}
}

/* The members of one cycle, each before the one it needs: follow unfinished links until a stage comes twice. */
static int tell_cycle(const struct ix_graph *graph, const unsigned *unmet, struct ix_err *err)
{
	ix_auto_free bool *seen = ix_calloc(graph->nstages, sizeof(*seen));
	const struct ix_stage *at = NULL, *first;
	ix_auto_buf text = { 0 };

	for (size_t i = 0; i < graph->nstages && !at; i++)
		if (unmet[i] > 0)
			at = graph->stages[i];
	while (at && !seen[at->index]) {
		const struct ix_stage *next = NULL;

		seen[at->index] = true;
		for (size_t i = 0; i < at->nlinks && !next; i++)
			if (unmet[at->links[i].stage->index] > 0)
				next = at->links[i].stage;
		at = next;
	}
	if (!at)
		ix_bug("no cycle to tell of");
	first = at;
	do {
		ix_buf_printf(&text, "%s → ", at->name);
		for (size_t i = 0; i < at->nlinks; i++) {
			if (unmet[at->links[i].stage->index] > 0) {
				at = at->links[i].stage;
				break;
			}
		}
	} while (at != first);
	return ix_err_at(err, &first->pos, "stages need each other: %s%s", ix_buf_str(&text), first->name);
}

int ix_graph_order(const struct ix_graph *graph, struct ix_stage **order, struct ix_err *err)
{
	ix_auto_free unsigned *unmet = ix_calloc(graph->nstages, sizeof(*unmet));
	size_t done = 0;
	bool moved = true;

	for (size_t i = 0; i < graph->nstages; i++)
		unmet[i] = (unsigned)graph->stages[i]->nlinks + 1; /* 0 marks what is in order */
	while (moved && done < graph->nstages) {
		moved = false;
		for (size_t i = 0; i < graph->nstages; i++) {
			const struct ix_stage *stage = graph->stages[i];
			bool ready = unmet[i] > 0;

			for (size_t j = 0; j < stage->nlinks && ready; j++)
				ready = unmet[stage->links[j].stage->index] == 0;
			if (!ready)
				continue;
			unmet[i] = 0;
			order[done++] = graph->stages[i];
			moved = true;
		}
	}
	return done == graph->nstages ? 0 : tell_cycle(graph, unmet, err);
}

static const char *const words[] = {
	[IX_STEP_ADD] = "ADD",
	[IX_STEP_ARG] = "ARG",
	[IX_STEP_CMD] = "CMD",
	[IX_STEP_COPY] = "COPY",
	[IX_STEP_ENTRYPOINT] = "ENTRYPOINT",
	[IX_STEP_ENV] = "ENV",
	[IX_STEP_EXPOSE] = "EXPOSE",
	[IX_STEP_HEALTHCHECK] = "HEALTHCHECK",
	[IX_STEP_LABEL] = "LABEL",
	[IX_STEP_MAINTAINER] = "MAINTAINER",
	[IX_STEP_ONBUILD] = "ONBUILD",
	[IX_STEP_RUN] = "RUN",
	[IX_STEP_SHELL] = "SHELL",
	[IX_STEP_STOPSIGNAL] = "STOPSIGNAL",
	[IX_STEP_USER] = "USER",
	[IX_STEP_VOLUME] = "VOLUME",
	[IX_STEP_WORKDIR] = "WORKDIR",
};

const char *ix_step_word(enum ix_step_kind kind)
{
	return words[kind];
}

bool ix_step_is_script(const struct ix_step *step)
{
	const char *at;
	char quote = 0;

	if (step->exec || step->nwords != 1 || step->ndocs != 1)
		return false;
	at = step->words[0] + strspn(step->words[0], "0123456789");
	if (!ix_starts(at, "<<"))
		return false;
	for (; *at; at++) {
		if (quote)
			quote = *at == quote ? 0 : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
		else if (*at == ' ' || *at == '\t')
			return false;
	}
	return true;
}

bool ix_step_has_interpreter(const struct ix_step *step)
{
	return ix_step_is_script(step) && ix_starts(step->docs[0].raw, "#!");
}
