#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "yaml_int.h"

enum { EXPANDED_MAX = 1 << 20 };

static const char *value_of(const struct yaml *yaml, const char *name)
{
	const char *value = getenv(name);

	for (size_t i = 0; i < yaml->nvars && !value; i++)
		if (strcmp(yaml->vars[i].name, name) == 0)
			value = yaml->vars[i].value;
	return value;
}

static bool is_name(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '_' ||
		      (i > 0 && text[i] >= '0' && text[i] <= '9')))
			return false;
	return len > 0;
}

/* What stands between the braces. */
static int braced(const struct yaml *yaml, const struct ix_place *place, const char *inner, struct ix_buf *out, struct ix_err *err)
{
	size_t len = strcspn(inner, ":-?");
	ix_auto_free char *name = ix_strndup(inner, len);
	const char *op = inner + len, *value;
	bool colon = *op == ':';

	op += colon;
	if (!is_name(inner, len) || (colon && *op != '-' && *op != '?'))
		return yaml_err(yaml, place, err, "malformed variable ${%s}: write ${NAME}, ${NAME:-default} or ${NAME:?message}", inner);
	value = value_of(yaml, name);
	if (value && colon && !*value)
		value = NULL;
	if (!value && *op == '-')
		value = op + 1;
	if (!value && *op == '?')
		return yaml_err(yaml, place, err, "%s: %s", name, op[1] ? op + 1 : "is not set");
	if (!value)
		return yaml_err(yaml, place, err,
				"variable %s is not set: set it in the environment or under vars:, or write ${%s:-default}", name, name);
	ix_buf_puts(out, value);
	return out->len <= EXPANDED_MAX ? 0 : yaml_err(yaml, place, err, "the text becomes too long");
}

int vars_expand(const struct yaml *yaml, const struct ix_place *place, const char *text, const char **ret_text, struct ix_err *err)
{
	ix_auto_buf out = { 0 };
	int r;

	while (*text) {
		const char *close;

		if (*text != '$' || (text[1] != '{' && text[1] != '$')) {
			ix_buf_putc(&out, *text++);
			continue;
		}
		if (text[1] == '$') {
			ix_buf_putc(&out, '$');
			text += 2;
			continue;
		}
		close = strchr(text, '}');
		if (!close)
			return yaml_err(yaml, place, err, "'${' without '}'");
		{
			ix_auto_free char *inner = ix_strndup(text + 2, (size_t)(close - text - 2));

			r = braced(yaml, place, inner, &out, err);
			if (r < 0)
				return r;
		}
		text = close + 1;
	}
	*ret_text = ix_arena_strndup(yaml->arena, ix_buf_str(&out), out.len);
	return 0;
}
