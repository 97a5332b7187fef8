/* Errors that say where in a YAML file. */
#include <stdarg.h>

#include "base/buf.h"
#include "base/err.h"
#include "yaml_int.h"

int yaml_err(const struct yaml *yaml, const struct ix_place *place, struct ix_err *err, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	ix_err_set(err, IX_EARG, "%s:%u:%u: %s", yaml->name, place->line, place->column, ix_buf_str(&text));
	return ix_err_excerpt(err, yaml->text, place->line, place->column);
}
