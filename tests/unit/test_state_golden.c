/*
 * Keys of Dockerfiles, as they are: a key that changes here changes for everybody, and KEY_FORMAT with it. @SAME says the same otherwise, and @OTHER
 * something else.
 */
#include "golden.h"

#include "dockerfile/dockerfile.h"
#include "state/state.h"

static const struct ix_image_facts *facts(void *data, const struct ix_source *image, bool need, struct ix_err *err)
{
	static const struct ix_image_facts none = { 0 };

	(void)data;
	(void)image;
	(void)need;
	(void)err;
	return &none;
}

/* An image's digest is that of its name. */
static int image_digest(void *data, const struct ix_source *source, struct ix_digest *ret_digest, struct ix_err *err)
{
	(void)data;
	(void)err;
	ix_digest_of(source->text, strlen(source->text), ret_digest);
	return 0;
}

static int remote_identity(void *data, const struct ix_remote *remote, char **ret_identity, struct ix_err *err)
{
	(void)data;
	(void)remote;
	(void)err;
	*ret_identity = ix_strdup("sha256:0000");
	return 0;
}

static void tell(const struct ix_graph *graph, const struct ix_state *state, struct ix_buf *got)
{
	char hex[IX_DIGEST_HEX + 1];

	for (size_t i = 0; i < graph->nstages; i++) {
		const struct ix_stage *stage = graph->stages[i];

		for (size_t j = 0; j < stage->nsteps; j++)
			if (stage->steps[j].kind != IX_STEP_ARG)
				ix_buf_printf(got, "  %.16s %.*s\n", ix_digest_hex(ix_state_step_key(state, stage, j), hex),
					      (int)strcspn(stage->steps[j].text, "\n"), stage->steps[j].text);
		ix_buf_printf(got, "%s %s\n", stage->name, ix_digest_hex(ix_state_stage_key(state, stage), hex));
	}
}

/* The key of what the text says; the keys of all of it are appended when tells is not NULL. */
static int key_of(const char *text, struct ix_buf *tells, struct ix_digest *ret_key, struct ix_err *err)
{
	static const struct ix_build_arg args[] = { { "GIVEN", "from outside" } };
	const struct ix_lower_opts opts = {
		.name = "app", .platform = "linux/amd64", .build_platform = "linux/amd64", .args = args, .nargs = 1, .facts = facts
	};
	const struct ix_state_inputs inputs = { .image = image_digest, .remote = remote_identity };
	ix_scoped(ix_dockerfile_freep) struct ix_dockerfile *file = NULL;
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	ix_scoped(ix_state_freep) struct ix_state *state = NULL;
	ix_auto_free bool *needed = NULL;
	struct ix_stage *stage;
	int r;

	if ((r = ix_dockerfile_parse("Dockerfile", text, strlen(text), &file, err)) < 0 ||
	    (r = ix_dockerfile_lower(file, &opts, graph, &stage, NULL, err)) < 0)
		return r;
	needed = ix_calloc(graph->nstages, sizeof(*needed));
	memset(needed, true, graph->nstages);
	r = ix_state_new(graph, needed, &inputs, &state, err);
	if (r < 0)
		return r;
	*ret_key = *ix_state_stage_key(state, stage);
	if (tells)
		tell(graph, state, tells);
	return 0;
}

static bool run(const char *text, struct ix_buf *got)
{
	static const char *const variants[] = { "SAME", "OTHER" };
	ix_auto_free char *input = golden_section(text, "INPUT");
	struct ix_digest key, variant;
	struct ix_err err;

	if (key_of(input, got, &key, &err) < 0) {
		ix_buf_puts(got, err.msg);
		return true;
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(variants); i++) {
		ix_auto_free char *section = golden_section(text, variants[i]);

		if (!section)
			continue;
		assert_ok(key_of(section, NULL, &variant, &err), &err);
		if (ix_digest_eq(&key, &variant) != (i == 0))
			fail_msg("@%s has %s key:\n%s", variants[i], i == 0 ? "another" : "the same", text);
	}
	return false;
}

static void every_case_has_the_keys_it_says(void **state)
{
	(void)state;
	golden_run("state", run, 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_has_the_keys_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
