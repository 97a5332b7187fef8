/* Errors that show the line they are about. */
#include <stdarg.h>

#include "base/buf.h"
#include "base/err.h"
#include "graph/graph.h"
#include "syntax_int.h"

int ix_df_err(const struct ix_dockerfile *file, struct ix_err *err, const struct ix_pos *pos, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	ix_err_at(err, pos, "%s", ix_buf_str(&text));
	return ix_err_excerpt(err, file->text, pos->line, pos->column);
}
