/* What the store's door promises, asked of the room and of its twin in memory: tests of rooms above may believe the twin. */
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "oci/image.h"
#include "store/store.h"
#include "unit.h"

struct fixture {
	char path[64];
	struct ix_store *store;
};

static int setup(void **state)
{
	struct fixture *self = ix_calloc(1, sizeof(*self));
	struct ix_err err;

	snprintf(self->path, sizeof(self->path), "/tmp/ix-store-XXXXXX");
	assert_non_null(mkdtemp(self->path));
	assert_ok(ix_store_open(self->path, NULL, &self->store, &err), &err);
	*state = self;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *self = *state;
	struct ix_err ignored;

	ix_store_close(self->store);
	(void)ix_remove_tree(AT_FDCWD, self->path, &ignored);
	free(self);
	return 0;
}

static struct ix_store *store_of(void **state)
{
	return ((struct fixture *)*state)->store;
}

static struct ix_digest put(struct ix_store *store, const char *text)
{
	struct ix_digest digest;
	struct ix_err err;

	assert_ok(ix_blob_put(store, text, strlen(text), &digest, &err), &err);
	return digest;
}

static void a_blob_is_there_after_its_commit_and_not_before(void **state)
{
	struct ix_store *store = store_of(state);
	struct ix_blob_writer *writer;
	struct ix_digest digest;
	struct ix_err err;
	uint64_t size = 0;
	int fd = -1;

	ix_digest_of("hello", 5, &digest);
	assert_ok(ix_blob_begin(store, &writer, &err), &err);
	assert_ok(ix_write(ix_blob_stream(writer), "hello", 5, &err), &err);
	assert_false(ix_blob_has(store, &digest));
	assert_int_equal(ix_blob_open(store, &digest, &fd, &size, &err), -IX_ENOTFOUND);
	assert_ok(ix_blob_commit(writer, &digest, &err), &err);
	assert_true(ix_blob_has(store, &digest) && ix_blob_is_checked(store, &digest));
	assert_ok(ix_blob_open(store, &digest, &fd, &size, &err), &err);
	assert_int_equal(size, 5);
	close(fd);
}

static void what_is_aborted_leaves_nothing(void **state)
{
	struct ix_store *store = store_of(state);
	struct ix_blob_writer *writer;
	struct ix_digest digest;
	struct ix_err err;

	ix_digest_of("x", 1, &digest);
	assert_ok(ix_blob_begin(store, &writer, &err), &err);
	assert_ok(ix_write(ix_blob_stream(writer), "x", 1, &err), &err);
	ix_blob_abort(writer);
	assert_false(ix_blob_has(store, &digest));
	assert_int_equal(ix_blob_check(store, &digest, &err), -IX_ENOTFOUND);
}

static void a_small_blob_is_read_up_to_the_limit_of_the_buffer(void **state)
{
	struct ix_store *store = store_of(state);
	const struct ix_digest digest = put(store, "some text");
	ix_auto_buf whole = IX_BUF_INIT(9), small = IX_BUF_INIT(8);
	struct ix_err err;

	assert_ok(ix_blob_read(store, &digest, &whole, &err), &err);
	assert_string_equal(ix_buf_str(&whole), "some text");
	assert_int_equal(ix_blob_read(store, &digest, &small, &err), -IX_ELIMIT);
}

static void places_are_remembered_each_once(void **state)
{
	struct ix_store *store = store_of(state);
	const struct ix_digest digest = put(store, "x");
	ix_auto_strv places = { 0 };
	struct ix_err err;

	assert_ok(ix_blob_add_place(store, &digest, "r.example/a", &err), &err);
	assert_ok(ix_blob_add_place(store, &digest, "r.example/b", &err), &err);
	assert_ok(ix_blob_add_place(store, &digest, "r.example/a", &err), &err);
	assert_ok(ix_blob_places(store, &digest, &places, &err), &err);
	assert_int_equal(places.count, 2);
	assert_true(ix_strv_has(&places, "r.example/a") && ix_strv_has(&places, "r.example/b"));
}

static void a_step_is_known_as_long_as_its_blob_is_whole(void **state)
{
	struct ix_store *store = store_of(state);
	struct ix_step_result result = { .digest = put(store, "layer"), .size = 5, .media_type = "m" }, found, short_one = result;
	const struct ix_digest key = put(store, "key"), other = put(store, "other");
	struct ix_err err;

	short_one.size = 6;
	assert_int_equal(ix_store_step(store, &key, &found, &err), -IX_ENOTFOUND);
	assert_ok(ix_store_set_step(store, &key, &result, &err), &err);
	assert_ok(ix_store_set_step(store, &other, &short_one, &err), &err);
	assert_ok(ix_store_step(store, &key, &found, &err), &err);
	assert_true(ix_digest_eq(&found.digest, &result.digest));
	assert_string_equal(found.media_type, "m");
	assert_int_equal(ix_store_step(store, &other, &found, &err), -IX_ENOTFOUND);
	assert_int_equal(ix_blob_is_made(store, &result.digest, &err), 1);
	assert_int_equal(ix_blob_is_made(store, &key, &err), 0);
}

static void a_stage_is_not_found_without_its_manifest_or_a_layer_that_nobody_has(void **state)
{
	struct ix_store *store = store_of(state);
	ix_auto_manifest manifest = { .media_type = ix_strdup(IX_MEDIA_MANIFEST) };
	const struct ix_digest key = put(store, "key");
	struct ix_digest image, found, layer;
	ix_auto_buf json = { 0 };
	struct ix_err err;

	ix_digest_of("gone", 4, &layer);
	manifest.config = (struct ix_descriptor){ .media_type = ix_strdup(IX_MEDIA_CONFIG), .digest = put(store, "{}"), .size = 2 };
	*ix_manifest_add_layer(&manifest) = (struct ix_descriptor){ .media_type = ix_strdup("m"), .digest = layer, .size = 4 };
	ix_manifest_json(&manifest, &json);
	ix_digest_of(json.data, json.len, &image);
	assert_ok(ix_store_set_stage(store, &key, &image, &err), &err);
	assert_int_equal(ix_store_stage(store, &key, &found, &err), -IX_ENOTFOUND);
	put(store, ix_buf_str(&json));
	assert_ok(ix_store_stage(store, &key, &found, &err), &err);
	assert_true(ix_digest_eq(&found, &image));
	assert_true(ix_blob_note_lost(store, &layer));
	assert_false(ix_blob_note_lost(store, &layer));
	assert_int_equal(ix_store_stage(store, &key, &found, &err), -IX_ENOTFOUND);
	put(store, "gone");
	assert_ok(ix_store_stage(store, &key, &found, &err), &err);
}

static void facts_and_names_are_what_was_said_last(void **state)
{
	struct ix_store *store = store_of(state);
	const struct ix_digest a = put(store, "a"), b = put(store, "b");
	ix_auto_names names = { 0 };
	ix_auto_buf value = { 0 };
	struct ix_digest found;
	struct ix_err err;

	assert_int_equal(ix_store_fact(store, "t", "n", &value, NULL, &err), -IX_ENOTFOUND);
	assert_ok(ix_store_set_fact(store, "t", "n", "one", 3, &err), &err);
	assert_ok(ix_store_set_fact(store, "t", "n", "two", 3, &err), &err);
	assert_ok(ix_store_fact(store, "t", "n", &value, NULL, &err), &err);
	assert_string_equal(ix_buf_str(&value), "two");
	assert_int_equal(ix_store_name(store, "r.example/a:1", &found, &err), -IX_ENOTFOUND);
	assert_ok(ix_store_tag(store, "r.example/a:1", &a, IX_MEDIA_MANIFEST, 1, &err), &err);
	assert_ok(ix_store_tag(store, "r.example/a:1", &b, IX_MEDIA_MANIFEST, 1, &err), &err);
	assert_ok(ix_store_name(store, "r.example/a:1", &found, &err), &err);
	assert_true(ix_digest_eq(&found, &b));
	assert_ok(ix_store_tag(store, "a.example/z:1", &a, IX_MEDIA_MANIFEST, 1, &err), &err);
	assert_ok(ix_store_names(store, &names, &err), &err);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.items[0].name, "a.example/z:1");
	assert_true(ix_digest_eq(&names.items[1].digest, &b));
}

static void a_key_has_one_holder(void **state)
{
	struct ix_store *store = store_of(state);
	const struct ix_digest key = put(store, "key");
	struct ix_err err;
	int one, two;

	assert_ok(ix_store_lock(store, "k", &key, NULL, &one, &err), &err);
	assert_int_equal(ix_store_trylock(store, "k", &key, false, &two, &err), -IX_EEXIST);
	assert_int_equal(ix_store_trylock(store, "k", &key, true, &two, &err), -IX_EEXIST);
	close(one);
	assert_ok(ix_store_trylock(store, "k", &key, true, &one, &err), &err);
	assert_ok(ix_store_trylock(store, "k", &key, true, &two, &err), &err);
	close(one);
	close(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_blob_is_there_after_its_commit_and_not_before, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_aborted_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_small_blob_is_read_up_to_the_limit_of_the_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(places_are_remembered_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_is_known_as_long_as_its_blob_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stage_is_not_found_without_its_manifest_or_a_layer_that_nobody_has, setup, teardown),
		cmocka_unit_test_setup_teardown(facts_and_names_are_what_was_said_last, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_has_one_holder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
