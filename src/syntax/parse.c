#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "syntax_int.h"

enum { STAGES_MAX = 1000, STEPS_MAX = 10000 };

static int check_stage_name(const struct ix_dockerfile *file, const struct ix_df_instr *from, const char **ret_name, struct ix_err *err)
{
	char *name;

	*ret_name = NULL;
	if (from->nwords < 3)
		return 0;
	name = ix_arena_strdup(file->arena, from->words[2]);
	for (char *c = name; *c; c++) {
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		if (!((*c >= 'a' && *c <= 'z') || (c > name && ((*c >= '0' && *c <= '9') || strchr("-_.", *c)))))
			return ix_df_err(file, err, &from->pos,
					 "invalid name for build stage: \"%s\", name can't start with a number or contain symbols",
					 from->words[2]);
	}
	*ret_name = name;
	return 0;
}

static int add_stage(struct ix_dockerfile *file, const struct ix_df_instr *from, struct ix_err *err)
{
	struct ix_df_stage stage = { .from = *from };

	if (file->nstages >= STAGES_MAX)
		return ix_df_err(file, err, &from->pos, "more than %d stages", STAGES_MAX);
	int r = check_stage_name(file, from, &stage.name, err);
	if (r < 0)
		return r;
	for (size_t i = 0; stage.name && i < file->nstages; i++)
		if (file->stages[i].name && strcmp(file->stages[i].name, stage.name) == 0)
			ix_df_check(file, IX_DF_DUPLICATE_STAGE_NAME, &from->pos, from->last_line, from->comment,
				    "Duplicate stage name \"%s\", stage names should be unique", stage.name);
	*IX_ARENA_PUSH(file->arena, file->stages, file->nstages) = stage;
	return 0;
}

/* ARG a=1 b=2 is two steps. */
static int add_instr(struct ix_dockerfile *file, const struct ix_df_instr *instr, struct ix_err *err)
{
	struct ix_df_stage *stage = file->nstages > 0 ? &file->stages[file->nstages - 1] : NULL;

	if (!stage && instr->kind != IX_STEP_ARG)
		return ix_df_err(file, err, &instr->pos,
				 "no build stage in current context: a Dockerfile begins with FROM, before it only ARG is allowed");
	for (size_t i = 0; i == 0 || (instr->kind == IX_STEP_ARG && i < instr->nwords); i += 2) {
		struct ix_df_instr one = *instr;

		if (instr->kind == IX_STEP_ARG) {
			one.group = instr->words;
			one.ngroup = instr->nwords;
			one.words = instr->words + i;
			one.nwords = instr->words[i + 1] ? 2 : 1;
		}
		if (!stage)
			*IX_ARENA_PUSH(file->arena, file->globals, file->nglobals) = one;
		else if (stage->ninstrs >= STEPS_MAX)
			return ix_df_err(file, err, &instr->pos, "more than %d instructions in one stage", STEPS_MAX);
		else
			*IX_ARENA_PUSH(file->arena, stage->instrs, stage->ninstrs) = one;
	}
	return 0;
}

/* docker cuts the whole file into words before it looks at any instruction, so what is wrong with those of later lines is told first. */
static int first_mistake(struct df_lexer *lexer, struct ix_err *err)
{
	const struct ix_err found = *err;
	struct df_line line;
	struct ix_df_instr instr;

	while (!lexer->of_lines && df_next_line(lexer, &line, err) > 0)
		if (df_parse_instr(lexer, &line, false, &instr, err) == 0)
			lexer->of_lines = false;
	lexer->file->of_lines = lexer->of_lines;
	df_checks_of_text(lexer->file);
	if (!lexer->of_lines)
		*err = found;
	return ix_err_code(err);
}

static int parse_all(struct ix_dockerfile *file, struct ix_err *err)
{
	struct df_lexer lexer = { .file = file, .next = file->text };
	const struct ix_pos start = { file->name, 1, 1 };
	struct df_line line;
	int r;

	r = df_read_directives(&lexer, err);
	if (r < 0)
		return r;
	while ((r = df_next_line(&lexer, &line, err)) > 0) {
		struct ix_df_instr instr;

		r = df_parse_instr(&lexer, &line, false, &instr, err);
		if (r == 0)
			r = instr.kind == IX_DF_FROM ? add_stage(file, &instr, err) : add_instr(file, &instr, err);
		if (r < 0 && instr.kind == IX_DF_FROM) {
			struct ix_df_instr *from = ix_arena_alloc(file->arena, sizeof(*from));

			*from = instr;
			file->refused_from = from;
		}
		if (r < 0)
			return first_mistake(&lexer, err);
	}
	if (r < 0)
		return r;
	return file->nstages > 0 ? 0 : ix_df_err(file, err, &start, "file with no instructions");
}

int ix_dockerfile_parse(const char *name, const char *text, size_t len, struct ix_dockerfile **ret_file, struct ix_err *err)
{
	struct ix_dockerfile *file = ix_calloc(1, sizeof(*file));
	const char *nul = memchr(text, '\0', len);
	size_t skip = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */
	int r;

	file->arena = ix_arena_new();
	file->name = ix_arena_strdup(file->arena, name);
	file->text = ix_arena_strndup(file->arena, text + skip, len - skip);
	file->escape = '\\';
	file->checks = ix_arena_alloc(file->arena, sizeof(*file->checks));
	*ret_file = file;
	r = nul ? ix_err_set(err, IX_EARG, "%s: it holds a NUL byte: it is not text", name) : parse_all(file, err);
	file->refused = r < 0;
	return r;
}

int ix_df_parse_trigger(struct ix_arena *arena, const char *where, const char *text, struct ix_df_instr *ret_instr, struct ix_err *err)
{
	struct ix_df_checks ignored = { .skip = "all" };
	struct ix_dockerfile piece = { .arena = arena, .name = where, .text = text, .escape = '\\', .checks = &ignored };
	struct df_lexer lexer = { .file = &piece, .next = text };
	struct df_line line;
	int r;

	r = df_next_line(&lexer, &line, err);
	if (r > 0 && (r = df_parse_instr(&lexer, &line, true, ret_instr, err)) == 0)
		r = 1;
	ix_strv_release(&piece.warnings);
	return r;
}

void ix_dockerfile_free(struct ix_dockerfile *file)
{
	if (!file)
		return;
	ix_strv_release(&file->warnings);
	ix_arena_free(file->arena);
	free(file);
}

const struct ix_strv *ix_dockerfile_warnings(const struct ix_dockerfile *file)
{
	return &file->warnings;
}

const char *ix_dockerfile_text(const struct ix_dockerfile *file)
{
	return file->text;
}
