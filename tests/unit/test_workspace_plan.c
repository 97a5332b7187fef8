/* From a request and the files of a project to a plan, for a store and a registry in memory. */
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "twins.h"
#include "unit.h"
#include "workspace/workspace.h"

#define REPOSITORY "registry.example/shop"
#define PROJECT    "project: shop\nregistry: " REPOSITORY "\nstages:\n"
/* base and app on it */
#define CHAIN                                                                                                                              \
	PROJECT "  base:\n    dockerfile: { inline: \"FROM base:1\\nRUN make base\\n\" }\n"                                                \
		"  app:\n    args: { BASE: stage:base }\n    dockerfile: { inline: \"ARG BASE\\nFROM $BASE\\nRUN make app\\n\" }\n"

static const char first_config[] = "{\"config\":{\"Env\":[\"PATH=/bin\"]}}", second_config[] = "{\"config\":{\"Env\":[\"PATH=/sbin\"]}}";

/* A project, and one machine after the other, each with a store and a registry of its own. */
struct world {
	char dir[64];
	struct ix_request request;
	struct ix_workspace *workspace;
	struct ix_err err;
};

static void put_file(const struct world *world, const char *name, const char *text)
{
	ix_auto_free char *path = ix_asprintf("%s/%s", world->dir, name);
	struct ix_err err;

	assert_ok(ix_publish_file(AT_FDCWD, path, text, strlen(text), 0644, &err), &err);
}

static int setup(void **state)
{
	struct world *self = ix_calloc(1, sizeof(*self));

	*self = (struct world){ .dir = "/tmp/ix-workspace-test-XXXXXX", .request = IX_REQUEST_INIT };
	assert_non_null(mkdtemp(self->dir));
	put_file(self, "config.yaml", "");
	unsetenv("SOURCE_DATE_EPOCH");
	*state = self;
	return 0;
}

static int teardown(void **state)
{
	struct world *self = *state;
	ix_auto_free char *store = ix_asprintf("%s/store", self->dir);
	struct ix_err err;

	ix_workspace_free(self->workspace);
	ix_request_release(&self->request);
	assert_int_not_equal(access(store, F_OK), 0);
	assert_ok(ix_remove_tree(AT_FDCWD, self->dir, &err), &err);
	free(self);
	return 0;
}

/* A machine that knows nothing reads the request and the project. */
static int begin(struct world *world)
{
	ix_auto_free char *project = ix_asprintf("%s/ix.yaml", world->dir);
	ix_auto_free char *config = ix_asprintf("%s/config.yaml", world->dir);
	ix_auto_free char *store = ix_asprintf("%s/store", world->dir);
	const struct ix_workspace_opts opts = { .project_file = project, .config = config, .store = store };
	int r;

	ix_workspace_free(world->workspace);
	world->workspace = NULL;
	if (!world->request.arena)
		assert_ok(ix_request_settle(&world->request, &world->err), &world->err);
	r = ix_workspace_new(&opts, &world->request, &world->workspace, &world->err);
	if (r == 0)
		assert_ok(ix_workspace_open(world->workspace, NULL, &world->err), &world->err);
	return r;
}

/* The same, with an image base:1 of that config in its registry. */
static void begin_with(struct world *world, const char *config)
{
	assert_ok(begin(world), &world->err);
	twin_registry_image(world->workspace->registry, "base:1", config);
}

static void plan(struct world *world)
{
	assert_ok(ix_workspace_plan(world->workspace, &world->err), &world->err);
}

static const struct ix_stage *stage_of(const struct world *world, const char *name)
{
	const struct ix_stage *stage = ix_graph_find(world->workspace->graph, name);

	assert_non_null(stage);
	return stage;
}

static const struct ix_plan_stage *entry_of(const struct world *world, const char *name)
{
	return &world->workspace->plan->stages[stage_of(world, name)->index];
}

static struct ix_digest key_of(const struct world *world, const char *name)
{
	return *ix_state_stage_key(world->workspace->state, stage_of(world, name));
}

static unsigned trips(const struct world *world)
{
	return twin_registry_trips(world->workspace->registry);
}

/* Somebody else built the stage and published it. So many trips were made before now. */
static unsigned publish(const struct world *world, const char *stage, const struct ix_digest *key)
{
	struct ix_cache_opts opts = { .registry = world->workspace->registry, .repository = REPOSITORY };
	ix_scoped(ix_store_closep) struct ix_store *elsewhere = NULL;
	ix_scoped(ix_cache_freep) struct ix_cache *others = NULL;
	struct ix_published moved;
	struct ix_digest image;
	struct ix_err err;

	assert_ok(ix_store_open("elsewhere", NULL, &elsewhere, &err), &err);
	opts.store = elsewhere;
	assert_ok(ix_cache_new(&opts, &others, &err), &err);
	image = twin_store_image(elsewhere, stage, key);
	assert_ok(ix_cache_publish_stage(others, stage, key, &image, NULL, &moved, &err), &err);
	return trips(world);
}

/* Stages s0, s1 on it, and so on. */
static void put_long_chain(const struct world *world, unsigned n)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, PROJECT "  s0:\n    dockerfile: { inline: \"FROM base:1\\nRUN make\\n\" }\n");
	for (unsigned i = 1; i < n; i++)
		ix_buf_printf(&text, "  s%u:\n    args: { B: stage:s%u }\n    dockerfile: { inline: \"ARG B\\nFROM $B\\nRUN make\\n\" }\n",
			      i, i - 1);
	put_file(world, "ix.yaml", ix_buf_str(&text));
}

/* --- stages and decisions --- */

static void a_lone_dockerfile_is_one_stage(void **state)
{
	struct world *self = *state;

	put_file(self, "Dockerfile", "FROM base:1\nCOPY a /\n");
	put_file(self, "a", "a");
	self->request.lone_context = self->dir;
	begin_with(self, first_config);
	plan(self);
	assert_null(self->workspace->project);
	assert_int_equal(self->workspace->graph->nstages, 1);
	assert_int_equal(self->workspace->ntargets, 1);
	assert_ptr_equal(self->workspace->targets[0], self->workspace->graph->stages[0]);
	assert_int_equal(self->workspace->plan->builds, 1);
}

static void files_that_are_copied_count_and_others_do_not(void **state)
{
	struct world *self = *state;
	struct ix_digest before, key;

	put_file(self, "Dockerfile", "FROM base:1\nCOPY a /\n");
	put_file(self, "a", "a");
	self->request.lone_context = self->dir;
	begin_with(self, first_config);
	plan(self);
	before = *ix_state_stage_key(self->workspace->state, self->workspace->targets[0]);
	put_file(self, "b", "b");
	begin_with(self, first_config);
	plan(self);
	key = *ix_state_stage_key(self->workspace->state, self->workspace->targets[0]);
	assert_true(ix_digest_eq(&key, &before));
	put_file(self, "a", "another a");
	begin_with(self, first_config);
	plan(self);
	key = *ix_state_stage_key(self->workspace->state, self->workspace->targets[0]);
	assert_false(ix_digest_eq(&key, &before));
}

static void where_nothing_is_there_a_chain_is_built(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	begin_with(self, first_config);
	plan(self);
	assert_int_equal(self->workspace->ntargets, 1);
	assert_ptr_equal(self->workspace->targets[0], stage_of(self, "app"));
	assert_int_equal(entry_of(self, "base")->decision, IX_PLAN_BUILD);
	assert_int_equal(entry_of(self, "app")->decision, IX_PLAN_BUILD);
	assert_int_equal(self->workspace->plan->builds, 2);
}

static void on_a_parent_that_the_registry_has_only_the_child_is_built(void **state)
{
	struct world *self = *state;
	struct ix_digest key;

	put_file(self, "ix.yaml", CHAIN);
	begin_with(self, first_config);
	plan(self);
	key = key_of(self, "base");
	begin_with(self, first_config);
	publish(self, "base", &key);
	plan(self);
	assert_int_equal(entry_of(self, "base")->decision, IX_PLAN_FOUND);
	assert_int_equal(entry_of(self, "app")->decision, IX_PLAN_BUILD);
}

static void what_the_registry_has_needs_no_parent(void **state)
{
	struct world *self = *state;
	struct ix_digest key;

	put_file(self, "ix.yaml", CHAIN);
	begin_with(self, first_config);
	plan(self);
	key = key_of(self, "app");
	begin_with(self, first_config);
	publish(self, "app", &key);
	plan(self);
	assert_int_equal(entry_of(self, "base")->decision, IX_PLAN_SKIP);
	assert_int_equal(entry_of(self, "app")->decision, IX_PLAN_FOUND);
	assert_int_equal(self->workspace->plan->builds, 0);
}

static void only_what_is_named_and_what_it_needs_is_looked_at(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	ix_strv_add(&self->request.stages, "base");
	begin_with(self, first_config);
	plan(self);
	assert_null(ix_graph_find(self->workspace->graph, "app"));
	assert_ptr_equal(self->workspace->targets[0], stage_of(self, "base"));
	assert_int_equal(self->workspace->plan->builds, 1);
}

/* --- what is wrong with links --- */

static void a_link_to_no_stage_is_an_error_with_its_place(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", PROJECT "  app:\n    args: { BASE: stage:bsae }\n    dockerfile: { inline: \"FROM scratch\\n\" }\n");
	assert_int_equal(begin(self), -IX_EARG);
	assert_says(&self->err, "/ix.yaml:5:13: no stage 'bsae'");
}

static void a_link_to_no_stage_from_the_command_line_is_told_where_it_is_used(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", PROJECT "  app: { dockerfile: app.df }\n");
	put_file(self, "app.df", "ARG BASE\nFROM $BASE\n");
	ix_strv_add(&self->request.build_args, "BASE=stage:bsae");
	assert_ok(begin(self), &self->err);
	assert_int_equal(ix_workspace_plan(self->workspace, &self->err), -IX_EARG);
	assert_says(&self->err, "/app.df:2:1: ");
	assert_says(&self->err, "no stage 'bsae' in the project");
}

static void stages_that_need_each_other_are_an_error(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml",
		 PROJECT "  a: { dockerfile: a.df, args: { B: stage:b } }\n  b: { dockerfile: b.df, args: { B: stage:a } }\n");
	assert_int_equal(begin(self), -IX_EARG);
	assert_says(&self->err, "stages need each other: a → b → a");
}

static void stages_that_need_each_other_by_the_command_line_are_an_error(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", PROJECT "  a: { dockerfile: df }\n");
	put_file(self, "df", "ARG B\nFROM $B\n");
	ix_strv_add(&self->request.build_args, "B=stage:a");
	assert_ok(begin(self), &self->err);
	assert_int_equal(ix_workspace_plan(self->workspace, &self->err), -IX_EARG);
	assert_says(&self->err, "stages need each other: 'a'");
}

/* --- base images --- */

static void a_base_image_is_its_digest_and_another_one_changes_all_keys_on_it(void **state)
{
	struct world *self = *state;
	struct ix_digest image, base, app, again;

	put_file(self, "ix.yaml", CHAIN);
	assert_ok(begin(self), &self->err);
	image = twin_registry_image(self->workspace->registry, "base:1", first_config);
	plan(self);
	assert_true(ix_digest_eq(ix_state_image(self->workspace->state, &stage_of(self, "base")->base), &image));
	base = key_of(self, "base");
	app = key_of(self, "app");

	begin_with(self, first_config);
	plan(self);
	again = key_of(self, "app");
	assert_true(ix_digest_eq(&again, &app));

	begin_with(self, second_config);
	plan(self);
	again = key_of(self, "base");
	assert_false(ix_digest_eq(&again, &base));
	again = key_of(self, "app");
	assert_false(ix_digest_eq(&again, &app));
}

static void a_base_image_that_is_not_there_is_an_error_that_names_it(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	assert_ok(begin(self), &self->err);
	assert_int_equal(ix_workspace_plan(self->workspace, &self->err), -IX_ENOTFOUND);
	assert_says(&self->err, "(stage base):1:");
	assert_says(&self->err, "image base:1: ");
}

static void triggers_of_a_base_image_become_steps_of_what_is_built_on_it(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	begin_with(self, first_config);
	plan(self);
	assert_int_equal(stage_of(self, "base")->nsteps, 1);
	begin_with(self, "{\"config\":{\"OnBuild\":[\"RUN before\"]}}");
	plan(self);
	assert_int_equal(stage_of(self, "base")->nsteps, 2);
	assert_string_equal(stage_of(self, "base")->steps[0].words[0], "before");
	assert_int_equal(stage_of(self, "app")->nsteps, 1);
}

/* --- what is asked --- */

static void a_plan_of_what_is_there_is_one_batch_however_many_stages(void **state)
{
	struct world *self = *state;

	for (unsigned n = 2; n <= 40; n += 38) {
		ix_auto_free char *last = ix_asprintf("s%u", n - 1);
		struct ix_digest key;
		unsigned before;

		put_long_chain(self, n);
		begin_with(self, first_config);
		plan(self);
		key = key_of(self, last);
		begin_with(self, first_config);
		before = publish(self, last, &key);
		plan(self);
		assert_int_equal(self->workspace->plan->nstages, n);
		assert_int_equal(entry_of(self, last)->decision, IX_PLAN_FOUND);
		assert_int_equal(trips(self) - before, 2); /* base:1, and the batch */
	}
}

static void a_plan_of_what_is_not_there_asks_no_more_for_many_stages(void **state)
{
	struct world *self = *state;

	for (unsigned n = 2; n <= 40; n += 38) {
		put_long_chain(self, n);
		begin_with(self, first_config);
		plan(self);
		assert_int_equal(self->workspace->plan->builds, n);
		assert_int_equal(trips(self), 5); /* base:1, the batch, the channel's, manifest and config of base:1 */
	}
}

static void offline_nobody_is_asked_what_a_base_image_is(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	self->request.offline = true;
	begin_with(self, first_config);
	assert_true(ix_workspace_plan(self->workspace, &self->err) < 0);
	assert_says(&self->err, "base:1");
	assert_says(&self->err, "--offline");
	assert_int_equal(trips(self), 0);
}

static void locked_every_image_has_to_be_in_the_lock(void **state)
{
	struct world *self = *state;

	put_file(self, "ix.yaml", CHAIN);
	self->request.locked = true;
	assert_int_equal(begin(self), -IX_EARG);
	assert_says(&self->err, "/ix.lock");
	put_file(self, "ix.lock", "version: 1\n");
	begin_with(self, first_config);
	assert_int_equal(ix_workspace_plan(self->workspace, &self->err), -IX_EARG);
	assert_says(&self->err, "image base:1 is not in ix.lock");
	assert_int_equal(trips(self), 0);
}

static void a_locked_image_stays_what_it_was_and_is_not_asked_for(void **state)
{
	struct world *self = *state;
	ix_scoped(ix_lock_freep) struct ix_lock *lock = ix_lock_new();
	struct ix_digest image, key, again;
	char digest[IX_DIGEST_TEXT];
	ix_auto_buf text = { 0 };
	unsigned before;

	put_file(self, "ix.yaml", CHAIN);
	assert_ok(begin(self), &self->err);
	image = twin_registry_image(self->workspace->registry, "base:1", first_config);
	plan(self);
	key = key_of(self, "app");
	ix_lock_set(lock, IX_LOCK_IMAGE, "base:1", stage_of(self, "base")->base.platform, ix_digest_text(&image, digest));
	ix_lock_text(lock, &text);
	put_file(self, "ix.lock", ix_buf_str(&text));

	self->request.locked = true;
	begin_with(self, second_config);
	before = publish(self, "app", &key);
	plan(self);
	again = key_of(self, "app");
	assert_true(ix_digest_eq(&again, &key));
	assert_int_equal(trips(self) - before, 1); /* the batch */
}

static void a_registry_that_is_down_is_built_without(void **state)
{
	struct world *self = *state;
	struct ix_digest key;

	put_file(self, "ix.yaml", PROJECT "  app:\n    dockerfile: { inline: \"FROM scratch\\nCOPY ix.yaml /\\n\" }\n");
	assert_ok(begin(self), &self->err);
	plan(self);
	key = key_of(self, "app");
	assert_ok(begin(self), &self->err);
	publish(self, "app", &key);
	twin_registry_fail(self->workspace->registry, IX_EFAIL);
	plan(self);
	assert_int_equal(entry_of(self, "app")->decision, IX_PLAN_BUILD);
	assert_true(entry_of(self, "app")->unsure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lone_dockerfile_is_one_stage, setup, teardown),
		cmocka_unit_test_setup_teardown(files_that_are_copied_count_and_others_do_not, setup, teardown),
		cmocka_unit_test_setup_teardown(where_nothing_is_there_a_chain_is_built, setup, teardown),
		cmocka_unit_test_setup_teardown(on_a_parent_that_the_registry_has_only_the_child_is_built, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_registry_has_needs_no_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(only_what_is_named_and_what_it_needs_is_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_to_no_stage_is_an_error_with_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_link_to_no_stage_from_the_command_line_is_told_where_it_is_used, setup, teardown),
		cmocka_unit_test_setup_teardown(stages_that_need_each_other_are_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(stages_that_need_each_other_by_the_command_line_are_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_base_image_is_its_digest_and_another_one_changes_all_keys_on_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_base_image_that_is_not_there_is_an_error_that_names_it, setup, teardown),
		cmocka_unit_test_setup_teardown(triggers_of_a_base_image_become_steps_of_what_is_built_on_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plan_of_what_is_there_is_one_batch_however_many_stages, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plan_of_what_is_not_there_asks_no_more_for_many_stages, setup, teardown),
		cmocka_unit_test_setup_teardown(offline_nobody_is_asked_what_a_base_image_is, setup, teardown),
		cmocka_unit_test_setup_teardown(locked_every_image_has_to_be_in_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(a_locked_image_stays_what_it_was_and_is_not_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(a_registry_that_is_down_is_built_without, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
