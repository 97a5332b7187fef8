#include "golden.h"

#include "project/project.h"

static void dump_pairs(const char *word, const struct ix_project_pair *pairs, size_t n, struct ix_buf *out)
{
	for (size_t i = 0; i < n; i++)
		ix_buf_printf(out, "  %s %s%s%s (%u:%u)\n", word, pairs[i].name, pairs[i].value ? "=" : "",
			      pairs[i].value ? pairs[i].value : "", pairs[i].place.line, pairs[i].place.column);
}

static void dump_credential(const char *word, const struct ix_credential *credential, struct ix_buf *out)
{
	static const char *const kinds[] = { "", "env", "file", "command" };

	if (credential->kind != IX_CREDENTIAL_NONE)
		ix_buf_printf(out, " %s from %s %s", word, kinds[credential->kind], credential->value);
}

static void dump_hosts(const struct ix_host_config *hosts, size_t n, struct ix_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		ix_buf_printf(out, "host %s%s", hosts[i].host, hosts[i].insecure ? " insecure" : "");
		dump_credential("username", &hosts[i].username, out);
		dump_credential("password", &hosts[i].password, out);
		if (hosts[i].ca_file)
			ix_buf_printf(out, " ca %s", hosts[i].ca_file);
		for (size_t j = 0; hosts[i].mirrors && hosts[i].mirrors[j]; j++)
			ix_buf_printf(out, " mirror %s", hosts[i].mirrors[j]);
		ix_buf_putc(out, '\n');
	}
}

static void dump_stage(const struct ix_project_stage *stage, struct ix_buf *out)
{
	ix_buf_printf(out, "stage %s (%u:%u) context %s", stage->name, stage->place.line, stage->place.column, stage->context);
	if (stage->dockerfile)
		ix_buf_printf(out, " dockerfile %s", stage->dockerfile);
	if (stage->target)
		ix_buf_printf(out, " target %s", stage->target);
	if (stage->platform)
		ix_buf_printf(out, " platform %s", stage->platform);
	ix_buf_putc(out, '\n');
	if (stage->inline_text)
		ix_buf_printf(out, "  inline %zu bytes\n", strlen(stage->inline_text));
	dump_pairs("arg", stage->args, stage->nargs, out);
	dump_pairs("context", stage->contexts, stage->ncontexts, out);
	dump_pairs("label", stage->labels, stage->nlabels, out);
	for (size_t i = 0; i < stage->npublish; i++)
		ix_buf_printf(out, "  publish %s\n", stage->publish[i]);
}

static bool run_user(const char *input, struct ix_buf *got)
{
	ix_scoped(ix_user_config_freep) struct ix_user_config *config = NULL;
	struct ix_err err;

	if (ix_user_config_parse("config.yaml", input, strlen(input), &config, &err) < 0) {
		ix_buf_printf(got, "%s\n%s", err.msg, err.detail);
		return true;
	}
	if (config->store)
		ix_buf_printf(got, "store %s\n", config->store);
	dump_hosts(config->hosts, config->nhosts, got);
	return false;
}

static bool run(const char *text, struct ix_buf *got)
{
	ix_scoped(ix_project_freep) struct ix_project *project = NULL;
	ix_auto_free char *input = golden_section(text, "INPUT");
	ix_auto_free char *user = golden_section(text, "USER");
	struct ix_err err;

	if (user)
		return run_user(user, got);
	if (ix_project_parse("ix.yaml", "/work", input, strlen(input), &project, &err) < 0) {
		ix_buf_printf(got, "%s\n%s", err.msg, err.detail);
		return true;
	}
	ix_buf_printf(got, "project %s registry %s%s\n", project->name, project->registry ? project->registry : "none",
		      project->image_tls ? " tls image" : "");
	dump_hosts(project->hosts, project->nhosts, got);
	for (size_t i = 0; i < project->nstages; i++)
		dump_stage(&project->stages[i], got);
	return false;
}

static void every_case_is_read_as_written(void **state)
{
	(void)state;
	setenv("FROM_ENVIRONMENT", "outside", 1);
	unsetenv("NOT_SET");
	golden_run("project", run, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_is_read_as_written) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
