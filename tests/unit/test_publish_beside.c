/*
 * What goes out beside a run, and what is said where it cannot, for stages that nobody builds: their images are put into a store in memory, and the
 * registry is one, too. The stages stand on each other, so that one is published after the other.
 */
#include "base/alloc.h"
#include "oci/image.h"
#include "publish/publish.h"
#include "twins.h"
#include "unit.h"

#define REPOSITORY "registry.example/shop"

enum { STAGES = 3 };

struct world {
	struct ix_registry *registry;
	struct ix_store *store;
	struct ix_cache *cache;
	struct ix_graph *graph;
	struct ix_stage *stages[STAGES];
	struct ix_state *state;
	struct ix_plan *plan;
	struct ix_digest images[STAGES];
	struct ix_sink sink;
	struct ix_strv warnings;
	struct ix_publish_opts opts;
	struct ix_publisher *publisher;
};

static void keep_warning(struct ix_sink *sink, const struct ix_event *event)
{
	struct world *world = (struct world *)((char *)sink - offsetof(struct world, sink));

	if (event->kind == IX_EVENT_WARNING)
		ix_strv_add(&world->warnings, event->text);
}

static struct ix_stage *add_stage(struct ix_graph *graph, const char *name, struct ix_stage *parent)
{
	struct ix_stage *stage = ix_graph_add(graph, name);

	stage->platform = "linux/amd64";
	stage->epoch = -1;
	stage->steps = ix_arena_alloc(graph->arena, sizeof(*stage->steps));
	stage->nsteps = 1;
	*stage->steps = (struct ix_step){ .kind = IX_STEP_RUN, .run = IX_RUN_SPEC_INIT, .nwords = 1 };
	stage->steps->text = ix_arena_printf(graph->arena, "RUN make %s", name);
	stage->steps->words = ix_arena_alloc(graph->arena, sizeof(char *));
	stage->steps->words[0] = ix_arena_printf(graph->arena, "make %s", name);
	if (parent) {
		stage->base = (struct ix_source){ .kind = IX_SOURCE_STAGE, .stage = parent };
		ix_stage_link(graph, stage, parent, true);
	}
	return stage;
}

static int set_up(void **state)
{
	static const char *const names[STAGES] = { "base", "middle", "app" };
	struct ix_cache_opts how = { .repository = REPOSITORY };
	struct world *world = ix_calloc(1, sizeof(*world));
	const struct ix_state_inputs inputs = { 0 };
	bool needed[STAGES] = { true, true, true };
	struct ix_err err;

	assert_ok(ix_registry_new(&(struct ix_registry_opts){ 0 }, &world->registry, &err), &err);
	assert_ok(ix_store_open("memory", NULL, &world->store, &err), &err);
	how.registry = world->registry;
	how.store = world->store;
	assert_ok(ix_cache_new(&how, &world->cache, &err), &err);
	world->graph = ix_graph_new();
	for (size_t i = 0; i < STAGES; i++)
		world->stages[i] = add_stage(world->graph, names[i], i > 0 ? world->stages[i - 1] : NULL);
	assert_ok(ix_state_new(world->graph, needed, &inputs, &world->state, &err), &err);
	world->sink.emit = keep_warning;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	ix_publisher_free(world->publisher);
	ix_plan_free(world->plan);
	ix_state_free(world->state);
	ix_graph_free(world->graph);
	ix_cache_free(world->cache);
	ix_store_close(world->store);
	ix_registry_free(world->registry);
	ix_strv_release(&world->warnings);
	free(world);
	return 0;
}

/* --- a run --- */

/* What the store has of a stage. */
static struct ix_digest make_image(const struct world *world, struct ix_store *store, size_t stage, const char *layer)
{
	return twin_store_image(store, layer, ix_state_stage_key(world->state, world->stages[stage]));
}

static void make_images(struct world *world)
{
	for (size_t i = 0; i < STAGES; i++)
		world->images[i] = make_image(world, world->store, i, world->stages[i]->name);
}

static void make_plan(struct world *world, const struct ix_plan_opts *how)
{
	struct ix_plan_opts opts = *how;
	struct ix_err err;

	opts.publish = true;
	opts.store = world->store;
	opts.remembered = "tests";
	assert_ok(ix_plan_new(world->graph, &world->stages[STAGES - 1], 1, world->state, world->cache, &opts, &world->plan, &err), &err);
	world->opts = (struct ix_publish_opts){
		.image = { .store = world->store, .cache = world->cache, .epoch = -1 },
		.sink = &world->sink,
		.channel = world->opts.channel,
		.graph = world->graph,
		.state = world->state,
		.plan = world->plan,
	};
	world->publisher = ix_publisher_new(&world->opts);
}

struct job {
	struct world *world;
	size_t stage;
};

/* As the engine's: the image is made, its account is kept, and it is handed over. */
static int stage_job(void *data, struct ix_err *err)
{
	const struct job *job = data;
	struct world *world = job->world;
	struct ix_plan_stage *planned = &world->plan->stages[job->stage];
	struct ix_product product = { .planned = planned, .kind = IX_PRODUCT_BUILT, .manifest = world->images[job->stage] };
	ix_auto_image image = { 0 };
	struct ix_digest record;
	int r = 0;

	if (planned->decision != IX_PLAN_BUILD) {
		product.kind = IX_PRODUCT_FOUND;
		product.manifest = planned->manifest;
	} else {
		r = ix_image_load(&world->opts.image, NULL, &product.manifest, &image, err);
		if (r == 0)
			r = ix_record_of_same(&world->opts, planned->stage, &image, &product.manifest, NULL, &record, err);
	}
	if (r == 0)
		ix_publisher_add(world->publisher, &product);
	return r;
}

/* What publishing came to. */
static int run(struct world *world, struct ix_err *err)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = ix_sched_new(1, NULL);
	struct ix_job *jobs[STAGES] = { NULL }, *before = NULL;
	struct job data[STAGES];

	for (size_t i = 0; i < STAGES; i++) {
		if (world->plan->stages[i].decision == IX_PLAN_SKIP)
			continue;
		data[i] = (struct job){ world, i };
		jobs[i] = ix_sched_add(sched, 1, stage_job, &data[i]);
		if (before)
			ix_job_after(jobs[i], before);
		before = jobs[i];
	}
	ix_publisher_prepare(world->publisher, sched, jobs);
	assert_ok(ix_sched_run(sched, err), err);
	return ix_publisher_result(world->publisher, err);
}

static bool is_there(const struct world *world, size_t stage, struct ix_digest *ret_image)
{
	struct ix_err err;

	return ix_cache_find_stage(world->cache, world->stages[stage]->name, ix_state_stage_key(world->state, world->stages[stage]),
				   ret_image, &err) == 0;
}

static void assert_published(const struct world *world)
{
	for (size_t i = 0; i < STAGES; i++) {
		struct ix_digest image;

		assert_true(is_there(world, i, &image));
		assert_true(ix_digest_eq(&image, &world->images[i]));
	}
}

/* Another machine publishes an image of the stage. */
static struct ix_digest publish_elsewhere(struct world *world, size_t stage, const char *layer)
{
	ix_scoped(ix_store_closep) struct ix_store *store = NULL;
	ix_scoped(ix_cache_freep) struct ix_cache *cache = NULL;
	struct ix_cache_opts how = { .repository = REPOSITORY, .registry = world->registry };
	struct ix_published moved;
	struct ix_digest image;
	struct ix_err err;

	assert_ok(ix_store_open("elsewhere", NULL, &store, &err), &err);
	how.store = store;
	assert_ok(ix_cache_new(&how, &cache, &err), &err);
	image = make_image(world, store, stage, layer);
	assert_ok(ix_cache_publish_stage(cache, world->stages[stage]->name, ix_state_stage_key(world->state, world->stages[stage]), &image,
					 NULL, &moved, &err),
		  &err);
	return image;
}

/* What the registry said a moment ago counts for a while: a long run asks again. */
static void forget_answers(struct world *world)
{
	const struct ix_cache_opts how = { .repository = REPOSITORY, .registry = world->registry, .store = world->store };
	struct ix_err err;

	ix_cache_free(world->cache);
	assert_ok(ix_cache_new(&how, &world->cache, &err), &err);
	world->opts.image.cache = world->cache;
	ix_publisher_free(world->publisher);
	world->publisher = ix_publisher_new(&world->opts);
}

/* --- cases --- */

static void what_is_built_is_there_with_its_record_and_on_the_channel(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	world->opts.channel = "main";
	make_plan(world, &(struct ix_plan_opts){ 0 });
	assert_int_equal(world->plan->builds, STAGES);
	make_images(world);
	assert_ok(run(world, &err), &err);
	assert_int_equal(world->warnings.count, 0);
	assert_published(world);
	for (size_t i = 0; i < STAGES; i++) {
		ix_auto_kept_record record = { 0 };

		assert_ok(ix_cache_record_of_channel(world->cache, world->stages[i]->name, "main", &record, &err), &err);
		assert_true(ix_digest_eq(&record.manifest.subject.digest, &world->images[i]));
	}
}

static void a_registry_that_fails_fails_no_run_and_what_is_not_there_is_named(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	make_plan(world, &(struct ix_plan_opts){ 0 });
	make_images(world);
	twin_registry_fail(world->registry, IX_EFAIL);
	assert_int_equal(run(world, &err), -IX_EFAIL);
	assert_string_equal(err.msg, "not published: base, middle, app; what was built is here");
	assert_non_null(strstr(err.detail, "middle: stage 'base', which it is made of, is not published"));
}

static void who_may_not_write_is_told_so_once_and_nothing_fails(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	make_plan(world, &(struct ix_plan_opts){ 0 });
	make_images(world);
	twin_registry_fail(world->registry, IX_EAUTH);
	assert_ok(run(world, &err), &err);
	assert_int_equal(world->warnings.count, 1);
	assert_non_null(strstr(world->warnings.items[0], "stage 'base': stages are not published, the registry does not let us write"));
}

static void the_image_of_who_was_faster_is_used(void **state)
{
	struct world *world = *state;
	struct ix_digest theirs, image;
	struct ix_err err;

	make_plan(world, &(struct ix_plan_opts){ 0 });
	make_images(world);
	theirs = publish_elsewhere(world, 1, "made elsewhere");
	forget_answers(world);
	assert_ok(run(world, &err), &err);
	assert_false(ix_publisher_adopted(world->publisher, world->stages[0], &image));
	assert_true(ix_publisher_adopted(world->publisher, world->stages[1], &image));
	assert_true(ix_digest_eq(&image, &theirs));
	assert_ok(ix_publisher_adopt(world->publisher, false, &err), &err);
	assert_ok(ix_store_stage(world->store, ix_state_stage_key(world->state, world->stages[1]), &image, &err), &err);
	assert_true(ix_digest_eq(&image, &theirs));
}

static void what_is_built_by_force_replaces_what_is_there(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	for (size_t i = 0; i < STAGES; i++)
		publish_elsewhere(world, i, "older");
	make_plan(world, &(struct ix_plan_opts){ .force_all = true });
	make_images(world);
	assert_ok(run(world, &err), &err);
	assert_published(world);
}

static void what_an_earlier_run_left_here_goes_out_though_nobody_asks_for_it(void **state)
{
	struct world *world = *state;
	struct ix_err err;

	make_images(world);
	world->images[2] = publish_elsewhere(world, 2, "app");
	make_plan(world, &(struct ix_plan_opts){ 0 });
	assert_int_equal(world->plan->builds, 0);
	assert_int_equal(world->plan->stages[0].decision, IX_PLAN_SKIP);
	assert_ok(run(world, &err), &err);
	assert_published(world);
}

static void a_name_that_cannot_be_published_was_asked_for_and_fails(void **state)
{
	struct world *world = *state;
	const char *names[] = { "registry.example/app:1" };
	struct ix_err err;

	world->stages[2]->publish = names;
	world->stages[2]->npublish = 1;
	for (size_t i = 0; i < STAGES; i++)
		world->images[i] = publish_elsewhere(world, i, world->stages[i]->name);
	make_plan(world, &(struct ix_plan_opts){ 0 });
	twin_registry_fail(world->registry, IX_EFAIL);
	assert_int_equal(run(world, &err), -IX_EFAIL);
	assert_string_equal(err.msg, "not published: app; what was built is here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_built_is_there_with_its_record_and_on_the_channel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_registry_that_fails_fails_no_run_and_what_is_not_there_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_may_not_write_is_told_so_once_and_nothing_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_image_of_who_was_faster_is_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_built_by_force_replaces_what_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_an_earlier_run_left_here_goes_out_though_nobody_asks_for_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_cannot_be_published_was_asked_for_and_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
