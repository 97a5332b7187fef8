/* Finding and publishing images between two machines and a registry, all in memory. */
#include "base/alloc.h"
#include "cache/cache.h"
#include "oci/image.h"
#include "twins.h"
#include "unit.h"

#define REPOSITORY "registry.example/shop"

struct machine {
	struct ix_store *store;
	struct ix_cache *cache;
};

struct fixture {
	struct ix_registry *registry;
	struct machine one, two;
};

static struct machine machine_of(struct ix_registry *registry, const struct ix_cache_opts *how)
{
	struct ix_cache_opts opts = *how;
	struct machine self;
	struct ix_err err;

	assert_ok(ix_store_open("memory", NULL, &self.store, &err), &err);
	opts.store = self.store;
	opts.registry = registry;
	opts.repository = REPOSITORY;
	assert_ok(ix_cache_new(&opts, &self.cache, &err), &err);
	return self;
}

static void machine_release(struct machine *machine)
{
	ix_cache_free(machine->cache);
	ix_store_close(machine->store);
}

static int setup(void **state)
{
	const struct ix_cache_opts opts = { 0 };
	struct fixture *self = ix_calloc(1, sizeof(*self));
	struct ix_err err;

	assert_ok(ix_registry_new(&(struct ix_registry_opts){ 0 }, &self->registry, &err), &err);
	self->one = machine_of(self->registry, &opts);
	self->two = machine_of(self->registry, &opts);
	*state = self;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *self = *state;

	machine_release(&self->one);
	machine_release(&self->two);
	ix_registry_free(self->registry);
	free(self);
	return 0;
}

static struct ix_digest digest_of(const char *text)
{
	struct ix_digest digest;

	ix_digest_of(text, strlen(text), &digest);
	return digest;
}

static struct ix_published publish(const struct machine *machine, const char *stage, const struct ix_digest *key,
				   const struct ix_digest *image)
{
	struct ix_published moved;
	struct ix_err err;

	assert_ok(ix_cache_publish_stage(machine->cache, stage, key, image, NULL, &moved, &err), &err);
	return moved;
}

static struct ix_found look(const struct machine *machine, const char *stage, const struct ix_digest *key)
{
	struct ix_found found = { .stage = stage, .key = key };
	struct ix_lookup lookup = { .found = &found, .n = 1 };
	struct ix_err err;

	assert_ok(ix_cache_lookup(machine->cache, &lookup, &err), &err);
	return found;
}

static void what_one_machine_publishes_another_finds_and_can_have(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), image = twin_store_image(self->one.store, "layer", &key);
	struct ix_descriptor layer = { .digest = digest_of("layer"), .size = 5 };
	ix_auto_free char *ref = ix_cache_stage_ref(self->two.cache, "app", &key);
	struct ix_found found;
	struct ix_err err;

	assert_false(look(&self->two, "app", &key).remote);
	assert_int_equal(publish(&self->one, "app", &key, &image).uploaded, 2);
	found = look(&self->two, "app", &key);
	assert_true(found.remote && !found.local && ix_digest_eq(&found.manifest, &image));
	assert_false(ix_blob_has(self->two.store, &layer.digest));
	assert_ok(ix_cache_need_blob(self->two.cache, ref, &layer, "app", &err), &err);
	assert_true(ix_blob_has(self->two.store, &layer.digest));
}

static void a_batch_is_one_trip_however_many_stages(void **state)
{
	const struct fixture *self = *state;
	struct ix_digest keys[40];
	struct ix_found found[40];
	struct ix_lookup lookup = { .found = found, .n = 40, .beside = true, .channel = "main" };
	unsigned before = twin_registry_trips(self->registry);
	struct ix_err err;

	for (size_t i = 0; i < 40; i++) {
		keys[i] = (struct ix_digest){ .bytes = { (uint8_t)i } };
		found[i] = (struct ix_found){ .stage = "app", .key = &keys[i] };
	}
	assert_ok(ix_cache_lookup(self->one.cache, &lookup, &err), &err);
	assert_int_equal(twin_registry_trips(self->registry) - before, 1);
}

static void what_is_there_is_not_uploaded_again(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), other = digest_of("other");
	static char layer[100000];
	struct ix_digest image, twice;
	struct ix_published moved;

	memset(layer, 'x', sizeof(layer) - 1);
	image = twin_store_image(self->one.store, layer, &key);
	twice = twin_store_image(self->two.store, layer, &other);
	assert_true(publish(&self->one, "app", &key, &image).bytes >= sizeof(layer));
	moved = publish(&self->two, "tool", &other, &twice);
	/* What is small is sent unasked. */
	assert_true(moved.existed == 1 && moved.bytes < 1000);
}

static void a_registry_that_does_not_answer_is_gone_on_without(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key");
	struct ix_found found;

	twin_store_image(self->one.store, "layer", &key);
	twin_registry_fail(self->registry, IX_EFAIL);
	found = look(&self->one, "app", &key);
	assert_true(found.local && found.unsure && !found.remote && ix_cache_is_without(self->one.cache));
}

static void a_registry_that_is_required_has_to_answer(void **state)
{
	const struct fixture *self = *state;
	const struct ix_cache_opts opts = { .required = true };
	struct machine strict = machine_of(self->registry, &opts);
	const struct ix_digest key = digest_of("key");
	struct ix_found found = { .stage = "app", .key = &key };
	struct ix_lookup lookup = { .found = &found, .n = 1 };
	struct ix_err err;

	twin_registry_fail(self->registry, IX_EFAIL);
	assert_int_equal(ix_cache_lookup(strict.cache, &lookup, &err), -IX_EFAIL);
	assert_says(&err, "--require-cache");
	machine_release(&strict);
}

static void offline_asks_nobody(void **state)
{
	const struct fixture *self = *state;
	const struct ix_cache_opts opts = { .offline = true };
	struct machine alone = machine_of(self->registry, &opts);
	struct ix_descriptor layer = { .digest = digest_of("layer"), .size = 5 };
	const struct ix_digest key = digest_of("key");
	struct ix_err err;

	assert_false(look(&alone, "app", &key).remote);
	assert_int_equal(ix_cache_need_blob(alone.cache, REPOSITORY ":x", &layer, NULL, &err), -IX_EFAIL);
	assert_says(&err, "--offline asks nobody");
	assert_int_equal(twin_registry_trips(self->registry), 0);
	machine_release(&alone);
}

static void a_layer_that_is_lost_is_missed_once_and_the_stage_found_no_more(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), image = twin_store_image(self->one.store, "layer", &key);
	struct ix_descriptor layer = { .digest = digest_of("layer"), .size = 5 };
	ix_auto_free char *ref = ix_cache_stage_ref(self->two.cache, "app", &key);
	struct ix_found found;
	struct ix_err err;

	publish(&self->one, "app", &key, &image);
	twin_registry_forget(self->registry, REPOSITORY, &layer.digest);
	assert_true(look(&self->two, "app", &key).remote);
	assert_int_equal(ix_cache_need_blob(self->two.cache, ref, &layer, "app", &err), -IX_EGONE);
	found = look(&self->two, "app", &key);
	assert_true(!found.remote && found.damaged && found.distrust);
	assert_true(ix_cache_is_lost(self->two.cache, &layer.digest));
}

static void a_damaged_blob_is_fetched_again(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), image = twin_store_image(self->one.store, "layer", &key);
	struct ix_descriptor layer = { .digest = digest_of("layer"), .size = 5 };
	ix_auto_free char *ref = ix_cache_stage_ref(self->one.cache, "app", &key);
	struct ix_err err;

	publish(&self->one, "app", &key, &image);
	twin_store_damage(self->one.store, &layer.digest);
	assert_int_equal(ix_cache_mend_blob(self->one.cache, ref, &layer, "app", &err), 1);
	assert_ok(ix_blob_check(self->one.store, &layer.digest, &err), &err);
}

static void an_image_of_another_key_is_not_believed(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), other = digest_of("other"),
			       image = twin_store_image(self->one.store, "layer", &other);
	const char *why;
	struct ix_err err;

	publish(&self->one, "app", &key, &image);
	assert_ok(ix_cache_check_stage(self->two.cache, "app", &key, &image, &why, &err), &err);
	assert_string_equal(why, "it has no record");
}

static void a_second_key_is_found_where_it_was_published(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), second = digest_of("second");
	struct ix_digest image = twin_store_image(self->one.store, "layer", &key), found;
	ix_auto_free char *ref = ix_cache_stage_ref(self->one.cache, "app", &key);
	struct ix_err err;
	bool remote;

	assert_int_equal(ix_cache_find_second(self->one.cache, "app", &second, true, &found, &remote, &err), -IX_ENOTFOUND);
	publish(&self->one, "app", &key, &image);
	assert_ok(ix_cache_publish_second(self->one.cache, "app", &second, &image, ref, false, &err), &err);
	/* It says that it is of another second key: none. */
	assert_int_equal(ix_cache_find_second(self->two.cache, "app", &second, true, &found, &remote, &err), -IX_ENOTFOUND);
	assert_says(&err, "another second key");
	assert_ok(ix_store_set_stage(self->one.store, &second, &image, &err), &err);
	assert_ok(ix_cache_find_second(self->one.cache, "app", &second, false, &found, &remote, &err), &err);
	assert_true(ix_digest_eq(&found, &image) && !remote);
}

static void a_record_is_found_by_key_and_by_channel(void **state)
{
	const struct fixture *self = *state;
	const struct ix_digest key = digest_of("key"), image = twin_store_image(self->one.store, "layer", &key);
	struct ix_channel_find find = { .stage = "app" };
	const char *const channels[] = { "feature", "main" };
	ix_auto_kept_record record = { 0 };
	ix_auto_buf text = { 0 };
	struct ix_descriptor part;
	struct ix_digest digest;
	struct ix_err err;

	ix_buf_puts(&text, "{\"key\":1}");
	assert_ok(ix_cache_put_document(self->one.cache, IX_MEDIA_RECORD_JSON, &text, &part, &err), &err);
	assert_ok(ix_cache_keep_record(self->one.cache, "app", &key, NULL, &image, &part, 1, &digest, &err), &err);
	ix_descriptor_release(&part);
	publish(&self->one, "app", &key, &image);
	assert_ok(ix_cache_publish_record(self->one.cache, "app", &key, &digest, &err), &err);
	assert_ok(ix_cache_move_channel(self->one.cache, "app", "main", &key, &image, &digest, &err), &err);

	assert_ok(ix_cache_record_of_key(self->two.cache, "app", &key, &record, &err), &err);
	assert_string_equal(ix_buf_str(&record.json), "{\"key\":1}");
	assert_true(ix_digest_eq(&record.manifest.subject.digest, &image));
	assert_ok(ix_cache_find_channels(self->two.cache, &find, 1, channels, 2, &err), &err);
	assert_string_equal(find.channel, "main");
	assert_true(ix_digest_eq(&find.record, &digest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_one_machine_publishes_another_finds_and_can_have, setup, teardown),
		cmocka_unit_test_setup_teardown(a_batch_is_one_trip_however_many_stages, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_there_is_not_uploaded_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_registry_that_does_not_answer_is_gone_on_without, setup, teardown),
		cmocka_unit_test_setup_teardown(a_registry_that_is_required_has_to_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(offline_asks_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_layer_that_is_lost_is_missed_once_and_the_stage_found_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_blob_is_fetched_again, setup, teardown),
		cmocka_unit_test_setup_teardown(an_image_of_another_key_is_not_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_key_is_found_where_it_was_published, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_is_found_by_key_and_by_channel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
