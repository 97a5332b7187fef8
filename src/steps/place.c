#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "steps/steps.h"

int ix_err_at_step(struct ix_err *err, const struct ix_step *step)
{
	ix_auto_free char *shown = ix_printable(step->text, 400);

	if (!step->pos.file)
		return ix_err_code(err);
	/* Errors of the language bring their place along. */
	if (strncmp(err->msg, step->pos.file, strlen(step->pos.file)) != 0)
		ix_err_wrap(err, "%s:%u:%u", step->pos.file, step->pos.line, step->pos.column);
	if (!err->detail[0])
		ix_err_detail(err, "%5u | %s", step->pos.line, shown);
	return ix_err_code(err);
}
