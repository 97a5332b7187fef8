/*
 * What has to be done, for stages, a store and a registry in memory. A case is a list of lines:
 *	stage NAME [from NAME]   of one RUN; without "from" on an image
 *	here NAME, there NAME    the store, the registry has the image of its key
 *	name NAME TEXT           a name to publish it under
 *	force NAME, complete, local, down
 *	target NAME
 */
#include "golden.h"

#include "oci/image.h"
#include "plan/plan.h"
#include "twins.h"

enum { STAGES_MAX = 16 };

struct world {
	struct ix_graph *graph;
	struct ix_stage *targets[STAGES_MAX];
	size_t ntargets;
	struct ix_strv force, here, there;
	bool complete, local, down;
	struct ix_registry *registry;
	struct ix_store *store;
	struct ix_state *state;
	struct ix_cache *cache;
};

static void add_stage(struct world *world, const char *name, const char *base)
{
	struct ix_arena *arena = world->graph->arena;
	struct ix_stage *stage = ix_graph_add(world->graph, name);

	stage->platform = "linux/amd64";
	stage->epoch = -1;
	stage->steps = ix_arena_alloc(arena, sizeof(*stage->steps));
	stage->nsteps = 1;
	stage->steps->kind = IX_STEP_RUN;
	stage->steps->run = (struct ix_run_spec)IX_RUN_SPEC_INIT;
	stage->steps->text = ix_arena_printf(arena, "RUN make %s", name);
	stage->steps->words = ix_arena_alloc(arena, sizeof(char *));
	stage->steps->words[0] = ix_arena_printf(arena, "make %s", name);
	stage->steps->nwords = 1;
	if (!base) {
		stage->base = (struct ix_source){ .kind = IX_SOURCE_IMAGE, .text = "debian:12", .platform = stage->platform };
		return;
	}
	stage->base = (struct ix_source){ .kind = IX_SOURCE_STAGE, .stage = ix_graph_find(world->graph, base) };
	ix_stage_link(world->graph, stage, stage->base.stage, true);
}

static void read_line(struct world *world, const char *line)
{
	char verb[32] = "", name[32] = "", more[64] = "", last[32] = "";
	struct ix_stage *stage;

	if (sscanf(line, "%31s %31s %63s %31s", verb, name, more, last) < 1)
		return;
	stage = ix_graph_find(world->graph, name);
	if (strcmp(verb, "stage") == 0) {
		add_stage(world, name, *last ? last : NULL);
	} else if (strcmp(verb, "complete") == 0) {
		world->complete = true;
	} else if (strcmp(verb, "local") == 0) {
		world->local = true;
	} else if (strcmp(verb, "down") == 0) {
		world->down = true;
	} else if (!stage) {
		fail_msg("'%s' means nothing", line);
	} else if (strcmp(verb, "target") == 0) {
		world->targets[world->ntargets++] = stage;
	} else if (strcmp(verb, "name") == 0) {
		*IX_ARENA_PUSH(world->graph->arena, stage->publish, stage->npublish) = ix_arena_strdup(world->graph->arena, more);
	} else {
		ix_strv_add(strcmp(verb, "force") == 0 ? &world->force : strcmp(verb, "here") == 0 ? &world->here : &world->there, name);
	}
}

static int image_digest(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	(void)data;
	(void)source;
	(void)err;
	*ret_digest = (struct ix_digest){ .bytes = { 12 } };
	return 0;
}

/* Keys, and images where the case says that they are. */
static void furnish(struct world *world)
{
	const struct ix_state_inputs inputs = { .image = image_digest };
	struct ix_cache_opts opts = { .repository = world->local ? NULL : "registry.example/shop" };
	ix_scoped(ix_cache_freep) struct ix_cache *others = NULL;
	ix_scoped(ix_store_closep) struct ix_store *elsewhere = NULL;
	bool needed[STAGES_MAX];
	struct ix_err err;

	memset(needed, true, sizeof(needed));
	assert_ok(ix_registry_new(&(struct ix_registry_opts){ 0 }, &world->registry, &err), &err);
	assert_ok(ix_store_open("here", NULL, &world->store, &err), &err);
	assert_ok(ix_store_open("elsewhere", NULL, &elsewhere, &err), &err);
	opts.registry = world->registry;
	opts.store = elsewhere;
	assert_ok(ix_cache_new(&opts, &others, &err), &err);
	opts.store = world->store;
	assert_ok(ix_cache_new(&opts, &world->cache, &err), &err);
	assert_ok(ix_state_new(world->graph, needed, &inputs, &world->state, &err), &err);
	for (size_t i = 0; i < world->graph->nstages; i++) {
		const struct ix_stage *stage = world->graph->stages[i];
		const struct ix_digest *key = ix_state_stage_key(world->state, stage);
		struct ix_published moved;
		struct ix_digest image;

		if (ix_strv_has(&world->here, stage->name))
			twin_store_image(world->store, stage->name, key);
		if (!ix_strv_has(&world->there, stage->name))
			continue;
		image = twin_store_image(elsewhere, stage->name, key);
		assert_ok(ix_cache_publish_stage(others, stage->name, key, &image, NULL, &moved, &err), &err);
	}
	twin_registry_fail(world->registry, world->down ? IX_EFAIL : IX_OK);
}

static void tell(const struct ix_plan *plan, struct ix_buf *got)
{
	for (size_t i = 0; i < plan->nstages; i++) {
		const struct ix_plan_stage *entry = &plan->stages[i];

		ix_buf_printf(got, "%s: %s%s%s%s%s%s\n", entry->stage->name, ix_decision_text(entry->decision),
			      entry->local ? ", here" : "", entry->remote ? ", there" : "", entry->unsure ? ", unsure" : "",
			      entry->reason ? ": " : "", entry->reason ? entry->reason : "");
		for (size_t j = 0; j < entry->nnames; j++)
			ix_buf_printf(got, "    as %s%s\n", entry->names[j].name, entry->names[j].current ? ", current" : "");
	}
}

static bool run(const char *text, struct ix_buf *got)
{
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	ix_auto_free char *input = golden_section(text, "INPUT");
	ix_scoped(ix_plan_freep) struct ix_plan *plan = NULL;
	struct world world = { .graph = graph };
	struct ix_plan_opts opts = { .publish = true };
	char *rest = input, *line;
	unsigned before;
	struct ix_err err;
	int r;

	while ((line = strsep(&rest, "\n")) != NULL)
		read_line(&world, line);
	furnish(&world);
	opts.force = (const char *const *)world.force.items;
	opts.complete = world.complete;
	opts.store = world.store;
	before = twin_registry_trips(world.registry);
	r = ix_plan_new(graph, world.targets, world.ntargets, world.state, world.cache, &opts, &plan, &err);
	if (r == 0) {
		tell(plan, got);
		ix_buf_printf(got, "%zu to build, %u trips\n", plan->builds, twin_registry_trips(world.registry) - before);
	} else {
		ix_buf_puts(got, err.msg);
	}
	ix_state_free(world.state);
	ix_cache_free(world.cache);
	ix_store_close(world.store);
	ix_registry_free(world.registry);
	ix_strv_release(&world.force);
	ix_strv_release(&world.here);
	ix_strv_release(&world.there);
	return r < 0;
}

static void every_case_is_decided_as_it_says(void **state)
{
	(void)state;
	golden_run("plan", run, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_is_decided_as_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
