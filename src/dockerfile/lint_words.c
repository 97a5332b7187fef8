/* The variables that instructions use. */
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "graph/graph.h"
#include "lint_int.h"
#include "syntax/syntax.h"

struct ix_check *lint_warn(const struct lint *self, enum ix_df_rule rule, const struct ix_df_instr *instr, const char *fmt, const char *a,
			   const char *b)
{
	ix_auto_buf text = { 0 };

	/* fmt holds at most two %s. */
	for (const char *c = fmt; *c; c++) {
		if (c[0] == '%' && c[1] == 's') {
			ix_buf_puts(&text, a ? a : "");
			a = b;
			c++;
		} else {
			ix_buf_putc(&text, *c);
		}
	}
	return ix_df_check(self->file, rule, &instr->pos, instr->last_line, instr->comment, "%s", ix_buf_str(&text));
}

/* --- variables --- */

const char *lint_nearest(const struct stage_names *names, const char *name)
{
	return ix_nearest(name, (const char *const *)names->names.items, names->names.count);
}

static void check_text(const struct lint *self, const struct ix_df_instr *instr, const struct stage_names *names, const char *text,
		       const struct ix_expand_opts *opts)
{
	ix_auto_strv used = { 0 };

	ix_expand_names(opts, text, &used);
	for (size_t i = 0; i < used.count && !names->open; i++) {
		const char *near;

		if (ix_strv_has(&names->names, used.items[i]))
			continue;
		near = lint_nearest(names, used.items[i]);
		lint_warn(self, IX_DF_UNDEFINED_VAR, instr,
			  near ? "Usage of undefined variable '$%s' (did you mean $%s?)" : "Usage of undefined variable '$%s'",
			  used.items[i], near);
	}
}

static void check_word(const struct lint *self, const struct ix_df_instr *instr, const struct stage_names *names, const char *word)
{
	const struct ix_expand_opts opts = { .escape = self->file->escape };

	check_text(self, instr, names, word, &opts);
}

/* The files that a COPY or ADD holds itself. */
static void check_docs(const struct lint *self, const struct ix_df_instr *instr, const struct stage_names *names)
{
	const struct ix_expand_opts opts = { .keep_quotes = true };

	for (size_t i = 0; i < instr->ndocs; i++)
		if (instr->docs[i].expand)
			check_text(self, instr, names, instr->docs[i].body, &opts);
}

void lint_words(const struct lint *self, const struct ix_df_instr *instr, const struct stage_names *names)
{
	static const char *const flags[] = { "chown", "chmod", "checksum" };

	switch (instr->kind) {
	case IX_STEP_RUN:
		for (size_t i = 0; i < instr->nflags; i++)
			if (strcmp(instr->flags[i].name, "mount") == 0)
				check_word(self, instr, names, instr->flags[i].value);
		return;
	case IX_STEP_CMD:
	case IX_STEP_ENTRYPOINT:
	case IX_STEP_HEALTHCHECK:
	case IX_STEP_SHELL:
	case IX_STEP_ONBUILD:
	case IX_STEP_MAINTAINER:
	case IX_STEP_EXPOSE:
		return;
	default:
		break;
	}
	for (size_t i = instr->kind == IX_STEP_ARG ? 1 : 0; i < instr->nwords; i++)
		if (instr->words[i] && !(ix_starts(instr->words[i], "<<") && instr->ndocs > 0))
			check_word(self, instr, names, instr->words[i]);
	if (instr->dest)
		check_word(self, instr, names, instr->dest);
	if (instr->kind == IX_STEP_COPY || instr->kind == IX_STEP_ADD)
		check_docs(self, instr, names);
	for (size_t i = 0; i < IX_ARRAY_LEN(flags); i++)
		if (ix_df_flag_value(instr, flags[i]))
			check_word(self, instr, names, ix_df_flag_value(instr, flags[i]));
}
