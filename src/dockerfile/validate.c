#include "lower_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"
#include "syntax/syntax.h"

/* What is wrong with words is said before anything is built, where their variables are known by then. Where they are not, building says it. */

/* The word expanded; NULL when what it is hangs on the base image. */
static int known_word(struct making *self, const struct ix_df_instr *instr, const char *word, const char **ret_text)
{
	struct values values = { &self->scope, self->stage, false };
	int r = lower_expand(self->lower, &values, word, &instr->pos, ret_text);

	if (values.unknown)
		*ret_text = NULL;
	return r;
}

static int bad(struct making *self, const struct ix_df_instr *instr, const char *what, const char *text)
{
	return ix_df_err(self->lower->file, self->lower->err, &instr->pos, "%s%s", what, text);
}

static int check_ports(struct making *self, const struct ix_df_instr *instr, const char *text)
{
	ix_auto_free char *copy = ix_strdup(text);
	char *rest, *word, proto[5];
	unsigned first, last;

	/* A variable may hold several. */
	for (word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
		if (ix_ports_parse(word, &first, &last, proto, self->lower->err) < 0)
			return lower_at(self->lower, &instr->pos);
	return 0;
}

/* text: NULL when it is not known yet. */
static int check_word(struct making *self, const struct ix_df_instr *instr, const char *text)
{
	if (!text) {
		if (instr->kind == IX_STEP_EXPOSE || instr->kind == IX_STEP_VOLUME || instr->kind == IX_STEP_STOPSIGNAL)
			self->lower->graph->awaits_bases = true;
		return 0;
	}
	if (instr->kind == IX_STEP_EXPOSE)
		return check_ports(self, instr, text);
	if (instr->kind == IX_STEP_VOLUME && !*text)
		return bad(self, instr, "VOLUME specified can not be an empty string", "");
	if (instr->kind == IX_STEP_STOPSIGNAL && !ix_signal_known(text))
		return bad(self, instr, "invalid signal: ", text);
	return 0;
}

static int check_mode(struct making *self, const struct ix_df_instr *instr, const char *word)
{
	struct ix_mode_change change;
	const char *text;
	int r = known_word(self, instr, word, &text);

	if (r == 0 && !text)
		self->lower->graph->awaits_bases = true;
	if (r < 0 || !text || !*text || ix_mode_parse(text, &change))
		return r;
	return bad(self, instr, "it should be octal between 0 and 07777, or as u=rwX,go=rX: invalid chmod parameter: ", text);
}

/* Whether they can be read at all; what they are is seen when they are used. */
static int check_destination(struct making *self, const struct ix_df_instr *instr)
{
	const char *owner = ix_df_flag_value(instr, "chown"), *text;
	int r = owner ? known_word(self, instr, owner, &text) : 0;

	return r < 0 || !instr->dest ? r : known_word(self, instr, instr->dest, &text);
}

int lower_validate(struct making *self, const struct ix_df_instr *instr)
{
	const char *mode = ix_df_flag_value(instr, "chmod"), *text;
	int r = mode ? check_mode(self, instr, mode) : 0;

	switch (instr->kind) {
	case IX_STEP_COPY:
	case IX_STEP_ADD:
		return r < 0 ? r : check_destination(self, instr);
	case IX_STEP_EXPOSE:
	case IX_STEP_VOLUME:
	case IX_STEP_STOPSIGNAL:
	case IX_STEP_LABEL:
	case IX_STEP_USER:
	case IX_STEP_WORKDIR:
		break;
	default:
		return r;
	}
	for (size_t i = 0; i < instr->nwords && r == 0; i++) {
		r = known_word(self, instr, instr->words[i], &text);
		if (r == 0)
			r = check_word(self, instr, text);
	}
	return r;
}
