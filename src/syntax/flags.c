#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "syntax_int.h"

/* How a flag is written, whatever instruction it belongs to. */
static const struct {
	const char *name;
	bool boolean; /* --link, --link=true, --link=false */
	bool repeats;
} forms[] = {
	{ "link", true, false },  { "parents", true, false }, { "keep-git-dir", true, false }, { "unpack", true, false },
	{ "mount", false, true }, { "exclude", false, true }, { "device", false, true },
};

static bool is_boolean(const char *name)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(forms); i++)
		if (strcmp(forms[i].name, name) == 0)
			return forms[i].boolean;
	return false;
}

static bool repeats(const char *name)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(forms); i++)
		if (strcmp(forms[i].name, name) == 0)
			return forms[i].repeats;
	return false;
}

static bool known(const struct df_word *word, const char *name, size_t *ret_count)
{
	bool found = false;

	for (*ret_count = 0; *ret_count < IX_ARRAY_LEN(word->flags) && word->flags[*ret_count]; (*ret_count)++)
		found = found || strcmp(word->flags[*ret_count], name) == 0;
	return found;
}

static int add_flag(struct df_making *self, const struct df_word *word, const char *text, size_t len, const struct ix_pos *pos,
		    struct ix_err *err)
{
	const char *equals = memchr(text, '=', len);
	struct ix_df_flag flag = { .pos = *pos };
	size_t n;

	flag.name = ix_arena_strndup(self->file->arena, text + 2, (equals ? (size_t)(equals - text) : len) - 2);
	flag.value = equals ? ix_arena_strndup(self->file->arena, equals + 1, len - (size_t)(equals + 1 - text)) : NULL;
	if (!known(word, flag.name, &n)) {
		const char *near = ix_nearest(flag.name, word->flags, n);

		return ix_df_err(self->file, err, pos, near ? "unknown flag: --%s (did you mean --%s?)" : "unknown flag: --%s", flag.name,
				 near);
	}
	if (ix_df_has_flag(self->instr, flag.name) && !repeats(flag.name))
		return ix_df_err(self->file, err, pos, "duplicate flag specified: --%s", flag.name);
	if (is_boolean(flag.name)) {
		if (flag.value && !ix_strcaseeq(flag.value, "true") && !ix_strcaseeq(flag.value, "false"))
			return ix_df_err(self->file, err, pos, "expecting boolean value for flag --%s, not: %s", flag.name, flag.value);
	} else if (!flag.value) {
		return ix_df_err(self->file, err, pos, "missing a value on flag: --%s", flag.name);
	}
	*IX_ARENA_PUSH(self->file->arena, self->instr->flags, self->instr->nflags) = flag;
	return 0;
}

/* The end of the word at text, and what it says without its quotes: they and escapes are undone here, before any variable is looked at,
 * as docker does, so that neither keeps a variable from being replaced. */
static const char *read_word(const char *text, char escape, struct ix_buf *word)
{
	char quote = 0;

	for (; *text && (quote || !strchr(" \t\v\f\r\n", *text)); text++) {
		if (quote ? *text == quote : *text == '"' || *text == '\'') {
			quote = quote ? 0 : *text;
			continue;
		}
		if (*text == escape) {
			if (!text[1])
				continue;
			text++;
		}
		ix_buf_putc(word, *text);
	}
	return text;
}

int df_parse_flags(struct df_making *self, const struct df_word *word, struct ix_err *err)
{
	while (ix_starts(self->operands, "--")) {
		struct ix_pos pos = df_pos(self->file, self->line, self->operands);
		ix_auto_buf text = { 0 };
		int r;

		self->operands = read_word(self->operands, self->file->escape, &text);
		self->operands += strspn(self->operands, " \t");
		if (text.len == 2)
			return 0; /* behind "--" there are no more */
		r = add_flag(self, word, ix_buf_str(&text), text.len, &pos, err);
		if (r < 0)
			return r;
	}
	return 0;
}

const char *ix_df_flag_value(const struct ix_df_instr *instr, const char *name)
{
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, name) == 0)
			return instr->flags[i].value;
	return NULL;
}

bool ix_df_has_flag(const struct ix_df_instr *instr, const char *name)
{
	for (size_t i = 0; i < instr->nflags; i++)
		if (strcmp(instr->flags[i].name, name) == 0)
			return true;
	return false;
}

bool ix_df_flag_true(const struct ix_df_instr *instr, const char *name)
{
	const char *value = ix_df_flag_value(instr, name);

	return ix_df_has_flag(instr, name) && (!value || ix_strcaseeq(value, "true"));
}
