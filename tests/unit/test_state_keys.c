/* Keys of graphs made by hand: what is executed is hashed, field by field of the struct that is executed. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "state/state.h"
#include "unit.h"

struct inputs {
	uint8_t image; /* which one the base is */
};

static int image_digest(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	const struct inputs *inputs = data;

	(void)source;
	(void)err;
	*ret_digest = (struct ix_digest){ .bytes = { inputs->image } };
	return 0;
}

/* The key of the last stage of a graph. */
static struct ix_digest key_of(const struct ix_graph *graph, uint8_t image)
{
	struct inputs data = { image };
	const struct ix_state_inputs inputs = { .image = image_digest, .data = &data };
	bool needed[8] = { true, true, true, true, true, true, true, true };
	struct ix_state *state = NULL;
	struct ix_digest key;
	struct ix_err err;

	assert_int_equal(ix_state_new(graph, needed, &inputs, &state, &err), 0);
	key = *ix_state_stage_key(state, graph->stages[graph->nstages - 1]);
	ix_state_free(state);
	return key;
}

static char make[] = "make", heredoc[] = "<<EOF";
static char *run_words[] = { make };
static char *docs_words[] = { heredoc };

static struct ix_stage *stage_with(struct ix_graph *graph, const char *name, struct ix_step *steps, size_t nsteps, bool external)
{
	struct ix_stage *stage = ix_graph_add(graph, name);

	stage->platform = "linux/amd64";
	stage->epoch = -1;
	stage->steps = steps;
	stage->nsteps = nsteps;
	if (external)
		stage->base = (struct ix_source){ .kind = IX_SOURCE_IMAGE, .text = "base:1", .platform = "linux/amd64" };
	return stage;
}

static struct ix_digest key_of_run(const struct ix_run_spec *spec)
{
	struct ix_step step = { .kind = IX_STEP_RUN, .words = run_words, .nwords = 1, .run = *spec, .text = "RUN make" };
	struct ix_graph *graph = ix_graph_new();
	struct ix_digest key;

	stage_with(graph, "a", &step, 1, true);
	key = key_of(graph, 1);
	ix_graph_free(graph);
	return key;
}

static void must_count(const struct ix_run_spec *changed, const char *what)
{
	const struct ix_run_spec plain = IX_RUN_SPEC_INIT;
	struct ix_digest before = key_of_run(&plain), after = key_of_run(changed);

	if (ix_digest_eq(&before, &after))
		fail_msg("a step is executed with another %s under the same key", what);
}

/* A field that is added to the struct is added to this test. */
static void every_setting_of_a_run_counts(void **state)
{
	static const struct ix_run_host a_ix_run_host = { "host", "1.2.3.4" }, b_ix_run_host = { "host", "1.2.3.5" };
	static const struct ix_run_limit a_ix_run_limit = { "nofile", 1, 2 }, b_ix_run_limit = { "nofile", 1, 3 };

	(void)state;
	(void)b_ix_run_host;
	(void)b_ix_run_limit;
#define CHANGE_NUMBER(type, name, what)                                                                                                    \
	{                                                                                                                                  \
		struct ix_run_spec spec = IX_RUN_SPEC_INIT;                                                                                \
		spec.name = spec.name ? (type)0 : (type)1;                                                                                 \
		must_count(&spec, what);                                                                                                   \
	}
#define CHANGE_TEXT(name, what)                                                                                                            \
	{                                                                                                                                  \
		struct ix_run_spec spec = IX_RUN_SPEC_INIT;                                                                                \
		spec.name = "";                                                                                                            \
		must_count(&spec, what);                                                                                                   \
	}
#define CHANGE_LIST(type, name, what, print)                                                                                               \
	{                                                                                                                                  \
		_Static_assert(_Generic(((struct ix_run_spec *)0)->name, type const * : 1, default : 0), what);                            \
		struct ix_run_spec spec = IX_RUN_SPEC_INIT;                                                                                \
		spec.name = _Generic(((struct ix_run_spec *)0)->name,                                         \
		    const struct ix_run_host *: &a_ix_run_host, const struct ix_run_limit *: &a_ix_run_limit);                            \
		spec.n##name = 1;                                                                                                          \
		must_count(&spec, what);                                                                                                   \
	}
	IX_RUN_SPEC(CHANGE_NUMBER, CHANGE_TEXT, CHANGE_LIST)
}

/* ... and every byte of the struct is a field of the table. */
static void the_table_is_the_struct(void **state)
{
	size_t fields = 0, size = 0;

	(void)state;
#define SIZE_NUMBER(type, name, what)      fields++, size += sizeof(type);
#define SIZE_TEXT(name, what)              fields++, size += sizeof(const char *);
#define SIZE_LIST(type, name, what, print) fields++, size += sizeof(type *) + sizeof(size_t);
	IX_RUN_SPEC(SIZE_NUMBER, SIZE_TEXT, SIZE_LIST)
	assert_true(fields > 5);
	assert_true(size <= sizeof(struct ix_run_spec) && sizeof(struct ix_run_spec) - size < 8);
}

static struct ix_digest key_of_copy(const char *dest, const char *name, const char *value, bool external, uint8_t image)
{
	struct ix_heredoc doc = { .name = "EOF", .body = "x\n", .raw = "x\n" };
	struct ix_arg arg = { name, value, NULL };
	struct ix_step step = {
		.kind = IX_STEP_COPY, .words = docs_words, .nwords = 1, .docs = &doc, .ndocs = 1, .dest = dest, .args = &arg, .nargs = 1
	};
	struct ix_graph *graph = ix_graph_new();
	struct ix_digest key;

	step.text = "COPY";
	stage_with(graph, "a", &step, 1, external);
	key = key_of(graph, image);
	ix_graph_free(graph);
	return key;
}

static bool same(struct ix_digest a, struct ix_digest b)
{
	return ix_digest_eq(&a, &b);
}

static void a_variable_that_only_the_image_may_set_is_not_known(void **state)
{
	(void)state;
	/* On scratch nobody else sets it: what it is is known. */
	assert_true(same(key_of_copy("/$D/f", "D", "d", false, 0), key_of_copy("/d/f", "D", "e", false, 0)));
	assert_true(same(key_of_copy("/${D%.x}/f", "D", "d.x", false, 0), key_of_copy("/d/f", "D", "e", false, 0)));
	/* On an image, too: an argument goes before what the image says. */
	assert_true(same(key_of_copy("/$D/f", "D", "d", true, 1), key_of_copy("/d/f", "D", "e", true, 1)));
	assert_false(same(key_of_copy("/$D/f", "D", "d", true, 1), key_of_copy("/$D/f", "D", "e", true, 1)));
	/* Without an argument it hangs on the image. */
	assert_false(same(key_of_copy("/$D/f", "E", "d", true, 1), key_of_copy("/f", "E", "d", true, 1)));
	assert_false(same(key_of_copy("/$D/f", "E", "d", true, 1), key_of_copy("/$D/f", "E", "d", true, 2)));
	assert_true(same(key_of_copy("/$D/f", "E", "d", true, 1), key_of_copy("/${D}/f", "E", "d", true, 1)));
	assert_true(same(key_of_copy("/$D/f", "D", "d", true, 1), key_of_copy("/${D}/f", "D", "d", true, 1)));
	assert_true(same(key_of_copy("/\"$D\"/f", "D", "d", true, 1), key_of_copy("/${D}/f", "D", "d", true, 1)));
	assert_true(same(key_of_copy("/${D%x}", "D", "dx", true, 1), key_of_copy("/${D%%x}", "D", "dx", true, 1)));
	assert_false(same(key_of_copy("/${D%x}", "D", NULL, true, 1), key_of_copy("/${D%%x}", "D", NULL, true, 1)));
	assert_false(same(key_of_copy("/${D:-x}", "D", NULL, true, 1), key_of_copy("/${D:-x}", "D", "", true, 1)));
}

/* The byte that stands before a mark can come from outside, too. */
static void a_word_that_looks_like_a_mark_is_none(void **state)
{
	char marked[66] = "\001";
	char hex[IX_DIGEST_HEX + 1];
	struct ix_digest zero = { 0 };

	(void)state;
	strcpy(marked + 1, ix_digest_hex(&zero, hex)); /* NOLINT: it has room for 64 digits */
	assert_false(same(key_of_copy(marked, "D", "d", false, 0), key_of_copy("$D", "D", marked, false, 0)));
	assert_false(same(key_of_copy("/\001", "D", "d", false, 0), key_of_copy("/\001\001", "D", "d", false, 0)));
	assert_false(same(key_of_copy("/$D", "D", "\001", false, 0), key_of_copy("/$D", "D", "\001\001", false, 0)));
	assert_true(same(key_of_copy("/$D", "D", "\001", false, 0), key_of_copy("/$D", "D", "\001", false, 0)));
}

static struct ix_digest key_of_env(const char *name, const char *value, const char *dest, bool external)
{
	char *words[] = { ix_strdup(name), ix_strdup(value) };
	struct ix_heredoc doc = { .name = "EOF", .body = "x\n", .raw = "x\n" };
	struct ix_step steps[] = {
		{ .kind = IX_STEP_ENV, .words = words, .nwords = 2, .text = "ENV" },
		{ .kind = IX_STEP_COPY, .words = docs_words, .nwords = 1, .docs = &doc, .ndocs = 1, .dest = dest, .text = "COPY" },
	};
	struct ix_graph *graph = ix_graph_new();
	struct ix_digest key;

	stage_with(graph, "a", steps, 2, external);
	key = key_of(graph, 1);
	ix_graph_free(graph);
	free(words[0]);
	free(words[1]);
	return key;
}

static void a_variable_whose_name_is_not_known_may_be_any(void **state)
{
	(void)state;
	assert_false(same(key_of_env("$X", "1", "/$Y", true), key_of_env("$X", "2", "/$Y", true)));
	assert_true(same(key_of_env("X", "'1'", "/$X", true), key_of_env("X", "1", "/1", true)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_setting_of_a_run_counts),
		cmocka_unit_test(the_table_is_the_struct),
		cmocka_unit_test(a_variable_that_only_the_image_may_set_is_not_known),
		cmocka_unit_test(a_word_that_looks_like_a_mark_is_none),
		cmocka_unit_test(a_variable_whose_name_is_not_known_may_be_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
