#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "syntax_int.h"

struct ix_pos df_pos(const struct ix_dockerfile *file, const struct df_line *line, const char *at)
{
	struct df_place place = line->at[at ? (size_t)(at - line->text) : 0];

	return (struct ix_pos){ file->name, place.line, place.column };
}

/* --- lines --- */

struct raw {
	const char *text;
	size_t len;   /* without the line's end */
	size_t whole; /* with it */
};

static bool next_raw(struct df_lexer *lexer, struct raw *raw)
{
	const char *newline;

	if (!*lexer->next)
		return false;
	newline = strchr(lexer->next, '\n');
	raw->text = lexer->next;
	raw->len = newline ? (size_t)(newline - lexer->next) : strlen(lexer->next);
	raw->whole = raw->len + (newline != NULL);
	lexer->next += raw->whole;
	while (raw->len > 0 && raw->text[raw->len - 1] == '\r')
		raw->len--;
	lexer->line++;
	return true;
}

static size_t leading_blanks(const struct raw *raw)
{
	size_t n = 0;

	while (n < raw->len && (raw->text[n] == ' ' || raw->text[n] == '\t'))
		n++;
	return n;
}

static bool is_comment(const struct raw *raw)
{
	size_t n = leading_blanks(raw);

	return n < raw->len && raw->text[n] == '#';
}

static bool is_empty(const struct raw *raw)
{
	return leading_blanks(raw) == raw->len;
}

/* The length without a continuation at the end, and whether there was one: the escape character, perhaps with blanks behind it. */
static size_t strip_continuation(const struct raw *raw, char escape, bool *ret_continues)
{
	size_t n = raw->len;

	while (n > 0 && (raw->text[n - 1] == ' ' || raw->text[n - 1] == '\t'))
		n--;
	*ret_continues = n > 0 && raw->text[n - 1] == escape && !(n > 1 && raw->text[n - 2] == escape);
	return *ret_continues ? n - 1 : raw->len;
}

struct joiner {
	struct ix_buf text;
	struct df_place *at;
	size_t cap;
};

static void join(struct joiner *joiner, const struct raw *raw, size_t from, size_t to, unsigned line)
{
	for (size_t i = from; i < to; i++) {
		if (joiner->text.len + 2 > joiner->cap) {
			joiner->cap = joiner->cap ? joiner->cap * 2 : 256;
			joiner->at = ix_realloc_array(joiner->at, joiner->cap, sizeof(*joiner->at));
		}
		joiner->at[joiner->text.len] = (struct df_place){ line, (unsigned)i + 1 };
		ix_buf_putc(&joiner->text, raw->text[i]);
	}
}

static int read_logical(struct df_lexer *lexer, struct raw *raw, struct joiner *joiner, struct ix_err *err)
{
	struct ix_dockerfile *file = lexer->file;
	bool continues, empty = false;
	size_t end = strip_continuation(raw, file->escape, &continues);

	(void)err;
	join(joiner, raw, leading_blanks(raw), end, lexer->line);
	while (continues && next_raw(lexer, raw)) {
		if (is_comment(raw))
			continue;
		if (is_empty(raw)) {
			empty = true;
			continue;
		}
		end = strip_continuation(raw, file->escape, &continues);
		join(joiner, raw, 0, end, lexer->line);
	}
	/* Told, as docker does, of the instruction's last line. */
	if (empty)
		ix_df_check(file, IX_DF_NO_EMPTY_CONTINUATION, &(struct ix_pos){ file->name, lexer->line, 1 }, lexer->line, "",
			    "Empty continuation line found in: %s", ix_buf_str(&joiner->text));
	return 0;
}

/* Without the blanks around it. An empty one ends those before it. */
static const char *add_comment(struct ix_arena *arena, const char *before, const struct raw *raw)
{
	size_t skip = leading_blanks(raw) + 1, end = raw->len;

	while (skip < end && (raw->text[skip] == ' ' || raw->text[skip] == '\t'))
		skip++;
	while (end > skip && (raw->text[end - 1] == ' ' || raw->text[end - 1] == '\t'))
		end--;
	if (skip == end)
		return NULL;
	return ix_arena_printf(arena, "%s%s%.*s", before ? before : "", before ? "\n" : "", (int)(end - skip), raw->text + skip);
}

int df_next_line(struct df_lexer *lexer, struct df_line *ret_line, struct ix_err *err)
{
	struct ix_arena *arena = lexer->file->arena;
	struct joiner joiner = { 0 };
	struct raw raw;

	ret_line->comment = NULL;
	do {
		if (!next_raw(lexer, &raw))
			return 0;
		if (is_comment(&raw))
			ret_line->comment = add_comment(arena, ret_line->comment, &raw);
	} while (is_comment(&raw) || is_empty(&raw));
	int r = read_logical(lexer, &raw, &joiner, err);
	if (r < 0)
		return r;
	while (joiner.text.len > 0 && strchr(" \t", joiner.text.data[joiner.text.len - 1]))
		joiner.text.data[--joiner.text.len] = '\0';
	ret_line->text = ix_arena_strndup(arena, ix_buf_str(&joiner.text), joiner.text.len);
	ret_line->len = joiner.text.len;
	ret_line->at = ix_arena_alloc(arena, (joiner.text.len + 1) * sizeof(*ret_line->at));
	if (joiner.text.len > 0) {
		memcpy(ret_line->at, joiner.at, joiner.text.len * sizeof(*ret_line->at));
		ret_line->at[joiner.text.len] = ret_line->at[joiner.text.len - 1];
		ret_line->at[joiner.text.len].column++;
	} else {
		ret_line->at[0] = (struct df_place){ lexer->line, 1 };
	}
	ret_line->last_line = lexer->line;
	ix_buf_release(&joiner.text);
	free(joiner.at);
	return 1;
}

/* --- directives: "# key=value" lines at the very top --- */

static bool directive_parts(const struct raw *raw, char **ret_key, char **ret_value)
{
	const char *at = raw->text + leading_blanks(raw), *end = raw->text + raw->len, *equals, *key_end;

	if (at == end || *at++ != '#')
		return false;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	equals = memchr(at, '=', (size_t)(end - at));
	if (!equals)
		return false;
	key_end = equals;
	while (key_end > at && (key_end[-1] == ' ' || key_end[-1] == '\t'))
		key_end--;
	if (key_end == at)
		return false;
	for (const char *c = at; c < key_end; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')))
			return false;
	equals++;
	while (equals < end && (*equals == ' ' || *equals == '\t'))
		equals++;
	while (end > equals && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret_key = ix_strndup(at, (size_t)(key_end - at));
	*ret_value = ix_strndup(equals, (size_t)(end - equals));
	return true;
}

static int apply_directive(struct df_lexer *lexer, const char *key, const char *value, struct ix_strv *seen, struct ix_err *err)
{
	struct ix_dockerfile *file = lexer->file;
	const struct ix_pos pos = { file->name, lexer->line, 1 };

	if (ix_strv_has(seen, key))
		return ix_df_err(file, err, &pos, "only one %s parser directive can be used", key);
	ix_strv_add(seen, key);
	if (strcmp(key, "escape") == 0) {
		if (strcmp(value, "\\") != 0 && strcmp(value, "`") != 0)
			return ix_df_err(file, err, &pos, "invalid escape token '%s' does not match ` or \\", value);
		file->escape = *value;
	}
	if (strcmp(key, "check") == 0)
		return df_checks_configure(file, value, &pos, err);
	/* syntax: the language is built in, and is as new as any frontend image it names. */
	return 0;
}

int df_read_directives(struct df_lexer *lexer, struct ix_err *err)
{
	ix_auto_strv seen = { 0 };
	struct df_lexer ahead = *lexer;
	struct raw raw;
	int r;

	/* A first line "#!" is for the kernel. */
	if (ix_starts(ahead.next, "#!"))
		(void)next_raw(&ahead, &raw);
	for (;;) {
		ix_auto_free char *key = NULL;
		ix_auto_free char *value = NULL;

		*lexer = ahead;
		if (!next_raw(&ahead, &raw) || !directive_parts(&raw, &key, &value))
			return 0;
		for (char *c = key; *c; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		if (strcmp(key, "syntax") != 0 && strcmp(key, "escape") != 0 && strcmp(key, "check") != 0)
			return 0; /* a comment like any other */
		r = apply_directive(&ahead, key, value, &seen, err);
		if (r < 0)
			return r;
	}
}

/* --- heredocs --- */

/* "<<NAME", "3<<-'NAME'": its parts, or false when the word is none. */
static bool heredoc_word(struct ix_arena *arena, const char *word, struct ix_heredoc *doc)
{
	unsigned fd = 0;
	ix_auto_buf name = { 0 };

	*doc = (struct ix_heredoc){ .expand = true };
	while (*word >= '0' && *word <= '9' && fd < 1000)
		fd = fd * 10 + (unsigned)(*word++ - '0');
	doc->fd = (int)fd;
	if (word[0] != '<' || word[1] != '<')
		return false;
	word += 2;
	if (*word == '-') {
		doc->strip_tabs = true;
		word++;
	}
	if (!*word || strchr(word, '<'))
		return false;
	for (const char *c = word; *c; c++) {
		if (*c == '"' || *c == '\'') {
			const char *close = strchr(c + 1, *c);

			if (!close)
				return false;
			ix_buf_put(&name, c + 1, (size_t)(close - c - 1));
			doc->expand = false;
			c = close;
		} else {
			ix_buf_putc(&name, *c);
		}
	}
	if (name.len == 0)
		return false;
	doc->name = ix_arena_strndup(arena, name.data, name.len);
	return true;
}

bool df_is_heredoc(struct ix_arena *arena, const char *word)
{
	struct ix_heredoc doc;

	return heredoc_word(arena, word, &doc);
}

static int read_body(struct df_lexer *lexer, const struct ix_pos *pos, struct ix_heredoc *doc, struct ix_err *err)
{
	ix_auto_buf body = { 0 }, whole = { 0 };
	struct raw raw;

	while (next_raw(lexer, &raw)) {
		const struct raw before = raw;

		while (doc->strip_tabs && raw.len > 0 && *raw.text == '\t') {
			raw.text++;
			raw.len--;
			raw.whole--;
		}
		if (raw.len == strlen(doc->name) && memcmp(raw.text, doc->name, raw.len) == 0) {
			doc->body = ix_arena_strndup(lexer->file->arena, ix_buf_str(&body), body.len);
			doc->raw = ix_arena_strndup(lexer->file->arena, ix_buf_str(&whole), whole.len);
			return 0;
		}
		ix_buf_put(&body, raw.text, raw.whole);
		ix_buf_put(&whole, before.text, before.whole);
	}
	lexer->of_lines = true;
	return ix_df_err(lexer->file, err, pos, "unterminated heredoc: no line says %s", doc->name);
}

int df_read_heredocs(struct df_lexer *lexer, struct df_line *line, const char *operands, struct ix_df_instr *instr, struct ix_err *err)
{
	struct ix_arena *arena = lexer->file->arena;
	struct ix_pos pos = df_pos(lexer->file, line, operands);
	char **words = NULL;
	size_t n = 0;
	int r;

	if (!strstr(operands, "<<"))
		return 0;
	df_split_words(arena, operands, lexer->file->escape, &words, &n);
	for (size_t i = 0; i < n; i++) {
		struct ix_heredoc doc;

		if (!heredoc_word(arena, words[i], &doc))
			continue;
		r = read_body(lexer, &pos, &doc, err);
		if (r < 0)
			return r;
		*IX_ARENA_PUSH(arena, instr->docs, instr->ndocs) = doc;
	}
	instr->last_line = line->last_line = lexer->line;
	return 0;
}
