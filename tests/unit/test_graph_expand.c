#include "unit.h"
#include "vectors.h"

#include "base/scope.h"
#include "graph/graph.h"

static const char *lookup(void *data, const char *name)
{
	static const char *const vars[][2] = { { "v", "value" },
					       { "empty", "" },
					       { "path", "a/b/c.tar.gz" },
					       { "star", "x*y*z" },
					       { "long_name1", "L" },
					       { "1", "one" },
					       { "@", "at" },
					       { "space", "a b" },
					       { "uml", "a\xc3\xa9"
							"b" },
					       { "lines", "a\nb" } };

	(void)data;
	for (size_t i = 0; i < IX_ARRAY_LEN(vars); i++)
		if (strcmp(vars[i][0], name) == 0)
			return vars[i][1];
	return NULL;
}

static const struct {
	const char *word, *want; /* want NULL: an error */
} rows[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ "$v", "value" },
	{ "${v}", "value" },
	{ "x$v.y", "xvalue.y" },
	{ "$long_name1-x", "L-x" },
	{ "$unset", "" },
	{ "a${unset}b", "ab" },
	{ "\\$v", "$v" },
	{ "\\\\$v", "\\value" },
	{ "'$v'", "$v" },
	{ "\"$v\"", "value" },
	{ "\"a'$v'\"", "a'value'" },
	{ "'a\"b'", "a\"b" },
	{ "\"\\$v\"", "$v" },
	{ "\"\\x\"", "\\x" },
	{ "a\\ b", "a b" },
	{ "$", "$" },
	{ "a$", "a$" },
	{ "$1", "one" },
	{ "$12", "" },
	{ "$@", "at" },
	{ "${1}", "one" },
	{ "$$v", "v" },
	{ "${v:-w}", "value" },
	{ "${unset:-w}", "w" },
	{ "${empty:-w}", "w" },
	{ "${empty-w}", "" },
	{ "${unset-w}", "w" },
	{ "${v:+w}", "w" },
	{ "${unset:+w}", "" },
	{ "${empty:+w}", "" },
	{ "${empty+w}", "w" },
	{ "${unset+w}", "" },
	{ "${unset:-$v}", "value" },
	{ "${unset:-${other:-deep}}", "deep" },
	{ "${unset:-a b}", "a b" },
	{ "${unset:-\"q r\"}", "q r" },
	{ "${v:?m}", "value" },
	{ "${unset:?msg}", NULL },
	{ "${empty:?msg}", NULL },
	{ "${empty?msg}", "" },
	{ "${unset?msg}", NULL },
	{ "${path#*/}", "b/c.tar.gz" },
	{ "${path##*/}", "c.tar.gz" },
	{ "${path%.*}", "a/b/c.tar" },
	{ "${path%%.*}", "a/b/c" },
	{ "${path#nope}", "a/b/c.tar.gz" },
	{ "${path%%}", "a/b/c.tar.gz" },
	{ "${unset#*}", "" },
	{ "${v#v}", "alue" },
	{ "${v%e}", "valu" },
	{ "${path/b/X}", "a/X/c.tar.gz" },
	{ "${path//\\//-}", "a-b-c.tar.gz" },
	{ "${path/b}", NULL },
	{ "${star//\\*/+}", "x+y+z" },
	{ "${path/?b/X}", "aX/c.tar.gz" },
	{ "${path//[abc]/X}", "a/b/c.tar.gz" },
	{ "${unset/a/b}", "" },
	{ "${v/a*/X}", "vX" },
	{ "${v//?/x}", "xxxxx" },
	{ "${v#${unset:-v}}", "alue" },
	{ "${path%$unset}", "a/b/c.tar.gz" },
	{ "${", NULL },
	{ "${}", NULL },
	{ "${v", NULL },
	{ "${v:", NULL },
	{ "${v:-", NULL },
	{ "${v:#v}", NULL },
	{ "${v:/a/b}", NULL },
	{ "${/a/b}", "" },
	{ "${v/a/\\}}", "v\\}lue" },
	{ "${v//a/\\$0}", "v\\alue" },
	{ "${v//a/'$x'}", "vlue" },
	{ "${v//a/'$$'}", "v$lue" },
	{ "${v//a/'$ {'}", "v$ {lue" },
	{ "${v//a/'${0}'}", "value" },
	{ "${v/a/'$0'}", "v$0lue" },
	{ "${v//l/\\\\}", "va\\\\ue" },
	{ "${v/l/\\/}", "va\\/ue" },
	{ "${v//x}", NULL },
	{ "${v/x}", NULL },
	{ "${v//}", NULL },
	{ "${v///}", "value" },
	{ "${v///-}", "-v-a-l-u-e-" },
	{ "${v//-/}", "value" },
	{ "${v//*/-}", "-" },
	{ "${empty//*/-}", "-" },
	{ "${unset/*/-}", "-" },
	{ "${v#\\a}", NULL },
	{ "${v/\\a/b}", NULL },
	{ "${unset#\\a}", NULL },
	{ "${uml//?/x}", "xxx" },
	{ "${uml#a?}", "b" },
	{ "${uml%?b}", "a" },
	{ "${uml%%*}", "" },
	{ "${lines%%*}", "a\n" },
	{ "${lines##*}", "\nb" },
	{ "${lines//*/x}", "x\nx" },
	{ "a\xffz", "a\xef\xbf\xbdz" },
	{ "${v!x}", NULL },
	{ "'open", NULL },
	{ "\"open", NULL },
	{ "${v/a", NULL },
	{ "trail\\", "trail" },
	{ "${unset:-}", "" },
	{ "$space", "a b" },
	{ "\"$space\"", "a b" },
	{ "~", "~" },
	{ "a=$v,b=${v}", "a=value,b=value" },
	{ "${v}${v}", "valuevalue" },
	{ "\xc3\xa4$v", "\xc3\xa4value" },
};

static void every_form_gives_what_the_reference_says(void **state)
{
	const struct ix_expand_opts opts = { .lookup = lookup };

	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(rows); i++) {
		ix_auto_free char *text = NULL;
		struct ix_err err;
		int r = ix_expand(&opts, rows[i].word, &text, &err);

		if (!rows[i].want && r == 0)
			fail_msg("%s gives '%s', expected an error", rows[i].word, text);
		if (rows[i].want && r < 0)
			fail_msg("%s: %s", rows[i].word, err.msg);
		if (rows[i].want && strcmp(text, rows[i].want) != 0)
			fail_msg("%s gives '%s', expected '%s'", rows[i].word, text, rows[i].want);
	}
}

struct table {
	struct ix_strv variables;
	unsigned wrong;
};

static const char *table_lookup(void *data, const char *name)
{
	const struct table *table = data;

	return ix_env_get(&table->variables, name);
}

static void learn_variables(void *data, const char *line)
{
	struct table *table = data;

	if (!ix_starts(line, "variables: "))
		return;
	for (const char *at = line + 11; *at; at += strcspn(at, " "), at += *at == ' ')
		ix_strv_take(&table->variables, vector_decode(at, strcspn(at, " ")));
}

static void compare_word(void *data, const char *word, const char *want)
{
	struct table *table = data;
	const struct ix_expand_opts opts = { .lookup = table_lookup, .data = table };
	ix_auto_free char *expected = vector_decode(want, strlen(want));
	ix_auto_free char *text = NULL;
	struct ix_err err;
	int r = ix_expand(&opts, word, &text, &err);

	if (strcmp(want, "!") == 0 ? r < 0 : r == 0 && strcmp(text, expected) == 0)
		return;
	table->wrong++;
	print_error("%s gives '%s', docker gives '%s'\n", word, r < 0 ? err.msg : text, expected);
}

static void every_word_is_what_docker_makes_of_it(void **state)
{
	struct table table = { 0 };

	(void)state;
	vectors_read("expand", learn_variables, compare_word, &table);
	ix_strv_release(&table.variables);
	assert_int_equal(table.wrong, 0);
}

static void text_keeps_its_quotes_when_asked(void **state)
{
	const struct ix_expand_opts opts = { .lookup = lookup, .keep_quotes = true };
	ix_auto_free char *text = NULL;
	struct ix_err err;

	(void)state;
	assert_ok(ix_expand(&opts, "\"$v\" 'x' \\$v \\n\n", &text, &err), &err);
	assert_string_equal(text, "\"value\" 'x' $v n\n");
}

static void the_other_escape_character_works(void **state)
{
	const struct ix_expand_opts opts = { .lookup = lookup, .escape = '`' };
	ix_auto_free char *text = NULL;
	struct ix_err err;

	(void)state;
	assert_ok(ix_expand(&opts, "C:\\x\\$v`$v", &text, &err), &err);
	assert_string_equal(text, "C:\\x\\value$v");
}

static void doubling_does_not_eat_the_machine(void **state)
{
	const struct ix_expand_opts opts = { .lookup = lookup };
	ix_auto_free char *word = calloc(1, 2 * 300000 + 1);
	ix_auto_free char *text = NULL;
	struct ix_err err;

	(void)state;
	for (size_t i = 0; i < 300000; i++)
		memcpy(word + 2 * i, "$v", 2);
	assert_int_equal(ix_expand(&opts, word, &text, &err), -IX_ELIMIT);
}

static void names_are_found_in_nested_words(void **state)
{
	const struct ix_expand_opts opts = { 0 };
	ix_auto_strv names = { 0 };

	(void)state;
	ix_expand_names(&opts, "$a ${b:-$c} '$no' ${d/${e}/x}", &names);
	assert_int_equal(names.count, 5);
	assert_true(ix_strv_has(&names, "c") && ix_strv_has(&names, "e") && !ix_strv_has(&names, "no"));
}

static void names_behind_an_apostrophe_of_a_text_are_found(void **state)
{
	const struct ix_expand_opts opts = { .keep_quotes = true, .escape = '`' };
	ix_auto_strv names = { 0 };

	(void)state;
	ix_expand_names(&opts, "it's ${v} \"'$w`$x\\$no", &names);
	assert_int_equal(names.count, 3);
	assert_true(ix_strv_has(&names, "v") && ix_strv_has(&names, "w") && ix_strv_has(&names, "x"));
}

static void order_puts_needs_first_and_names_cycles(void **state)
{
	ix_scoped(ix_graph_freep) struct ix_graph *graph = ix_graph_new();
	struct ix_stage *a = ix_graph_add(graph, "a"), *b = ix_graph_add(graph, "b"), *c = ix_graph_add(graph, "c");
	struct ix_stage *order[3];
	bool needed[3] = { false };
	struct ix_err err;

	(void)state;
	ix_stage_link(graph, a, b, true);
	ix_stage_link(graph, b, c, false);
	ix_stage_link(graph, b, c, true);
	assert_int_equal(b->nlinks, 1);
	assert_true(b->links[0].is_base);
	assert_ok(ix_graph_order(graph, order, &err), &err);
	assert_ptr_equal(order[0], c);
	assert_ptr_equal(order[2], a);
	ix_graph_reach(graph, &b, 1, needed);
	assert_true(!needed[0] && needed[1] && needed[2]);
	ix_stage_link(graph, c, a, false);
	assert_int_equal(ix_graph_order(graph, order, &err), -IX_EARG);
	assert_says(&err, "a → b → c → a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_gives_what_the_reference_says),
		cmocka_unit_test(text_keeps_its_quotes_when_asked),
		cmocka_unit_test(the_other_escape_character_works),
		cmocka_unit_test(doubling_does_not_eat_the_machine),
		cmocka_unit_test(every_word_is_what_docker_makes_of_it),
		cmocka_unit_test(names_are_found_in_nested_words),
		cmocka_unit_test(names_behind_an_apostrophe_of_a_text_are_found),
		cmocka_unit_test(order_puts_needs_first_and_names_cycles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
