/* How instructions are written. */
#include "lint_int.h"

bool lint_all_lower(const char *word)
{
	for (; *word; word++)
		if (*word >= 'A' && *word <= 'Z')
			return false;
	return true;
}

bool lint_all_upper(const char *word)
{
	for (; *word; word++)
		if (*word >= 'a' && *word <= 'z')
			return false;
	return true;
}

/* What stands in stages. */
static void each(const struct lint *self, void (*visit)(const struct lint *, const struct ix_df_instr *, void *), void *data)
{
	for (size_t i = 0; i < self->file->nstages; i++) {
		visit(self, &self->file->stages[i].from, data);
		for (size_t j = 0; j < self->file->stages[i].ninstrs; j++) {
			const struct ix_df_instr *instr = &self->file->stages[i].instrs[j];

			/* An ARG of several names is one line. */
			if (j == 0 || instr[-1].pos.line != instr->pos.line)
				visit(self, instr, data);
		}
	}
}

struct casing {
	size_t lower, upper;
};

static void count_casing(const struct lint *self, const struct ix_df_instr *instr, void *data)
{
	struct casing *casing = data;

	(void)self;
	casing->lower += lint_all_lower(instr->written);
	casing->upper += lint_all_upper(instr->written);
}

static void check_casing(const struct lint *self, const struct ix_df_instr *instr, void *data)
{
	const struct casing *casing = data;
	bool lower = casing->lower > casing->upper;

	if (!(lower ? lint_all_lower(instr->written) : lint_all_upper(instr->written)))
		lint_warn(self, IX_DF_CONSISTENT_CASING, instr, "Command '%s' should match the case of the command majority (%s)",
			  instr->written, lower ? "lowercase" : "uppercase");
}

void lint_casing(const struct lint *self)
{
	struct casing casing = { 0 };

	each(self, count_casing, &casing);
	each(self, check_casing, &casing);
}
