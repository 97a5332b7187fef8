/* What a stage comes to: operations and config, as text. @BASE is the base image's config (JSON); without it the stage is built from scratch. */
#include "golden.h"

#include "dockerfile/dockerfile.h"
#include "steps/steps.h"

static char *stage_ref(void *data, const struct ix_stage *stage)
{
	(void)data;
	return ix_asprintf("registry.example/%s:key", stage->name);
}

static const struct ix_image_facts *facts(void *data, const struct ix_source *image, bool need, struct ix_err *err)
{
	static const struct ix_image_facts none = { 0 };

	(void)data;
	(void)image;
	(void)need;
	(void)err;
	return &none;
}

static struct ix_stage *find_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err)
{
	struct ix_graph *graph = data;
	struct ix_stage *stage = ix_graph_find(graph, name);

	(void)ret_failed;
	(void)err;
	if (stage || strcmp(name, "linked") != 0)
		return stage;
	stage = ix_graph_add(graph, name);
	stage->platform = "linux/amd64";
	return stage;
}

static void dump_words(const char *what, const struct ix_strv *words, struct ix_buf *out)
{
	ix_buf_printf(out, "    %s", what);
	for (size_t i = 0; i < words->count; i++) {
		ix_buf_puts(out, " [");
		for (const char *c = words->items[i]; *c; c++)
			*c == '\n' ? ix_buf_puts(out, "\\n") : ix_buf_putc(out, *c);
		ix_buf_putc(out, ']');
	}
	ix_buf_putc(out, '\n');
}

static void dump(const struct ix_operation *operation, struct ix_buf *out)
{
	const struct ix_step *step = operation->step;

	ix_buf_printf(out, "%zu %s in %s", operation->index + 1, ix_step_word(step->kind), operation->workdir);
	if (operation->user && *operation->user)
		ix_buf_printf(out, " as %s", operation->user);
	ix_buf_putc(out, '\n');
	if (step->kind == IX_STEP_RUN) {
		dump_words("argv", &operation->argv, out);
		dump_words("env", &operation->env, out);
		if (operation->file)
			ix_buf_printf(out, "    program %s\n", operation->file->name);
	}
	if (operation->dest)
		ix_buf_printf(out, "    to [%s]\n", operation->dest);
	if (operation->chown)
		ix_buf_printf(out, "    owner %s\n", operation->chown);
	if (operation->chmod.given)
		ix_buf_printf(out, "    a file of 0640 gets 0%o\n", ix_mode_apply(&operation->chmod, 0100640) & 07777);
	if (operation->docs.count > 0)
		dump_words("texts", &operation->docs, out);
}

static int expand(const char *text, struct ix_graph *graph, struct ix_dockerfile *file, struct ix_buf *got, struct ix_err *err)
{
	static const struct ix_build_arg args[] = { { "GIVEN", "from outside" }, { "LINK", "stage:linked" } };
	static const struct ix_dir context = { "/context", NULL, "." };
	const struct ix_lower_opts opts = { .name = "app",
					    .platform = "linux/amd64",
					    .build_platform = "linux/amd64",
					    .context = &context,
					    .args = args,
					    .nargs = 2,
					    .facts = facts,
					    .find_stage = find_stage,
					    .data = graph };
	const struct ix_steps_opts how = { .now = "2020-02-02T02:02:02Z", .stage_ref = stage_ref };
	ix_auto_free char *base_text = golden_section(text, "BASE");
	ix_auto_operations operations = { 0 };
	ix_auto_config base = { 0 };
	struct ix_stage *stage;
	int r = ix_dockerfile_lower(file, &opts, graph, &stage, NULL, err);

	if (r == 0 && base_text)
		r = ix_config_parse(base_text, strlen(base_text), &base, err);
	if (r == 0)
		r = ix_steps_expand(stage, base_text ? &base : NULL, &how, &operations, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < operations.count; i++)
		dump(&operations.items[i], got);
	for (size_t i = base.nhistory; i < operations.config.nhistory; i++) {
		const struct ix_history *entry = &operations.config.history[i];

		ix_buf_printf(got, "history%s %s\n", entry->empty_layer ? " (empty)" : "", entry->created_by);
	}
	ix_config_release(&base);
	for (size_t i = 0; i < operations.config.nhistory; i++) {
		struct ix_history *entry = &operations.config.history[i];

		free(entry->created);
		free(entry->created_by);
		free(entry->comment);
		free(entry->author);
	}
	operations.config.nhistory = 0;
	ix_config_json(&operations.config, got);
	return 0;
}

static bool run(const char *text, struct ix_buf *got)
{
	ix_scoped(ix_dockerfile_freep) struct ix_dockerfile *file = NULL;
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	ix_auto_free char *input = golden_section(text, "INPUT");
	struct ix_err err;
	int r = ix_dockerfile_parse("Dockerfile", input, strlen(input), &file, &err);

	if (r == 0)
		r = expand(text, graph, file, got, &err);
	if (r < 0)
		ix_buf_printf(got, "%s\n%s", err.msg, err.detail);
	return r < 0;
}

static void every_case_comes_to_what_it_says(void **state)
{
	(void)state;
	golden_run("steps", run, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_comes_to_what_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
