#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "report/report.h"
#include "state/state.h"
#include "store/store.h"

static const char *const decision_texts[] = {
	[IX_PLAN_SKIP] = "skip",
	[IX_PLAN_DONE] = "done",
	[IX_PLAN_FOUND] = "found",
	[IX_PLAN_BUILD] = "build",
};

const char *ix_decision_text(enum ix_decision decision)
{
	return decision_texts[decision];
}

struct make {
	const struct ix_graph *graph;
	const struct ix_state *state;
	struct ix_cache *cache;
	const struct ix_plan_opts *opts;
	struct ix_plan *plan;
	struct ix_found *found; /* by stage index */
	bool *wanted;           /* by stage index: reachable from a target */
};

static bool is_forced(const struct make *self, const struct ix_stage *stage)
{
	if (self->opts->force_all || stage->no_cache)
		return true;
	for (const char *const *name = self->opts->force; name && *name; name++)
		if (strcmp(*name, stage->name) == 0)
			return true;
	return false;
}

/* --- looking up --- */

static char *publish_ref(const struct make *self, const char *name)
{
	const char *slash = strchr(name, '/');
	bool has_host = slash && (memchr(name, '.', (size_t)(slash - name)) || memchr(name, ':', (size_t)(slash - name)) ||
				  ix_starts(name, "localhost/"));

	return has_host || !self->opts->registry_prefix ? ix_strdup(name) : ix_asprintf("%s%s", self->opts->registry_prefix, name);
}

static void collect_names(struct make *self, struct ix_strv *names)
{
	for (size_t i = 0; i < self->graph->nstages; i++) {
		struct ix_plan_stage *entry = &self->plan->stages[i];

		if (!entry->target || !self->opts->publish)
			continue;
		entry->nnames = entry->stage->npublish;
		entry->names = ix_calloc(entry->nnames, sizeof(*entry->names));
		for (size_t j = 0; j < entry->nnames; j++) {
			entry->names[j].name = publish_ref(self, entry->stage->publish[j]);
			ix_strv_add(names, entry->names[j].name);
		}
	}
}

/* One batch: the project's stages in store and registry, and the names the targets are published under. Inner stages have no tag of their
 * own; they are looked up in the store alone. */
static int look_up(struct make *self, struct ix_err *err)
{
	ix_auto_free struct ix_found *batch = ix_calloc(self->graph->nstages, sizeof(*batch));
	ix_auto_free size_t *index = ix_calloc(self->graph->nstages, sizeof(*index));
	ix_auto_free struct ix_digest *digests = NULL;
	ix_auto_strv names = { 0 };
	struct ix_lookup lookup;
	size_t n = 0, name = 0;
	int r;

	for (size_t i = 0; i < self->graph->nstages; i++) {
		const struct ix_stage *stage = self->graph->stages[i];

		if (!self->wanted[i])
			continue;
		self->found[i].stage = stage->name;
		self->found[i].key = ix_state_stage_key(self->state, stage);
		if (stage->inner) {
			r = ix_store_stage(self->opts->store, self->found[i].key, &self->found[i].manifest, err);
			if (r < 0 && r != -IX_ENOTFOUND)
				return r;
			self->found[i].local = r == 0;
			continue;
		}
		index[n] = i;
		batch[n++] = self->found[i];
	}
	collect_names(self, &names);
	digests = ix_calloc(names.count, sizeof(*digests));
	lookup = (struct ix_lookup){
		.found = batch,
		.n = n,
		.names = (const char *const *)names.items,
		.name_digests = digests,
		.nnames = names.count,
		.beside = self->opts->complete,
		.channel = self->opts->complete && self->opts->nchannels > 0 ? self->opts->channels[0] : NULL,
	};
	r = ix_cache_lookup(self->cache, &lookup, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		self->found[index[i]] = batch[i];
	for (size_t i = 0; i < self->graph->nstages; i++) {
		struct ix_plan_stage *entry = &self->plan->stages[i];

		for (size_t j = 0; j < entry->nnames; j++, name++)
			entry->names[j].current =
				(self->found[i].local || self->found[i].remote) && ix_digest_eq(&digests[name], &self->found[i].manifest);
	}
	return 0;
}

/* --- deciding --- */

static bool links_to_build(const struct make *self, const struct ix_stage *stage)
{
	for (size_t i = 0; i < stage->nlinks; i++)
		if (self->plan->stages[stage->links[i].stage->index].decision == IX_PLAN_BUILD)
			return true;
	return false;
}

/* Mark a stage and, when it is to be built, what it needs, with an explicit stack: depth comes from the project. */
static void need(struct make *self, const struct ix_stage *target)
{
	ix_auto_free const struct ix_stage **stack = ix_calloc(self->graph->nstages + 1, sizeof(struct ix_stage *));
	size_t n = 0;

	if (self->plan->stages[target->index].decision == IX_PLAN_SKIP)
		stack[n++] = target;
	while (n > 0) {
		const struct ix_stage *stage = stack[--n];
		struct ix_plan_stage *entry = &self->plan->stages[stage->index];
		const struct ix_found *found = &self->found[stage->index];

		entry->manifest = found->manifest;
		entry->decision = found->local ? IX_PLAN_DONE : found->remote ? IX_PLAN_FOUND : IX_PLAN_BUILD;
		if (entry->fresh)
			entry->decision = IX_PLAN_BUILD;
		for (size_t i = 0; entry->decision == IX_PLAN_BUILD && i < stage->nlinks; i++) {
			const struct ix_stage *other = stage->links[i].stage;

			/* SKIP marks what was not met yet; a stage is put on the stack once. */
			if (self->plan->stages[other->index].decision == IX_PLAN_SKIP) {
				self->plan->stages[other->index].decision = IX_PLAN_DONE;
				stack[n++] = other;
			}
		}
	}
}

/* A forced stage makes its descendants fresh too. */
static void spread_force(struct make *self, struct ix_stage *const *order)
{
	for (size_t i = 0; i < self->graph->nstages; i++) {
		const struct ix_stage *stage = order[i];
		struct ix_plan_stage *entry = &self->plan->stages[stage->index];

		entry->fresh = self->wanted[stage->index] && is_forced(self, stage);
		for (size_t j = 0; j < stage->nlinks; j++)
			if (self->plan->stages[stage->links[j].stage->index].fresh)
				entry->fresh = true;
	}
}

/* The seed's rule: a stage that is built makes its descendants be built. A stage whose image was found but whose parent has to be built for
 * somebody else's sake is built with it, so that all of a run stands on the same parent. */
static void spread_builds(struct make *self, struct ix_stage *const *order)
{
	bool changed;

	do {
		changed = false;
		for (size_t i = 0; i < self->graph->nstages; i++) {
			const struct ix_stage *stage = order[i];
			struct ix_plan_stage *entry = &self->plan->stages[stage->index];

			if (entry->decision == IX_PLAN_SKIP || entry->decision == IX_PLAN_BUILD || !links_to_build(self, stage))
				continue;
			entry->decision = IX_PLAN_BUILD;
			changed = true;
			for (size_t j = 0; j < stage->nlinks; j++)
				need(self, stage->links[j].stage);
		}
	} while (changed);
}

/* --- reasons --- */

static void warn_ignoring(const struct make *self, const struct ix_err *err)
{
	ix_auto_free char *text = ix_asprintf("%s, ignoring", err->msg);

	ix_report(self->opts->sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .text = text });
}

struct lists {
	struct ix_cache *cache;
	const struct ix_kept_record *record;
};

static int get_list(void *data, const struct ix_digest *digest, struct ix_buf *ret_list, struct ix_err *err)
{
	const struct lists *lists = data;

	return ix_kept_record_list(lists->cache, lists->record, digest, ret_list, err);
}

int ix_plan_causes(struct ix_cache *cache, const struct ix_state *state, const struct ix_stage *stage, const struct ix_kept_record *then,
		   size_t names, struct ix_causes *ret_causes, struct ix_err *err)
{
	struct lists data = { cache, then };
	const struct ix_account_lists lists = { get_list, &data, names };
	const struct ix_account_opts whole = { 0 };
	ix_auto_buf now = { 0 };
	int r = ix_state_account(state, stage, &whole, &now, err);

	if (r < 0)
		return r;
	return ix_account_diff(&then->json, &now, &lists, ret_causes, err);
}

static char *last_name(const char *remembered, const struct ix_stage *stage)
{
	return ix_asprintf("%s/%s", remembered, stage->name);
}

int ix_plan_last(struct ix_store *store, struct ix_cache *cache, const char *remembered, const struct ix_stage *stage,
		 struct ix_kept_record *ret_record, struct ix_err *err)
{
	ix_auto_free char *name = last_name(remembered, stage);
	ix_auto_buf text = IX_BUF_INIT(IX_DIGEST_TEXT);
	struct ix_digest key;
	int r;

	if ((r = ix_store_fact(store, "last", name, &text, NULL, err)) < 0 || (r = ix_digest_parse(ix_buf_str(&text), &key, err)) < 0)
		return r;
	return ix_cache_record_of_key(cache, stage->name, &key, ret_record, err);
}

/* An earlier build explains this one; a record that cannot be had or read explains nothing. */
static void account_causes(struct make *self, struct ix_plan_stage *entry)
{
	ix_auto_kept_record last = { 0 };
	ix_auto_causes causes = { 0 };
	const struct ix_kept_record *then = entry->record;
	struct ix_err ignored;

	if (ix_plan_last(self->opts->store, self->cache, self->opts->remembered, entry->stage, &last, &ignored) == 0)
		then = &last;
	if (!then || ix_plan_causes(self->cache, self->state, entry->stage, then, 0, &causes, &ignored) < 0)
		return;
	entry->known = true;
	for (size_t i = 0; i < causes.count; i++)
		ix_strv_add(&entry->causes, causes.items[i].text);
}

/* The records of what the channel has, for all stages that are to be built. */
static int find_records(struct make *self, struct ix_err *err)
{
	ix_auto_free struct ix_channel_find *finds = ix_calloc(self->graph->nstages, sizeof(*finds));
	ix_auto_free struct ix_plan_stage **entries = ix_calloc(self->graph->nstages, sizeof(struct ix_plan_stage *));
	size_t n = 0;

	for (size_t i = 0; i < self->graph->nstages; i++) {
		struct ix_plan_stage *entry = &self->plan->stages[i];

		if (entry->decision != IX_PLAN_BUILD || entry->stage->inner)
			continue;
		entries[n] = entry;
		finds[n++].stage = entry->stage->name;
	}
	int r = ix_cache_find_channels(self->cache, finds, n, self->opts->channels, self->opts->nchannels, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct ix_err why;

		if (!finds[i].channel)
			continue;
		entries[i]->record = ix_calloc(1, sizeof(*entries[i]->record));
		if (ix_cache_load_record(self->cache, &finds[i].record, entries[i]->record, &why) == 0)
			continue;
		free(entries[i]->record);
		entries[i]->record = NULL;
		ix_err_wrap(&why, "record of stage '%s' on channel %s", finds[i].stage, finds[i].channel);
		warn_ignoring(self, &why);
	}
	return 0;
}

/* A stage of the project that is built and that this one is made from; inner stages are a part of it. */
static const char *built_parent(const struct make *self, const struct ix_stage *stage)
{
	ix_auto_parts parts = { 0 };

	ix_stage_parts(stage, &parts);
	for (size_t i = 0; i < parts.nothers; i++)
		if (self->plan->stages[parts.others[i]->index].decision == IX_PLAN_BUILD)
			return parts.others[i]->name;
	return NULL;
}

static void give_reason(struct make *self, struct ix_plan_stage *entry)
{
	const char *parent;

	if (entry->decision != IX_PLAN_BUILD) {
		entry->reason = ix_strdup(entry->decision == IX_PLAN_DONE ? "unchanged" : "in the registry");
		return;
	}
	if (self->found[entry->stage->index].distrust)
		ix_strv_addf(&entry->causes, "not used from the registry: %s", self->found[entry->stage->index].distrust);
	if (is_forced(self, entry->stage))
		ix_strv_add(&entry->causes, entry->stage->no_cache ? "forced (--no-cache)" : "forced (--force)");
	else
		account_causes(self, entry);
	parent = entry->causes.count == 0 ? built_parent(self, entry->stage) : NULL;
	if (parent)
		ix_strv_addf(&entry->causes, "parent %s is built", parent);
	if (entry->causes.count == 0)
		ix_strv_add(&entry->causes, ix_cache_is_local(self->cache) ? "not built here before" : "not in the registry");
	entry->reason = ix_strdup(entry->causes.items[0]);
}

/* What is vouched for: images that a build is going to read, and those that a name is going to be moved to. */
static bool is_vouched_for(const struct make *self, const struct ix_stage *stage)
{
	const struct ix_plan_stage *entry = &self->plan->stages[stage->index];

	for (size_t i = 0; entry->decision != IX_PLAN_SKIP && i < entry->nnames; i++)
		if (!entry->names[i].current)
			return true;
	for (size_t i = 0; i < self->graph->nstages; i++) {
		const struct ix_plan_stage *user = &self->plan->stages[i];

		for (size_t j = 0; user->decision == IX_PLAN_BUILD && j < user->stage->nlinks; j++)
			if (user->stage->links[j].stage == stage)
				return true;
	}
	/* An image that was found by its second key says another key: without a record nobody can tell. */
	return entry->decision != IX_PLAN_SKIP && self->found[stage->index].beside && ix_digest_is_zero(&self->found[stage->index].record);
}

/* That has to be what its key says; signatures, where they are asked for, were looked at when it was found. */
static int check_found(struct make *self, bool *ret_again, struct ix_err *err)
{
	*ret_again = false;
	for (size_t i = 0; i < self->graph->nstages; i++) {
		const struct ix_stage *stage = self->graph->stages[i];
		struct ix_found *found = &self->found[i];
		int r;

		if (!found->remote || found->ours || found->checked || self->plan->stages[i].decision == IX_PLAN_BUILD ||
		    !is_vouched_for(self, stage))
			continue;
		r = ix_cache_check_found(self->cache, found, err);
		if (r < 0)
			return r;
		*ret_again = *ret_again || !found->remote;
	}
	return 0;
}

/* Until everything that is going to be read has been looked at: whoever is found wanting has to be built, which may make others be read. */
static int decide(struct make *self, struct ix_stage *const *targets, size_t ntargets, struct ix_stage *const *order, struct ix_err *err)
{
	bool again;
	int r;

	do {
		for (size_t i = 0; i < self->graph->nstages; i++)
			self->plan->stages[i].decision = IX_PLAN_SKIP;
		for (size_t i = 0; i < ntargets; i++)
			need(self, targets[i]);
		/* What was found damaged is mended, whoever asks for it now. */
		for (size_t i = 0; i < self->graph->nstages; i++)
			if (self->found[i].damaged)
				need(self, self->graph->stages[i]);
		spread_builds(self, order);
		r = check_found(self, &again, err);
		if (r < 0)
			return r;
	} while (again);
	return 0;
}

static int make(struct make *self, struct ix_stage *const *targets, size_t ntargets, struct ix_err *err)
{
	ix_auto_free struct ix_stage **order = ix_calloc(self->graph->nstages, sizeof(struct ix_stage *));
	int r;

	ix_graph_reach(self->graph, targets, ntargets, self->wanted);
	for (size_t i = 0; i < ntargets; i++)
		self->plan->stages[targets[i]->index].target = true;
	if ((r = ix_graph_order(self->graph, order, err)) < 0 || (r = look_up(self, err)) < 0)
		return r;
	spread_force(self, order);
	if ((r = decide(self, targets, ntargets, order, err)) < 0 || (r = find_records(self, err)) < 0)
		return r;
	for (size_t i = 0; i < self->graph->nstages; i++) {
		struct ix_plan_stage *entry = &self->plan->stages[i];

		if (!self->wanted[i])
			continue;
		entry->ref = ix_cache_stage_ref(self->cache, entry->stage->name, self->found[i].key);
		entry->local = self->found[i].local;
		entry->remote = self->found[i].remote;
		entry->manifest = self->found[i].manifest;
		entry->unsure = self->found[i].unsure;
		entry->beside = self->found[i].beside;
		entry->remote_record = self->found[i].record;
		entry->channel_record = self->found[i].channel_record;
		entry->replace = self->found[i].distrust != NULL;
		if (entry->decision != IX_PLAN_SKIP)
			give_reason(self, entry);
		if (entry->decision == IX_PLAN_BUILD) {
			self->plan->builds += !entry->stage->inner;
			for (size_t j = 0; j < entry->nnames; j++)
				entry->names[j].current = false;
		}
	}
	return 0;
}

int ix_plan_new(const struct ix_graph *graph, struct ix_stage *const *targets, size_t ntargets, const struct ix_state *state,
		struct ix_cache *cache, const struct ix_plan_opts *opts, struct ix_plan **ret_plan, struct ix_err *err)
{
	ix_scoped(ix_plan_freep) struct ix_plan *plan = ix_calloc(1, sizeof(*plan));
	ix_auto_free struct ix_found *found = ix_calloc(graph->nstages, sizeof(*found));
	ix_auto_free bool *wanted = ix_calloc(graph->nstages, sizeof(*wanted));
	struct make self = { graph, state, cache, opts, plan, found, wanted };

	plan->nstages = graph->nstages;
	plan->stages = ix_calloc(graph->nstages, sizeof(*plan->stages));
	for (size_t i = 0; i < graph->nstages; i++)
		plan->stages[i].stage = graph->stages[i];
	int r = make(&self, targets, ntargets, err);
	if (r < 0)
		return r;
	*ret_plan = ix_steal(&plan);
	return 0;
}

void ix_plan_free(struct ix_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->nstages; i++) {
		struct ix_plan_stage *entry = &plan->stages[i];

		for (size_t j = 0; j < entry->nnames; j++)
			free((void *)(uintptr_t)entry->names[j].name);
		free(entry->names);
		free(entry->ref);
		free(entry->reason);
		ix_strv_release(&entry->causes);
		if (entry->record)
			ix_kept_record_release(entry->record);
		free(entry->record);
	}
	free(plan->stages);
	free(plan);
}

int ix_plan_remember(struct ix_store *store, const char *remembered, const struct ix_stage *stage, const struct ix_digest *key,
		     struct ix_err *err)
{
	ix_auto_free char *name = last_name(remembered, stage);
	char text[IX_DIGEST_TEXT];

	ix_digest_text(key, text);
	return ix_store_set_fact(store, "last", name, text, strlen(text), err);
}
