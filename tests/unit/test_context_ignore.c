#include "unit.h"
#include "vectors.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/scope.h"
#include "context/context.h"

static bool ignored(const char *rules, const char *path)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = NULL;
	struct ix_err err;

	assert_ok(ix_ignore_parse("x", rules, strlen(rules), &ignore, &err), &err);
	return ix_ignore_match(ignore, path);
}

static void rules_match_as_the_reference_says(void **state)
{
	static const struct {
		const char *rules, *path;
		bool want;
	} rows[] = {
		{ "a", "a", true },
		{ "a", "a/b/c", true },
		{ "a", "b/a", false },
		{ "/a", "a", true },
		{ "a/", "a/b", true },
		{ "*/temp*", "x/temporary", true },
		{ "*/temp*", "temporary", false },
		{ "*/*/temp*", "x/y/temp.txt", true },
		{ "temp?", "tempa", true },
		{ "temp?", "temp", false },
		{ "**/*.go", "x.go", true },
		{ "**/*.go", "a/b/x.go", true },
		{ "**", "anything/at/all", true },
		{ "a/**", "a/b", true },
		{ "a/**", "a", false },
		{ "a/**/z", "a/z", true },
		{ "a/**/z", "a/b/c/z", true },
		{ "*.md\n!README.md", "README.md", false },
		{ "*.md\n!README.md", "x.md", true },
		{ "*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true },
		{ "*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false },
		{ "# comment\n \n  b  ", "b", true },
		{ "\xef\xbb\xbf"
		  "b",
		  "b", true },
		{ "a\\*", "a*", true },
		{ "a\\*", "ab", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "./x/../y", "y", true },
		{ "*\n!keep", "keep/inside", false },
		{ "*\r\n!keep\r\n", "keep", false },
		{ "d\n!d/in", "d/in", false },
		{ "d\n!d/in", "d/out", true },
	};

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++)
		if (ignored(rows[i].rules, rows[i].path) != rows[i].want)
			fail_msg("'%s' on %s", rows[i].rules, rows[i].path);
}

static void malformed_rules_name_their_line(void **state)
{
	struct ix_ignore *ignore;
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_ignore_parse(".dockerignore", "ok\n[a", 5, &ignore, &err), -IX_EARG);
	assert_says(&err, ".dockerignore:2:1: malformed pattern '[a'");
	assert_int_equal(ix_ignore_parse(".dockerignore", "!", 1, &ignore, &err), -IX_EARG);
	assert_says(&err, "'!' without a pattern");
}

static void stars_do_not_explode(void **state)
{
	(void)state;
	assert_false(ignored("**a**a**a**a**a**a**a**a**a**a**b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

/* --- the tables of what docker does --- */

struct table {
	struct ix_strv files; /* encoded */
	char *root;
	unsigned wrong;
};

static void learn_files(void *data, const char *line)
{
	struct table *table = data;

	if (!ix_starts(line, "files: "))
		return;
	for (const char *at = line + 7; *at; at += strcspn(at, " "), at += *at == ' ')
		ix_strv_take(&table->files, ix_strndup(at, strcspn(at, " ")));
	ix_strv_sort(&table->files);
}

static void compare_list(struct table *table, const char *input, const struct ix_strv *got, const char *want)
{
	ix_auto_strv expected = { 0 };
	ix_auto_buf text = { 0 };

	for (const char *at = want; *at; at += strcspn(at, " "), at += *at == ' ')
		ix_strv_take(&expected, ix_strndup(at, strcspn(at, " ")));
	ix_strv_sort(&expected);
	for (size_t i = 0; i < got->count; i++)
		if (!ix_strv_has(&expected, got->items[i]))
			ix_buf_printf(&text, " +%s", got->items[i]);
	for (size_t i = 0; i < expected.count; i++)
		if (!ix_strv_has(got, expected.items[i]))
			ix_buf_printf(&text, " -%s", expected.items[i]);
	if (text.len == 0)
		return;
	table->wrong++;
	print_error("%s:%s\n", input, ix_buf_str(&text));
}

static void compare_ignored(void *data, const char *rules, const char *want)
{
	ix_scoped(ix_ignore_freep) struct ix_ignore *ignore = NULL;
	struct table *table = data;
	ix_auto_strv shown = { 0 };
	struct ix_err err;

	if (ix_ignore_parse("x", rules, strlen(rules), &ignore, &err) < 0) {
		table->wrong += strcmp(want, "!") != 0;
		if (strcmp(want, "!") != 0)
			print_error("%s is refused: %s\n", rules, err.msg);
		return;
	}
	for (size_t i = 0; i < table->files.count; i++) {
		ix_auto_free char *path = vector_decode(table->files.items[i], strlen(table->files.items[i]));

		if (!ix_ignore_match(ignore, path))
			ix_strv_add(&shown, table->files.items[i]);
	}
	compare_list(table, rules, &shown, want);
}

static void ignore_files_hide_what_docker_hides(void **state)
{
	struct table table = { 0 };

	(void)state;
	vectors_read("ignore", learn_files, compare_ignored, &table);
	ix_strv_release(&table.files);
	assert_int_equal(table.wrong, 0);
}

static void make_files(void *data, const char *line)
{
	struct table *table = data;
	struct ix_err err;
	int root;

	learn_files(data, line);
	if (!ix_starts(line, "files: "))
		return;
	root = open(table->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < table->files.count; i++) {
		ix_auto_free char *path = vector_decode(table->files.items[i], strlen(table->files.items[i]));
		ix_auto_free char *dir = ix_path_dir(path);

		assert_ok(ix_mkdir_p(root, dir, 0755, &err), &err);
		assert_ok(ix_publish_file(root, path, "", 0, 0644, &err), &err);
	}
	close(root);
}

static const char *encoded(const struct table *table, const char *path)
{
	for (size_t i = 0; i < table->files.count; i++) {
		ix_auto_free char *plain = vector_decode(table->files.items[i], strlen(table->files.items[i]));

		if (strcmp(plain, path) == 0)
			return table->files.items[i];
	}
	return path;
}

/* Where two files go to one place the later one stays, which is all the table knows of. */
static void keep_last(struct ix_strv *names, struct ix_strv *paths, const char *name, const char *path)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i], name) == 0) {
			free(paths->items[i]);
			paths->items[i] = ix_strdup(path);
			return;
		}
	}
	ix_strv_add(names, name);
	ix_strv_add(paths, path);
}

static void compare_selected(void *data, const char *pattern, const char *want)
{
	ix_scoped(ix_context_freep) struct ix_context *context = NULL;
	const struct ix_select_opts opts = { 0 };
	ix_auto_selection selection = { 0 };
	struct table *table = data;
	ix_auto_strv names = { 0 }, paths = { 0 };
	ix_auto_close int root = -1;
	struct ix_err err;

	root = open(table->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	context = ix_context_open_root(root, "root");
	if (ix_context_select(context, pattern, &opts, &selection, &err) < 0) {
		table->wrong += strcmp(want, "!") != 0;
		if (strcmp(want, "!") != 0)
			print_error("%s is refused: %s\n", pattern, err.msg);
		return;
	}
	for (size_t i = 0; i < selection.nmatches; i++) {
		const struct ix_match *match = &selection.matches[i];

		for (size_t j = 0; j < match->count; j++) {
			const struct ix_entry *entry = &selection.entries[match->first + j];

			if (S_ISREG(entry->mode))
				keep_last(&names, &paths, match->is_dir ? entry->name : ix_path_base(match->path),
					  encoded(table, entry->path));
		}
	}
	compare_list(table, pattern, &paths, strcmp(want, "!") == 0 ? "(a refusal)" : want);
}

static void patterns_select_what_docker_selects(void **state)
{
	char root[] = "/tmp/ix-match-XXXXXX";
	struct table table = { .root = mkdtemp(root) };
	struct ix_err err;

	(void)state;
	vectors_read("match", make_files, compare_selected, &table);
	ix_strv_release(&table.files);
	assert_ok(ix_remove_tree(AT_FDCWD, root, &err), &err);
	assert_int_equal(table.wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_match_as_the_reference_says),
		cmocka_unit_test(ignore_files_hide_what_docker_hides),
		cmocka_unit_test(patterns_select_what_docker_selects),
		cmocka_unit_test(malformed_rules_name_their_line),
		cmocka_unit_test(stars_do_not_explode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
