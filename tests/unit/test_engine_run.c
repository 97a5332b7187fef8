/* A plan walked with a builder that follows a script: no registry, no sandbox, no network. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "engine/engine.h"
#include "unit.h"

/* --- a builder of layers out of thin air --- */

struct scripted {
	struct ix_builder base;
	struct ix_store *store;
	pthread_mutex_t lock;
	struct ix_strv built;   /* "stage 1", in order */
	const char *fails;      /* the stage whose first step fails */
	const char *layer_of;   /* what the steps of a stage give, instead of their own text; NULL: their text */
	unsigned running, most; /* stages at once */
};

static int make_layer(struct scripted *self, const char *text, struct ix_step_result *ret_layer, struct ix_err *err)
{
	*ret_layer = (struct ix_step_result){ .size = strlen(text) };
	if (ix_blob_put(self->store, text, strlen(text), &ret_layer->digest, err) < 0)
		return ix_err_code(err);
	ret_layer->diff_id = ret_layer->content = ret_layer->digest;
	snprintf(ret_layer->media_type, sizeof(ret_layer->media_type), "%s", IX_MEDIA_LAYER);
	return 0;
}

static int build_one(struct scripted *self, const struct ix_build *build, const struct ix_operation *operation, struct ix_err *err)
{
	ix_auto_free char *name = ix_asprintf("%s %zu", build->stage->name, operation->index + 1);
	const char *text = self->layer_of ? self->layer_of : operation->step->text;
	struct ix_step_result layer;
	int r = build->provider->take(build->data, operation, err);

	if (r != 0)
		return r < 0 ? r : 0;
	pthread_mutex_lock(&self->lock);
	ix_strv_add(&self->built, name);
	pthread_mutex_unlock(&self->lock);
	ix_step_log_put(build->log, name, strlen(name));
	if (self->fails && strcmp(self->fails, build->stage->name) == 0) {
		struct ix_err ignored;

		(void)build->provider->give(build->data, operation, NULL, &ignored);
		return ix_err_set(err, IX_ESTEP, "%s fails", name);
	}
	r = make_layer(self, text, &layer, err);
	return r < 0 ? r : build->provider->give(build->data, operation, &layer, err);
}

static int scripted_build(struct ix_builder *builder, const struct ix_build *build, struct ix_err *err)
{
	struct scripted *self = (struct scripted *)builder;
	int r = 0;

	pthread_mutex_lock(&self->lock);
	self->running++;
	self->most = self->running > self->most ? self->running : self->most;
	pthread_mutex_unlock(&self->lock);
	if (strncmp(build->stage->name, "wide", 4) == 0)
		usleep(100000);
	for (size_t i = 0; i < build->operations->count && r == 0; i++)
		r = build_one(self, build, &build->operations->items[i], err);
	pthread_mutex_lock(&self->lock);
	self->running--;
	pthread_mutex_unlock(&self->lock);
	return r;
}

static void scripted_free(struct ix_builder *builder)
{
	struct scripted *self = (struct scripted *)builder;

	ix_strv_release(&self->built);
	pthread_mutex_destroy(&self->lock);
	free(self);
}

static const struct ix_builder_ops scripted_ops = { "scripted", true, scripted_build, scripted_free };

/* --- a project --- */

struct world {
	char dir[64];
	struct ix_store *store;
	struct ix_cache *cache;
	struct ix_graph *graph;
	struct ix_state *state;
	struct ix_plan *plan;
	struct scripted *builder;
	struct ix_engine *engine;
};

static int set_up(void **state)
{
	static struct world world;
	struct ix_err err;

	world = (struct world){ .dir = "/tmp/ix-engine-test-XXXXXX" };
	assert_non_null(mkdtemp(world.dir));
	assert_ok(ix_store_open(world.dir, NULL, &world.store, &err), &err);
	assert_ok(ix_cache_new(&(struct ix_cache_opts){ .store = world.store }, &world.cache, &err), &err);
	world.graph = ix_graph_new();
	world.builder = ix_calloc(1, sizeof(*world.builder));
	world.builder->base.ops = &scripted_ops;
	world.builder->store = world.store;
	pthread_mutex_init(&world.builder->lock, NULL);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	ix_engine_free(world->engine);
	ix_builder_free(&world->builder->base);
	ix_plan_free(world->plan);
	ix_state_free(world->state);
	ix_graph_free(world->graph);
	ix_cache_free(world->cache);
	ix_store_close(world->store);
	return ix_remove_tree(AT_FDCWD, world->dir, &err);
}

/* A stage of one RUN for each word of its text, standing on parent or scratch. */
static struct ix_stage *stage(struct world *world, const char *name, struct ix_stage *parent, const char *command)
{
	struct ix_arena *arena = world->graph->arena;
	struct ix_stage *made = ix_graph_add(world->graph, name);
	struct ix_step *step = ix_arena_alloc(arena, sizeof(*step));
	char **words = ix_arena_alloc(arena, sizeof(*words));
	ix_auto_free char *text = ix_asprintf("RUN %s", command);

	words[0] = ix_arena_strdup(arena, command);
	*step = (struct ix_step){
		.kind = IX_STEP_RUN, .words = words, .nwords = 1, .text = ix_arena_strdup(arena, text), .run = IX_RUN_SPEC_INIT
	};
	made->platform = "linux/amd64";
	made->epoch = 0;
	made->steps = step;
	made->nsteps = 1;
	if (parent) {
		made->base = (struct ix_source){ .kind = IX_SOURCE_STAGE, .stage = parent };
		ix_stage_link(world->graph, made, parent, true);
	}
	return made;
}

static int run(struct world *world, struct ix_stage *const *targets, size_t ntargets, struct ix_err *err)
{
	ix_auto_free bool *needed = ix_calloc(world->graph->nstages, sizeof(*needed));
	const struct ix_state_inputs inputs = { 0 };
	const struct ix_plan_opts plan = { .store = world->store, .remembered = "test" };
	struct ix_engine_opts opts = { .image = { .store = world->store, .cache = world->cache, .epoch = -1 },
				       .builder = &world->builder->base,
				       .project = "test",
				       .remembered = "test" };

	ix_engine_free(world->engine);
	world->engine = NULL;
	ix_plan_free(world->plan);
	world->plan = NULL;
	ix_state_free(world->state);
	world->state = NULL;
	ix_graph_reach(world->graph, targets, ntargets, needed);
	assert_ok(ix_state_new(world->graph, needed, &inputs, &world->state, err), err);
	assert_ok(ix_plan_new(world->graph, targets, ntargets, world->state, world->cache, &plan, &world->plan, err), err);
	world->engine = ix_engine_new(&opts, world->graph, world->state, world->plan);
	return ix_engine_run(world->engine, err);
}

static enum ix_outcome outcome(const struct world *world, const struct ix_stage *made)
{
	return ix_engine_result(world->engine, made)->outcome;
}

static size_t position(const struct world *world, const char *name)
{
	for (size_t i = 0; i < world->builder->built.count; i++)
		if (strcmp(world->builder->built.items[i], name) == 0)
			return i;
	fail_msg("%s was not built", name);
	return 0;
}

/* --- what is expected --- */

static void stages_come_after_those_they_stand_on(void **state)
{
	struct world *world = *state;
	struct ix_stage *base = stage(world, "base", NULL, "a"), *left = stage(world, "left", base, "b"),
			*right = stage(world, "right", base, "c");
	struct ix_stage *targets[] = { left, right };
	struct ix_err err;

	assert_ok(run(world, targets, 2, &err), &err);
	assert_int_equal(outcome(world, base), IX_OUTCOME_BUILT);
	assert_true(position(world, "base 1") < position(world, "left 1"));
	assert_true(position(world, "base 1") < position(world, "right 1"));
}

static void what_is_built_is_done_the_next_time(void **state)
{
	struct world *world = *state;
	struct ix_stage *base = stage(world, "base", NULL, "a"), *top = stage(world, "top", base, "b");
	struct ix_err err;

	assert_ok(run(world, &top, 1, &err), &err);
	assert_int_equal(world->builder->built.count, 2);
	assert_ok(run(world, &top, 1, &err), &err);
	assert_int_equal(world->builder->built.count, 2);
	assert_int_equal(outcome(world, top), IX_OUTCOME_DONE);
}

static void stages_that_wait_for_nobody_run_at_once(void **state)
{
	struct world *world = *state;
	struct ix_stage *targets[4];
	struct ix_err err;

	for (size_t i = 0; i < 4; i++) {
		ix_auto_free char *name = ix_asprintf("wide%zu", i);

		targets[i] = stage(world, name, NULL, name);
	}
	assert_ok(run(world, targets, 4, &err), &err);
	assert_int_equal(world->builder->most, 4);
}

static void a_failure_is_told_and_nothing_is_built_on_it(void **state)
{
	struct world *world = *state;
	struct ix_stage *base = stage(world, "base", NULL, "a"), *top = stage(world, "top", base, "b");
	struct ix_err err;

	world->builder->fails = "base";
	assert_int_equal(run(world, &top, 1, &err), -IX_ESTEP);
	assert_says(&err, "base 1 fails");
	assert_int_equal(world->builder->built.count, 1);
	assert_int_equal(outcome(world, base), IX_OUTCOME_FAILED);
	assert_int_equal(outcome(world, top), IX_OUTCOME_NONE);
	/* The lock of the step is gone with the failure. */
	world->builder->fails = NULL;
	assert_ok(run(world, &top, 1, &err), &err);
}

/* The parent's command is another, and what it gives the same: what stands on it is not run again. */
static void a_parent_that_comes_out_the_same_changes_nothing(void **state)
{
	struct world *world = *state;
	struct ix_stage *base = stage(world, "base", NULL, "a"), *top = stage(world, "top", base, "b");
	struct ix_err err;

	world->builder->layer_of = "the same";
	assert_ok(run(world, &top, 1, &err), &err);
	base->steps[0].words[0] = ix_arena_strdup(world->graph->arena, "another");
	assert_ok(run(world, &top, 1, &err), &err);
	assert_int_equal(outcome(world, base), IX_OUTCOME_BUILT);
	assert_int_equal(outcome(world, top), IX_OUTCOME_SAME);
	assert_int_equal(world->builder->built.count, 3);
}

static void a_step_that_is_known_is_not_made_again(void **state)
{
	struct world *world = *state;
	struct ix_stage *one = stage(world, "one", NULL, "a"), *two = stage(world, "two", NULL, "a");
	struct ix_err err;

	assert_ok(run(world, &one, 1, &err), &err);
	assert_ok(run(world, &two, 1, &err), &err);
	assert_int_equal(world->builder->built.count, 1);
	assert_int_equal(ix_engine_result(world->engine, one)->steps_run, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stages_come_after_those_they_stand_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_built_is_done_the_next_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stages_that_wait_for_nobody_run_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_told_and_nothing_is_built_on_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_parent_that_comes_out_the_same_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_step_that_is_known_is_not_made_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
