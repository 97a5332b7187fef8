#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "syntax_int.h"

static int err_here(struct df_making *self, struct ix_err *err, const char *what)
{
	return ix_df_err(self->file, err, &self->instr->pos, "%s %s", self->instr->word, what);
}

/* --- operand forms --- */

static int operands_blank(struct df_making *self, struct ix_err *err)
{
	df_split_blanks(self->file->arena, self->operands, &self->instr->words, &self->instr->nwords);
	return self->instr->nwords > 0 ? 0 : err_here(self, err, "requires at least one argument");
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order that they have as they are written. */
static int parse_expose(struct df_making *self, struct ix_err *err)
{
	int r = operands_blank(self, err);

	if (r == 0)
		qsort(self->instr->words, self->instr->nwords, sizeof(*self->instr->words), compare_words);
	return r;
}

static int operands_one(struct df_making *self, struct ix_err *err)
{
	if (!*self->operands)
		return err_here(self, err, "requires exactly one argument");
	*IX_ARENA_PUSH(self->file->arena, self->instr->words, self->instr->nwords) = ix_arena_strdup(self->file->arena, self->operands);
	return 0;
}

/* Exec form, or the rest of the line for a shell. */
static int operands_command(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;

	switch (df_json_list(self->file->arena, self->operands, &instr->words, &instr->nwords)) {
	case DF_JSON_LIST:
		instr->exec = true;
		return 0;
	case DF_JSON_NOT_STRINGS:
		self->lexer->of_lines = true;
		return err_here(self, err, "in exec form holds strings only: put each word in double quotes");
	case DF_JSON_NO:
		break;
	}
	*IX_ARENA_PUSH(self->file->arena, instr->words, instr->nwords) = ix_arena_strdup(self->file->arena, self->operands);
	return 0;
}

static int parse_run(struct df_making *self, struct ix_err *err)
{
	int r = operands_command(self, err);

	if (r < 0)
		return r;
	if (self->instr->exec && self->instr->nwords == 0)
		return err_here(self, err, "requires at least one argument");
	return self->instr->exec ? 0 : df_read_heredocs(self->lexer, self->line, self->operands, self->instr, err);
}

/* A heredoc among the sources is known by its name from here on, "<<NAME", and stands behind the files, wherever it was written: in that
 * order docker copies them. */
static void name_heredocs(struct df_making *self)
{
	struct ix_df_instr *instr = self->instr;
	size_t files = 0;

	if (instr->ndocs == 0)
		return;
	for (size_t i = 0; i < instr->nwords; i++)
		if (!df_is_heredoc(self->file->arena, instr->words[i]))
			instr->words[files++] = instr->words[i];
	for (size_t i = 0; i < instr->ndocs; i++)
		instr->words[files++] = ix_arena_printf(self->file->arena, "<<%s", instr->docs[i].name);
}

static int parse_copy(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;
	int r;

	if (df_json_list(self->file->arena, self->operands, &instr->words, &instr->nwords) == DF_JSON_LIST) {
		instr->exec = true;
	} else {
		df_split_blanks(self->file->arena, self->operands, &instr->words, &instr->nwords);
		r = df_read_heredocs(self->lexer, self->line, self->operands, instr, err);
		if (r < 0)
			return r;
	}
	if (instr->nwords == 0)
		return err_here(self, err, "requires at least two arguments, but none were provided");
	if (instr->nwords == 1)
		return err_here(self, err,
				"requires at least two arguments, but only one was provided. Destination could not be determined");
	instr->dest = instr->words[--instr->nwords];
	if (instr->ndocs > 0 && df_is_heredoc(self->file->arena, instr->dest))
		return err_here(self, err, "cannot accept a heredoc as its destination");
	name_heredocs(self);
	return 0;
}

/* k=v words, or the legacy "key rest of the line". */
static int parse_pairs(struct df_making *self, struct ix_err *err)
{
	struct ix_arena *arena = self->file->arena;
	struct ix_df_instr *instr = self->instr;
	char **words = NULL;
	size_t n = 0;

	df_split_words(arena, self->operands, self->file->escape, &words, &n);
	if (n == 0)
		return err_here(self, err, "must have two arguments");
	if (!strchr(words[0], '=')) {
		const char *rest = self->operands + strlen(words[0]);

		rest += strspn(rest, " \t");
		self->lexer->of_lines = !*rest;
		if (!*rest)
			return err_here(self, err, "must have two arguments");
		ix_df_check(self->file, IX_DF_LEGACY_KEY_VALUE, &instr->pos, instr->last_line, instr->comment,
			    "\"%s key=value\" should be used instead of legacy \"%s key value\" format", instr->word, instr->word);
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = words[0];
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strdup(arena, rest);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		char *equals = strchr(words[i], '=');

		self->lexer->of_lines = !equals;
		if (!equals)
			return ix_df_err(self->file, err, &instr->pos,
					 "Syntax error - can't find = in \"%s\". Must be of the form: name=value", words[i]);
		if (equals == words[i])
			return err_here(self, err, "names can not be blank");
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strndup(arena, words[i], (size_t)(equals - words[i]));
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strdup(arena, equals + 1);
	}
	return 0;
}

/* name[=default] ...: as name, value, name, value with NULL for no default. The parser cuts it into one step for each. */
static int parse_arg(struct df_making *self, struct ix_err *err)
{
	struct ix_arena *arena = self->file->arena;
	struct ix_df_instr *instr = self->instr;
	char **words = NULL;
	size_t n = 0;

	df_split_words(arena, self->operands, self->file->escape, &words, &n);
	if (n == 0)
		return err_here(self, err, "requires at least one argument");
	for (size_t i = 0; i < n; i++) {
		char *word = words[i], *equals;

		if (word[0] == '$' && word[1] && word[1] != '{') {
			/* The way the text this project started from writes it. */
			word++;
			ix_strv_addf(&self->file->warnings, "%s:%u:%u: ARG $%s is read as ARG %s: leave out the dollar sign",
				     instr->pos.file, instr->pos.line, instr->pos.column, word, word);
		}
		equals = strchr(word, '=');
		if (equals == word || !*word)
			return err_here(self, err, "names can not be blank");
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = equals ? ix_arena_strndup(arena, word, (size_t)(equals - word)) : word;
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = equals ? ix_arena_strdup(arena, equals + 1) : NULL;
	}
	return 0;
}

static int parse_from(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;

	df_split_blanks(self->file->arena, self->operands, &instr->words, &instr->nwords);
	if (instr->nwords != 1 && !(instr->nwords == 3 && ix_strcaseeq(instr->words[1], "AS")))
		return err_here(self, err, "requires either one or three arguments");
	return 0;
}

static int parse_shell(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;

	if (df_json_list(self->file->arena, self->operands, &instr->words, &instr->nwords) != DF_JSON_LIST)
		return err_here(self, err, "requires the arguments to be in JSON form");
	instr->exec = true;
	return instr->nwords > 0 ? 0 : err_here(self, err, "requires at least one argument");
}

static int parse_volume(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;

	if (df_json_list(self->file->arena, self->operands, &instr->words, &instr->nwords) == DF_JSON_LIST)
		instr->exec = true;
	else
		df_split_blanks(self->file->arena, self->operands, &instr->words, &instr->nwords);
	return instr->nwords > 0 ? 0 : err_here(self, err, "requires at least one argument");
}

static int health_flags(struct df_making *self, struct ix_err *err)
{
	struct ix_df_instr *instr = self->instr;
	struct {
		const char *name;
		int64_t *value;
	} const durations[] = { { "interval", &instr->interval },
				{ "timeout", &instr->timeout },
				{ "start-period", &instr->start_period },
				{ "start-interval", &instr->start_interval } };
	const char *retries = ix_df_flag_value(instr, "retries");
	uint64_t n;

	for (size_t i = 0; i < IX_ARRAY_LEN(durations); i++) {
		const char *text = ix_df_flag_value(instr, durations[i].name);

		if (!text || !*text)
			continue;
		if (!df_duration(text, durations[i].value))
			return ix_df_err(self->file, err, &instr->pos, "HEALTHCHECK --%s=%s: not a duration, as 30s or 1m30s",
					 durations[i].name, text);
		if (*durations[i].value != 0 && *durations[i].value < 1000000)
			return ix_df_err(self->file, err, &instr->pos, "HEALTHCHECK --%s=%s: cannot be less than 1ms", durations[i].name,
					 text);
	}
	if (retries && *retries) {
		if (!ix_parse_u64(retries, 1 << 30, &n))
			return ix_df_err(self->file, err, &instr->pos, "HEALTHCHECK --retries=%s: not a number", retries);
		instr->retries = (int)n;
	}
	return 0;
}

static int parse_healthcheck(struct df_making *self, struct ix_err *err)
{
	struct ix_arena *arena = self->file->arena;
	struct ix_df_instr *instr = self->instr;
	size_t len = strcspn(self->operands, " \t[");
	char **command = NULL;
	size_t n = 0;
	const char *rest = self->operands + len;
	ix_auto_free char *type = ix_strndup(self->operands, len);

	rest += strspn(rest, " \t");
	int r = health_flags(self, err);
	if (r < 0)
		return r;
	if (!*type)
		return err_here(self, err, "requires at least one argument");
	if (ix_strcaseeq(type, "NONE")) {
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strdup(arena, "NONE");
		instr->interval = instr->timeout = instr->start_period = instr->start_interval = instr->retries = 0;
		return *rest ? err_here(self, err, "NONE takes no arguments") : 0;
	}
	if (!ix_strcaseeq(type, "CMD"))
		return ix_df_err(self->file, err, &instr->pos, "unknown type \"%s\" in HEALTHCHECK (try CMD)", type);
	if (!*rest)
		return err_here(self, err, "missing command after HEALTHCHECK CMD");
	*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strdup(arena, "CMD");
	instr->exec = df_json_list(arena, rest, &command, &n) == DF_JSON_LIST;
	for (size_t i = 0; instr->exec && i < n; i++)
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = command[i];
	if (!instr->exec)
		*IX_ARENA_PUSH(arena, instr->words, instr->nwords) = ix_arena_strdup(arena, rest);
	return 0;
}

static int parse_onbuild(struct df_making *self, struct ix_err *err)
{
	struct df_line inner = *self->line;
	size_t skip = (size_t)(self->operands - self->line->text);
	struct ix_df_instr trigger;
	ix_auto_buf text = { 0 };
	int r = operands_one(self, err);

	if (r < 0)
		return r;
	/* Checked here, though it is used only by those who build on this image. */
	inner.text += skip;
	inner.len -= skip;
	inner.at += skip;
	r = df_parse_instr(self->lexer, &inner, true, &trigger, err);
	if (r < 0)
		return r;
	if (trigger.ndocs > 0) {
		ix_buf_puts(&text, self->operands);
		for (size_t i = 0; i < trigger.ndocs; i++)
			ix_buf_printf(&text, "\n%s%s", trigger.docs[i].body, trigger.docs[i].name);
		self->instr->words[0] = ix_arena_strdup(self->file->arena, ix_buf_str(&text));
		self->instr->last_line = trigger.last_line;
	}
	return 0;
}

/* --- the table --- */

static const struct df_word words[] = {
	{ "ADD", IX_STEP_ADD, parse_copy, { "chown", "chmod", "link", "keep-git-dir", "checksum", "unpack", "exclude" }, true },
	{ "ARG", IX_STEP_ARG, parse_arg, { NULL }, true },
	{ "CMD", IX_STEP_CMD, operands_command, { NULL }, true },
	{ "COPY", IX_STEP_COPY, parse_copy, { "from", "chown", "chmod", "link", "parents", "exclude" }, true },
	{ "ENTRYPOINT", IX_STEP_ENTRYPOINT, operands_command, { NULL }, true },
	{ "ENV", IX_STEP_ENV, parse_pairs, { NULL }, true },
	{ "EXPOSE", IX_STEP_EXPOSE, parse_expose, { NULL }, true },
	{ "FROM", IX_DF_FROM, parse_from, { "platform" }, false },
	{ "HEALTHCHECK",
	  IX_STEP_HEALTHCHECK,
	  parse_healthcheck,
	  { "interval", "timeout", "start-period", "start-interval", "retries" },
	  true },
	{ "LABEL", IX_STEP_LABEL, parse_pairs, { NULL }, true },
	{ "MAINTAINER", IX_STEP_MAINTAINER, operands_one, { NULL }, false },
	{ "ONBUILD", IX_STEP_ONBUILD, parse_onbuild, { NULL }, false },
	{ "RUN", IX_STEP_RUN, parse_run, { "mount", "network", "security", "device" }, true },
	{ "SHELL", IX_STEP_SHELL, parse_shell, { NULL }, true },
	{ "STOPSIGNAL", IX_STEP_STOPSIGNAL, operands_one, { NULL }, true },
	{ "USER", IX_STEP_USER, operands_one, { NULL }, true },
	{ "VOLUME", IX_STEP_VOLUME, parse_volume, { NULL }, true },
	{ "WORKDIR", IX_STEP_WORKDIR, operands_one, { NULL }, true },
};

static const struct df_word *find_word(const char *name)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(words); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

static const char *nearest_word(const char *name)
{
	const char *names[IX_ARRAY_LEN(words)];

	for (size_t i = 0; i < IX_ARRAY_LEN(words); i++)
		names[i] = words[i].name;
	return ix_nearest(name, names, IX_ARRAY_LEN(words));
}

/* Of an instruction that is refused: they are no lines to look at. The one that does not end is the mistake that is told. */
static int skip_heredocs(struct df_making *self, const struct df_word *word, struct ix_err *err)
{
	const struct ix_err found = *err;

	if (word->kind == IX_STEP_RUN || word->kind == IX_STEP_COPY || word->kind == IX_STEP_ADD) {
		int r = df_read_heredocs(self->lexer, self->line, self->operands, self->instr, err);

		if (r < 0)
			return r;
	}
	*err = found;
	return ix_err_code(err);
}

int df_parse_instr(struct df_lexer *lexer, struct df_line *line, bool onbuild, struct ix_df_instr *ret_instr, struct ix_err *err)
{
	struct df_making self = { .lexer = lexer, .file = lexer->file, .line = line, .instr = ret_instr };
	size_t len = strcspn(line->text, " \t");
	char *name = ix_arena_strndup(lexer->file->arena, line->text, len);
	const struct df_word *word;

	for (char *c = name; *c; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	*ret_instr = (struct ix_df_instr){ .word = name,
					   .written = ix_arena_strndup(lexer->file->arena, line->text, len),
					   .comment = line->comment,
					   .pos = df_pos(lexer->file, line, NULL),
					   .last_line = line->last_line,
					   .text = line->text };
	word = find_word(name);
	if (!word) {
		const char *near = nearest_word(name);
		ix_auto_free char *shown = ix_printable(name, 40);

		return ix_df_err(lexer->file, err, &ret_instr->pos,
				 near ? "unknown instruction: %s (did you mean %s?)" : "unknown instruction: %s", shown, near);
	}
	if (onbuild && !word->trigger)
		return ix_df_err(lexer->file, err, &ret_instr->pos, "%s isn't allowed as an ONBUILD trigger", name);
	ret_instr->kind = word->kind;
	self.operands = line->text + len;
	self.operands += strspn(self.operands, " \t");
	int r = df_parse_flags(&self, word, err);
	if (r < 0)
		return skip_heredocs(&self, word, err);
	return word->parse(&self, err);
}
