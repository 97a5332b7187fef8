#include "golden.h"

#include "dockerfile/dockerfile.h"

/* A project of stages that exist in name: @STAGES. Facts of base images: @FACTS, "ENV k=v" and "ONBUILD ..." lines. */
struct world {
	struct ix_graph *graph;
	struct ix_strv stages;
	struct ix_image_facts facts;
	bool has_facts;
	bool asked; /* the facts were needed */
};

static struct ix_stage *find_stage(void *data, const char *name, bool *ret_failed, struct ix_err *err)
{
	struct world *world = data;
	struct ix_stage *stage = ix_graph_find(world->graph, name);

	(void)ret_failed;
	(void)err;
	if (stage || !ix_strv_has(&world->stages, name))
		return stage;
	stage = ix_graph_add(world->graph, name);
	stage->platform = "linux/amd64";
	stage->base = (struct ix_source){ .kind = IX_SOURCE_IMAGE, .text = "outer", .platform = "linux/amd64" };
	return stage;
}

static const struct ix_image_facts *facts(void *data, const struct ix_source *image, bool need, struct ix_err *err)
{
	struct world *world = data;

	(void)image;
	world->asked = world->asked || need;
	if (!world->has_facts && need)
		ix_err_set(err, IX_EFAIL, "no facts in this case");
	return world->has_facts ? &world->facts : NULL;
}

static void dump_source(const struct ix_source *source, struct ix_buf *out)
{
	switch (source->kind) {
	case IX_SOURCE_SCRATCH:
		ix_buf_puts(out, "scratch");
		break;
	case IX_SOURCE_STAGE:
		ix_buf_printf(out, "stage %s", source->stage->name);
		break;
	case IX_SOURCE_IMAGE:
		ix_buf_printf(out, "image %s", source->text);
		if (strcmp(source->platform, "linux/amd64") != 0)
			ix_buf_printf(out, " (%s)", source->platform);
		break;
	case IX_SOURCE_DIR:
		ix_buf_printf(out, "files of %s", source->dir->label);
		break;
	case IX_SOURCE_LAYOUT:
		ix_buf_printf(out, "layout %s", source->text);
		break;
	}
}

static void dump_text(const char *text, struct ix_buf *out)
{
	ix_buf_puts(out, " [");
	for (const char *c = text; *c; c++)
		*c == '\n' ? ix_buf_puts(out, "\\n") : *c == '\t' ? ix_buf_puts(out, "\\t") : ix_buf_putc(out, *c);
	ix_buf_putc(out, ']');
}

static void dump_mount(const struct ix_mount *mount, struct ix_buf *out)
{
	static const char *const kinds[] = { "bind", "cache", "tmpfs", "secret", "ssh" };

	ix_buf_printf(out, "    mount %s", kinds[mount->kind]);
	if (mount->kind == IX_MOUNT_BIND || mount->from.kind != IX_SOURCE_SCRATCH) {
		ix_buf_puts(out, " from ");
		dump_source(&mount->from, out);
	}
	if (mount->source)
		ix_buf_printf(out, " source=%s", mount->source);
	if (mount->target)
		ix_buf_printf(out, " target=%s", mount->target);
	if (mount->id)
		ix_buf_printf(out, " id=%s", mount->id);
	if (mount->env)
		ix_buf_printf(out, " env=%s", mount->env);
	ix_buf_printf(out, "%s%s", mount->read_only ? " ro" : "", mount->required ? " required" : "");
	if (mount->size)
		ix_buf_printf(out, " size=%llu", (unsigned long long)mount->size);
	if (mount->sharing)
		ix_buf_puts(out, mount->sharing == IX_SHARING_LOCKED ? " locked" : " private");
	if (mount->has_mode)
		ix_buf_printf(out, " mode=%o", mount->mode);
	if (mount->has_uid)
		ix_buf_printf(out, " uid=%u", mount->uid);
	ix_buf_putc(out, '\n');
}

static void dump_step(const struct ix_step *step, struct ix_buf *out)
{
	bool copies = step->kind == IX_STEP_COPY || step->kind == IX_STEP_ADD;

	ix_buf_printf(out, "  %u %s%s%s", step->pos.line, ix_step_word(step->kind), step->exec ? " exec" : "",
		      step->trigger ? " (trigger)" : "");
	for (size_t i = 0; i < step->nwords; i++)
		dump_text(step->words[i], out);
	if (copies) {
		ix_buf_printf(out, " -> [%s]", step->dest);
		if (step->from.kind != IX_SOURCE_SCRATCH) {
			ix_buf_puts(out, " from ");
			dump_source(&step->from, out);
		}
	}
	if (step->chown)
		ix_buf_printf(out, " chown=%s", step->chown);
	if (step->chmod)
		ix_buf_printf(out, " chmod=%s", step->chmod);
	if (step->link)
		ix_buf_puts(out, " link");
	if (step->run.network)
		ix_buf_puts(out, step->run.network == IX_NETWORK_NONE ? " network=none" : " network=host");
	if (step->interval || step->timeout || step->start_period || step->retries)
		ix_buf_printf(out, " every %lldms within %lldms after %lldms retries %d", (long long)(step->interval / 1000000),
			      (long long)(step->timeout / 1000000), (long long)(step->start_period / 1000000), step->retries);
	ix_buf_putc(out, '\n');
	for (size_t i = 0; i < step->nargs; i++)
		ix_buf_printf(out, "    arg %s%s%s%s\n", step->args[i].name, step->args[i].value ? "=" : "",
			      step->args[i].value ? step->args[i].value : "", step->args[i].link ? " (link)" : "");
	for (size_t i = 0; i < step->nmounts; i++)
		dump_mount(&step->mounts[i], out);
	for (size_t i = 0; i < step->ndocs; i++) {
		ix_buf_printf(out, "    doc %s%s", step->docs[i].name, step->docs[i].expand ? "" : " literal");
		dump_text(step->docs[i].body, out);
		ix_buf_putc(out, '\n');
	}
}

static void dump_stage(const struct ix_stage *stage, struct ix_buf *out)
{
	if (!stage->pos.file)
		return; /* a stage of the world */
	ix_buf_printf(out, "%s %s from ", stage->inner ? "inner" : "stage", stage->name);
	dump_source(&stage->base, out);
	ix_buf_putc(out, '\n');
	for (size_t i = 0; i < stage->nsteps; i++)
		dump_step(&stage->steps[i], out);
	for (size_t i = 0; i < stage->nlinks; i++)
		ix_buf_printf(out, "  needs %s%s\n", stage->links[i].stage->name, stage->links[i].is_base ? " as base" : "");
}

static void read_facts(struct world *world, const char *text)
{
	ix_auto_free char *copy = ix_strdup(text);
	char *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) != NULL) {
		if (ix_starts(line, "ENV "))
			ix_strv_add(&world->facts.env, line + 4);
		else if (ix_starts(line, "ONBUILD "))
			ix_strv_add(&world->facts.onbuild, line + 8);
	}
	world->has_facts = true;
}

static size_t read_args(char *text, struct ix_build_arg *args, size_t max)
{
	size_t n = 0;
	char *line;

	while ((line = strsep(&text, "\n")) != NULL && n < max) {
		char *equals = strchr(line, '=');

		if (!*line)
			continue;
		if (equals)
			*equals++ = '\0';
		args[n++] = (struct ix_build_arg){ line, equals };
	}
	return n;
}

static bool lower(const struct ix_dockerfile *file, const char *text, struct world *world, struct ix_buf *got)
{
	static const struct ix_dir context = { "/ctx", NULL, "context" }, other = { "/other", NULL, "other" };
	const struct ix_named_context named[] = { { "named", { .kind = IX_SOURCE_DIR, .dir = &other } },
						  { "pinned", { .kind = IX_SOURCE_IMAGE, .text = "pinned@sha256:1" } } };
	ix_auto_free char *args_text = golden_section(text, "ARGS");
	ix_auto_free char *target = golden_section(text, "TARGET");
	ix_auto_free char *no_context = golden_section(text, "NOCONTEXT");
	struct ix_build_arg args[16];
	struct ix_lower_opts opts = { .name = "app",
				      .platform = "linux/amd64",
				      .build_platform = "linux/arm64",
				      .context = no_context ? NULL : &context,
				      .args = args,
				      .contexts = named,
				      .ncontexts = 2,
				      .find_stage = find_stage,
				      .facts = facts,
				      .data = world,
				      .stage_names = (const char *const *)world->stages.items };
	ix_auto_strv unused = { 0 };
	struct ix_stage *stage;
	struct ix_err err;

	opts.nargs = args_text ? read_args(args_text, args, 16) : 0;
	if (target)
		target[strcspn(target, "\n")] = '\0';
	opts.target = target;
	if (ix_dockerfile_lower(file, &opts, world->graph, &stage, &unused, &err) < 0) {
		ix_buf_printf(got, "%s\n%s", err.msg, err.detail);
		return true;
	}
	for (size_t i = 0; i < world->graph->nstages; i++)
		dump_stage(world->graph->stages[i], got);
	for (size_t i = 0; i < ix_dockerfile_warnings(file)->count; i++)
		ix_buf_printf(got, "warning %s\n", ix_dockerfile_warnings(file)->items[i]);
	for (size_t i = 0; i < unused.count; i++)
		ix_buf_printf(got, "unused %s\n", unused.items[i]);
	if (world->asked)
		ix_buf_puts(got, "asked for the base image's config\n");
	return false;
}

static bool run(const char *text, struct ix_buf *got)
{
	ix_scoped(ix_dockerfile_freep) struct ix_dockerfile *file = NULL;
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	ix_auto_free char *input = golden_section(text, "INPUT");
	ix_auto_free char *stages = golden_section(text, "STAGES");
	ix_auto_free char *facts_text = golden_section(text, "FACTS");
	struct world world = { .graph = graph };
	struct ix_err err;
	bool failed;
	char *rest = stages, *line;

	while (rest && (line = strsep(&rest, " \n")) != NULL)
		if (*line)
			ix_strv_add(&world.stages, line);
	if (facts_text)
		read_facts(&world, facts_text);
	failed = ix_dockerfile_parse("Dockerfile", input, strlen(input), &file, &err) < 0;
	if (failed)
		ix_buf_printf(got, "%s\n%s", err.msg, err.detail);
	else
		failed = lower(file, text, &world, got);
	ix_strv_release(&world.stages);
	ix_strv_release(&world.facts.env);
	ix_strv_release(&world.facts.onbuild);
	return failed;
}

static void every_case_is_lowered_as_written(void **state)
{
	(void)state;
	golden_run("dockerfile", run, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_is_lowered_as_written) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
