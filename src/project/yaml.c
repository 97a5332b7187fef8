#include "yaml_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

/* libfyaml's own words, without its habit of printing them. */
static int syntax_error(struct yaml *yaml, struct ix_err *err)
{
	void *iter = NULL;
	struct fy_diag_error *first = fy_diag_errors_iterate(yaml->diag, &iter);
	struct ix_place place = { 1, 1 };

	if (!first)
		return yaml_err(yaml, &place, err, "not valid YAML");
	place.line = first->line > 0 ? (unsigned)first->line : 1;
	place.column = first->column > 0 ? (unsigned)first->column : 1;
	return yaml_err(yaml, &place, err, "%s", first->msg);
}

static void no_output(struct fy_diag *diag, void *user, const char *buf, size_t len)
{
	(void)diag;
	(void)user;
	(void)buf;
	(void)len;
}

static int not_utf8(struct yaml *yaml, size_t len, struct ix_err *err)
{
	size_t valid = ix_utf8_valid(yaml->text, len);
	struct ix_place place = { 1, 1 };

	if (valid == len)
		return 0;
	for (size_t i = 0; i < valid; i++) {
		place.column = yaml->text[i] == '\n' ? 1 : place.column + 1;
		place.line += yaml->text[i] == '\n';
	}
	return yaml_err(yaml, &place, err, "it is not UTF-8 text");
}

static struct ix_place place_of(struct fy_node *scalar)
{
	struct fy_token *token = fy_node_get_scalar_token(scalar);
	const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;

	return mark ? (struct ix_place){ (unsigned)mark->line + 1, (unsigned)mark->column + 1 } : (struct ix_place){ 1, 1 };
}

/* Behind the first document there may be no other: markers stand at the beginning of a line, where no text can. */
static int one_document(const struct yaml *yaml, struct ix_err *err)
{
	struct ix_place place = { 1, 1 };
	bool begun = false;

	for (const char *line = yaml->text; *line; line += strcspn(line, "\n"), line += *line == '\n', place.line++) {
		bool marker = ix_starts(line, "---") && strchr(" \t\r\n", line[3]);
		size_t blank = strspn(line, " \t\r");

		if (marker && begun)
			return yaml_err(yaml, &place, err, "a second document: there is one in a file");
		begun = begun || marker || !(line[0] == '%' || line[blank] == '#' || line[blank] == '\n' || !line[blank]);
	}
	return 0;
}

enum { TAGS_DEPTH = 100 };

static int known_tag(const struct yaml *yaml, struct fy_node *node, struct ix_err *err)
{
	static const char standard[] = "tag:yaml.org,2002:";
	static const char *const names[] = { "str", "int", "float", "bool", "null", "map", "seq" };
	size_t len = 0;
	const char *tag = fy_node_get_tag(node, &len);
	ix_auto_free char *text = tag ? ix_strndup(tag, len) : NULL;
	const struct ix_place place = fy_node_is_scalar(node) ? place_of(node) : (struct ix_place){ 1, 1 };

	for (size_t i = 0; text && ix_starts(text, standard) && i < IX_ARRAY_LEN(names); i++)
		if (strcmp(text + strlen(standard), names[i]) == 0)
			return 0;
	return text ? yaml_err(yaml, &place, err, "the tag %s means nothing here: leave it out", text) : 0;
}

static int unique_keys(const struct yaml *yaml, struct fy_node *mapping, struct ix_err *err)
{
	struct fy_node_pair *pair;
	ix_auto_map seen = { 0 };
	void *iter = NULL;

	while ((pair = fy_node_mapping_iterate(mapping, &iter))) {
		struct fy_node *key = fy_node_pair_key(pair);
		size_t len;
		const char *text = key && fy_node_is_scalar(key) ? fy_node_get_scalar(key, &len) : NULL;
		ix_auto_free char *name = text ? ix_strndup(text, len) : NULL;
		const struct ix_place place = name ? place_of(key) : (struct ix_place){ 1, 1 };

		if (name && ix_map_get(&seen, name))
			return yaml_err(yaml, &place, err, "duplicate key");
		if (name)
			ix_map_set(&seen, name, mapping);
	}
	return 0;
}

/* Tags would change what values are, and nothing here knows any. Deeper than anything is nobody looks.
 * NOLINTNEXTLINE(misc-no-recursion): no deeper than TAGS_DEPTH */
static int known_tags(const struct yaml *yaml, struct fy_node *node, unsigned depth, struct ix_err *err)
{
	struct fy_node_pair *pair;
	struct fy_node *item;
	void *iter = NULL;
	int r = node ? known_tag(yaml, node, err) : 0;

	if (r < 0 || !node || depth > TAGS_DEPTH)
		return r;
	while (r == 0 && fy_node_is_sequence(node) && (item = fy_node_sequence_iterate(node, &iter)))
		r = known_tags(yaml, item, depth + 1, err);
	if (r == 0 && fy_node_is_mapping(node))
		r = unique_keys(yaml, node, err);
	while (r == 0 && fy_node_is_mapping(node) && (pair = fy_node_mapping_iterate(node, &iter))) {
		r = known_tags(yaml, fy_node_pair_key(pair), depth + 1, err);
		if (r == 0)
			r = known_tags(yaml, fy_node_pair_value(pair), depth + 1, err);
	}
	return r;
}

int yaml_open(struct yaml *yaml, const char *name, const char *text, size_t len, struct ix_arena *arena, struct ix_err *err)
{
	const struct fy_diag_cfg diag_cfg = { .output_fn = no_output, .level = FYET_ERROR, .module_mask = ~0u };
	/* Of n keys the library compares each with all: unique_keys() does not. */
	struct fy_parse_cfg cfg = { .flags = FYPCF_DEFAULT_PARSE | FYPCF_ALLOW_DUPLICATE_KEYS };
	int r;

	*yaml = (struct yaml){ .arena = arena, .name = ix_arena_strdup(arena, name), .text = ix_arena_strndup(arena, text, len) };
	if (memchr(text, '\0', len))
		return ix_err_set(err, IX_EARG, "%s: it holds a NUL byte: it is not text", name);
	if (strspn(text, " \t\r\n") == len)
		return ix_err_set(err, IX_EARG, "%s: it is empty", name);
	r = not_utf8(yaml, len, err); /* which libfyaml 0.7 can hang on */
	if (r < 0)
		return r;
	yaml->diag = fy_diag_create(&diag_cfg);
	if (!yaml->diag)
		ix_bug("out of memory");
	fy_diag_set_collect_errors(yaml->diag, true);
	cfg.diag = yaml->diag;
	yaml->doc = fy_document_build_from_string(&cfg, yaml->text, len);
	if (!yaml->doc)
		return syntax_error(yaml, err);
	r = one_document(yaml, err);
	if (r < 0)
		return r;
	return known_tags(yaml, fy_document_root(yaml->doc), 0, err);
}

void yaml_close(struct yaml *yaml)
{
	fy_document_destroy(yaml->doc);
	if (yaml->diag)
		fy_diag_destroy(yaml->diag);
}

int yaml_next(const struct yaml *yaml, struct fy_node *mapping, void **iter, struct member *ret_member, struct ix_err *err)
{
	struct fy_node_pair *pair = fy_node_mapping_iterate(mapping, iter);
	struct ix_place top = { 1, 1 };
	struct fy_node *key;
	const char *text;
	size_t len;

	if (!pair)
		return 0;
	key = fy_node_pair_key(pair);
	text = key && fy_node_is_scalar(key) ? fy_node_get_scalar(key, &len) : NULL;
	if (!text)
		return yaml_err(yaml, &top, err, "a key has to be a plain text");
	ret_member->key = ix_arena_strndup(yaml->arena, text, len);
	ret_member->place = place_of(key);
	ret_member->value = fy_node_pair_value(pair);
	if (ret_member->value && fy_node_is_alias(ret_member->value))
		return yaml_err(yaml, &ret_member->place, err, "aliases (*name) are not supported: write the value out");
	return 1;
}

static bool is_null(struct fy_node *node)
{
	const char *text;
	size_t len;

	if (!node)
		return true;
	if (!fy_node_is_scalar(node))
		return false;
	text = fy_node_get_scalar(node, &len);
	if (!text || len == 0)
		return fy_node_get_style(node) == FYNS_PLAIN || !text;
	return fy_node_get_style(node) == FYNS_PLAIN && ((len == 4 && memcmp(text, "null", 4) == 0) || (len == 1 && *text == '~'));
}

int yaml_need_mapping(const struct yaml *yaml, const struct member *member, struct ix_err *err)
{
	if (member->value && fy_node_is_mapping(member->value))
		return 0;
	return yaml_err(yaml, &member->place, err, "'%s' has to be a mapping (key: value)", member->key);
}

static int node_text(const struct yaml *yaml, struct fy_node *node, const struct ix_place *place, const char *key, const char **ret_text,
		     struct ix_err *err)
{
	ix_auto_free char *copy = NULL;
	struct ix_place at;
	const char *text;
	size_t len;

	if (!node || !fy_node_is_scalar(node))
		return yaml_err(yaml, place, err, "'%s' has to be a text, not a %s", key,
				node && fy_node_is_sequence(node) ? "list" : "mapping");
	at = place_of(node);
	text = fy_node_get_scalar(node, &len);
	copy = ix_strndup(text ? text : "", text ? len : 0);
	return vars_expand(yaml, &at, copy, ret_text, err);
}

int yaml_text(const struct yaml *yaml, const struct member *member, bool may_be_null, const char **ret_text, struct ix_err *err)
{
	if (is_null(member->value)) {
		if (!may_be_null)
			return yaml_err(yaml, &member->place, err, "'%s' has no value", member->key);
		*ret_text = NULL;
		return 0;
	}
	return node_text(yaml, member->value, &member->place, member->key, ret_text, err);
}

int yaml_bool(const struct yaml *yaml, const struct member *member, bool *ret_value, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	*ret_value = strcmp(text, "true") == 0;
	if (!*ret_value && strcmp(text, "false") != 0)
		return yaml_err(yaml, &member->place, err, "'%s' has to be true or false", member->key);
	return 0;
}

int yaml_texts(const struct yaml *yaml, const struct member *member, const char ***ret_list, size_t *ret_count, struct ix_err *err)
{
	struct fy_node *item;
	void *iter = NULL;
	const char *text;
	int r;

	if (!member->value || !fy_node_is_sequence(member->value)) {
		r = yaml_text(yaml, member, false, &text, err);
		if (r < 0)
			return r;
		*IX_ARENA_PUSH(yaml->arena, *ret_list, *ret_count) = text;
		return 0;
	}
	while ((item = fy_node_sequence_iterate(member->value, &iter)) != NULL) {
		r = node_text(yaml, item, &member->place, member->key, &text, err);
		if (r < 0)
			return r;
		*IX_ARENA_PUSH(yaml->arena, *ret_list, *ret_count) = text;
	}
	return 0;
}

int yaml_pairs(const struct yaml *yaml, const struct member *member, bool may_be_null, struct ix_project_pair **ret_pairs,
	       size_t *ret_count, struct ix_err *err)
{
	struct member inner;
	void *iter = NULL;
	int r;

	if (is_null(member->value))
		return 0;
	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0) {
		struct ix_project_pair *pair = IX_ARENA_PUSH(yaml->arena, *ret_pairs, *ret_count);

		*pair = (struct ix_project_pair){ .name = inner.key, .place = inner.place };
		r = yaml_text(yaml, &inner, may_be_null, &pair->value, err);
		if (r < 0)
			return r;
	}
	return r;
}

int yaml_unknown(const struct yaml *yaml, const struct member *member, const char *where, const char *const *keys, size_t nkeys,
		 struct ix_err *err)
{
	const char *near = ix_nearest(member->key, keys, nkeys);
	ix_auto_free char *shown = ix_printable(member->key, 60);

	if (near)
		return yaml_err(yaml, &member->place, err, "unknown key '%s' in %s (did you mean %s?)", shown, where, near);
	return yaml_err(yaml, &member->place, err, "unknown key '%s' in %s", shown, where);
}
