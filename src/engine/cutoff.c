/*
 * The second identity at work: a stage whose key is new, but whose inputs came out as they were when its image was made, is not run.
 *
 * An inner stage has no tag, so on an empty machine nothing would be known of it. That a stage need not be built has to be found out before its
 * inner stages run: for its second key an inner stage counts by its own second key instead of by what comes out of it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "cache/cache.h"
#include "context/context.h"
#include "engine_int.h"
#include "graph/graph.h"
#include "image/image.h"
#include "io/digest.h"
#include "state/state.h"
#include "store/store.h"

struct known {
	bool has_output, has_second, asked, found;
	struct ix_output output, second; /* second: in place of output, for what counts by it */
	pthread_mutex_t lock;            /* one job at a time finds out about a stage */
};

struct cutoff {
	struct known *known;            /* by stage index */
	const struct ix_stage **owners; /* by stage index */
	struct ix_stage **order;        /* dependencies first */
	size_t count;
};

/* What the callbacks of the state see. */
struct view {
	struct ix_engine *engine;
	bool through; /* inner stages count by their second keys */
};

/* Inner stages belong to the stage whose Dockerfile they stand in: in order of dependencies, whoever links to one hands its owner down. */
static void find_owners(const struct ix_engine *engine, struct cutoff *cutoff)
{
	for (size_t i = cutoff->count; i-- > 0;) {
		const struct ix_stage *stage = cutoff->order[i];

		if (!stage->inner)
			cutoff->owners[stage->index] = stage;
		for (size_t j = 0; cutoff->owners[stage->index] && j < stage->nlinks; j++)
			if (stage->links[j].stage->inner)
				cutoff->owners[stage->links[j].stage->index] = cutoff->owners[stage->index];
	}
	(void)engine;
}

struct cutoff *cutoff_new(struct ix_engine *engine)
{
	size_t n = engine->graph->nstages;
	struct cutoff *cutoff = ix_calloc(1, sizeof(*cutoff));
	struct ix_err err;

	cutoff->count = n;
	cutoff->known = ix_calloc(n, sizeof(*cutoff->known));
	cutoff->owners = ix_calloc(n, sizeof(struct ix_stage *));
	cutoff->order = ix_calloc(n, sizeof(struct ix_stage *));
	for (size_t i = 0; i < n; i++)
		pthread_mutex_init(&cutoff->known[i].lock, NULL);
	if (ix_graph_order(engine->graph, cutoff->order, &err) < 0)
		ix_bug("%s", err.msg); /* it had an order when it was planned */
	find_owners(engine, cutoff);
	return cutoff;
}

void cutoff_free(struct cutoff *cutoff)
{
	for (size_t i = 0; i < cutoff->count; i++)
		pthread_mutex_destroy(&cutoff->known[i].lock);
	free(cutoff->known);
	free(cutoff->owners);
	free(cutoff->order);
	free(cutoff);
}

const struct ix_stage *cutoff_owner(const struct ix_engine *engine, const struct ix_stage *stage)
{
	return engine->cutoff->owners[stage->index];
}

/* The tag of a stage's second key; NULL when it has none, as inner stages have. Caller frees. */
static char *second_ref(const struct ix_engine *engine, const struct ix_stage *stage)
{
	const struct known *known = &engine->cutoff->known[stage->index];

	return known->has_second && !stage->inner && !ix_cache_is_local(engine->opts.image.cache)
		       ? ix_cache_second_ref(engine->opts.image.cache, stage->name, &known->second.id)
		       : NULL;
}

char *cutoff_source(struct ix_engine *engine, const struct ix_stage *stage)
{
	return engine->results[stage->index].outcome == IX_OUTCOME_SAME ? second_ref(engine, stage) : NULL;
}

int cutoff_image(struct ix_engine *engine, const struct ix_stage *stage, struct ix_image *ret_image, struct ix_err *err)
{
	const struct ix_stage_result *result = &engine->results[stage->index];
	ix_auto_free char *second = cutoff_source(engine, stage);
	const char *ref = NULL;

	if (result->outcome == IX_OUTCOME_NONE || result->outcome == IX_OUTCOME_FAILED || result->outcome == IX_OUTCOME_CANCELED)
		ix_bug("stage '%s' is used before it is there", stage->name);
	/* What is not in the store is in the repository. Inner stages have no tag. */
	if (!stage->inner && !ix_cache_is_local(engine->opts.image.cache))
		ref = engine->plan->stages[stage->index].ref;
	return ix_image_load(&engine->opts.image, second ? second : ref, &result->manifest, ret_image, err);
}

/* --- what came out --- */

static int learn_output(struct ix_engine *engine, const struct ix_stage *stage, struct known *known, struct ix_err *err)
{
	ix_auto_image image = { 0 };

	if (known->has_output)
		return 0;
	int r = cutoff_image(engine, stage, &image, err);
	if (r < 0)
		return r;
	ix_image_output(&image, &known->output);
	known->has_output = true;
	return 0;
}

static int output_of(void *data, const struct ix_stage *stage, struct ix_output *ret_output, struct ix_err *err)
{
	const struct view *view = data;
	struct known *known = &view->engine->cutoff->known[stage->index];
	int r = 0;

	if (view->through && stage->inner) {
		*ret_output = known->second;
		return 0;
	}
	pthread_mutex_lock(&known->lock);
	r = learn_output(view->engine, stage, known, err);
	*ret_output = known->output;
	pthread_mutex_unlock(&known->lock);
	return r;
}

/* A name for what a path selects in what came out of a stage. */
static void selection_name(const struct ix_digest *output, const char *path, const struct ix_select_opts *opts, struct ix_digest *ret_name)
{
	enum { OUTPUT = 1, PATH, EXCLUDE, PARENTS, CONTENTS };
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	ix_hash_digest(hash, OUTPUT, output);
	ix_hash_text(hash, PATH, path);
	for (size_t i = 0; i < opts->nexcludes; i++)
		ix_hash_text(hash, EXCLUDE, opts->excludes[i]);
	ix_hash_u64(hash, PARENTS);
	ix_hash_u64(hash, opts->parents);
	ix_hash_u64(hash, CONTENTS);
	ix_hash_u64(hash, (uint64_t)opts->contents | (uint64_t)opts->types << 1);
	ix_hash_final(hash, ret_name);
}

static int select_files(struct ix_engine *engine, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
			struct ix_digest *ret_digest, struct ix_err *err)
{
	ix_scoped(ix_context_freep) struct ix_context *context = NULL;
	struct ix_select_opts how = *opts;
	ix_auto_selection files = { 0 };
	ix_auto_image image = { 0 };
	ix_auto_close int root_fd = -1;
	int r;

	if ((r = cutoff_image(engine, stage, &image, err)) < 0 ||
	    (r = ix_rootfs_open(&engine->opts.image, &image, stage->name, &root_fd, err)) < 0)
		return r;
	context = ix_context_open_root(root_fd, "image");
	how.digest = true;
	how.image = true;
	r = ix_context_select(context, path, &how, &files, err);
	if (r < 0)
		return r;
	*ret_digest = files.digest;
	return 0;
}

static int files_of(void *data, const struct ix_stage *stage, const char *path, const struct ix_select_opts *opts,
		    struct ix_digest *ret_digest, struct ix_err *err)
{
	const struct view *view = data;
	struct ix_store *store = view->engine->opts.image.store;
	struct ix_output output;
	struct ix_digest name;
	ix_auto_buf text = IX_BUF_INIT(IX_DIGEST_TEXT);
	char hex[IX_DIGEST_HEX + 1], digest[IX_DIGEST_TEXT];
	int r;

	r = output_of(data, stage, &output, err);
	if (r < 0)
		return r;
	selection_name(&output.files, path, opts, &name);
	/* All of it is what came out; and of an inner stage nothing is there to select from. */
	if ((view->through && stage->inner) || (path[strspn(path, "/")] == '\0' && opts->nexcludes == 0)) {
		*ret_digest = name;
		return 0;
	}
	r = ix_store_fact(store, "selected", ix_digest_hex(&name, hex), &text, NULL, err);
	if (r == 0 && ix_digest_parse(ix_buf_str(&text), ret_digest, err) == 0)
		return 0;
	if (r < 0 && r != -IX_ENOTFOUND)
		return r;
	r = select_files(view->engine, stage, path, opts, ret_digest, err);
	if (r < 0)
		return r;
	ix_digest_text(ret_digest, digest);
	return ix_store_set_fact(store, "selected", hex, digest, strlen(digest), err);
}

/* --- second keys --- */

/* The second key of a stage, and first those of the inner stages it is made of. */
static int learn_second(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct cutoff *cutoff = engine->cutoff;
	struct view view = { engine, true };
	const struct ix_state_outputs outputs = { output_of, files_of, &view };
	ix_auto_free bool *needed = ix_calloc(cutoff->count, sizeof(*needed));
	struct ix_stage *target = engine->graph->stages[stage->index];
	int r;

	ix_graph_reach(engine->graph, &target, 1, needed);
	for (size_t i = 0; i < cutoff->count; i++) {
		const struct ix_stage *part = cutoff->order[i];
		struct known *known = &cutoff->known[part->index];
		ix_auto_second second = { 0 };

		if (!needed[part->index] || known->has_second || cutoff->owners[part->index] != cutoff->owners[stage->index])
			continue;
		r = ix_state_second(engine->state, part, &outputs, &second, err);
		if (r < 0)
			return r;
		known->second = (struct ix_output){ .id = second.key, .files = second.files, .config = second.config };
		known->has_second = true;
	}
	return 0;
}

/* What is to be copied is not there: the step that does it will say so, at its place. */
static bool missing_file(int r)
{
	return r == -IX_ENOTFOUND;
}

/* Second keys of one stage and its inner stages are computed by one job at a time, under the owner's lock. */
static int second_of(struct ix_engine *engine, const struct ix_stage *stage, struct ix_digest *ret_second, struct ix_err *err)
{
	const struct ix_stage *owner = cutoff_owner(engine, stage) ? cutoff_owner(engine, stage) : stage;
	struct known *known = &engine->cutoff->known[owner->index];
	int r;

	pthread_mutex_lock(&known->lock);
	r = learn_second(engine, stage, err);
	*ret_second = engine->cutoff->known[stage->index].second.id;
	pthread_mutex_unlock(&known->lock);
	return r;
}

int cutoff_steps(struct ix_engine *engine, const struct ix_stage *stage, struct ix_second *ret_second, struct ix_err *err)
{
	struct view view = { engine, false };
	const struct ix_state_outputs outputs = { output_of, files_of, &view };
	int r;

	/* Without links the second identity says nothing that the first one does not. */
	if (stage->nlinks == 0 || engine->opts.no_cutoff)
		return 0;
	r = ix_state_second(engine->state, stage, &outputs, ret_second, err);
	return missing_file(r) ? 0 : r;
}

static bool may_find(const struct ix_engine *engine, const struct ix_stage *stage)
{
	return stage->nlinks > 0 && !engine->opts.no_cutoff && !engine->plan->stages[stage->index].fresh;
}

static int find(struct ix_engine *engine, const struct ix_stage *stage, struct known *known, struct ix_err *err)
{
	struct ix_stage_result *result = &engine->results[stage->index];
	bool remote;
	int r;

	r = ix_cache_find_second(engine->opts.image.cache, stage->name, &known->second.id, !stage->inner, &result->manifest, &remote, err);
	if (r < 0)
		return r == -IX_ENOTFOUND ? 0 : r;
	result->outcome = IX_OUTCOME_SAME;
	known->found = true;
	return 0;
}

int cutoff_find(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct known *known = &engine->cutoff->known[stage->index];
	struct ix_digest second;
	int r;

	if (!may_find(engine, stage))
		return 0;
	r = second_of(engine, stage, &second, err);
	if (r < 0)
		return missing_file(r) ? 0 : r;
	r = 0;
	pthread_mutex_lock(&known->lock);
	if (!known->asked)
		r = find(engine, stage, known, err);
	known->asked = r == 0;
	pthread_mutex_unlock(&known->lock);
	return r < 0 ? r : known->found;
}

int cutoff_remember(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct ix_digest second;

	if (stage->nlinks == 0 || engine->opts.no_cutoff)
		return 0;
	int r = second_of(engine, stage, &second, err);
	if (r < 0)
		return r;
	return ix_store_set_stage(engine->opts.image.store, &second, &engine->results[stage->index].manifest, err);
}

bool cutoff_second(struct ix_engine *engine, const struct ix_stage *stage, struct ix_digest *ret_second)
{
	struct ix_err ignored;

	return stage->nlinks > 0 && !engine->opts.no_cutoff && second_of(engine, stage, ret_second, &ignored) == 0;
}
