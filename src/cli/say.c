#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/redact.h"
#include "base/str.h"
#include "cli_int.h"

static const struct ix_redactor *hidden;

void say_nothing_of(const struct ix_redactor *redactor)
{
	hidden = redactor;
}

/* Safe for a terminal, and for whoever reads it. Caller frees. */
static char *presentable(const char *text)
{
	ix_auto_free char *redacted = ix_redact_text(hidden, text);

	return ix_printable_lines(redacted);
}

int complain(const struct ix_err *err)
{
	ix_auto_free char *message = NULL;
	ix_auto_free char *detail = NULL;

	if (err->code == IX_ECANCELED) {
		fprintf(stderr, "ix: canceled\n");
		return 130;
	}
	message = presentable(err->msg);
	detail = presentable(err->detail);
	fprintf(stderr, "ix: %s\n", message);
	if (*detail)
		fprintf(stderr, "%s\n", detail);
	return 1;
}

void say(const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	ix_auto_free char *shown = NULL;
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	shown = presentable(ix_buf_str(&text));
	fputs(shown, stdout);
}

/* A JSON library leaves DEL and C1 as they are. They stand only in strings, where their numbers mean the same. */
void say_json(const struct json_t *json)
{
	ix_auto_free char *text = json_dumps(json, JSON_INDENT(2));
	ix_auto_buf shown = { 0 };

	for (const char *at = text ? text : ""; *at; at++) {
		if ((unsigned char)at[0] == 0xc2 && (unsigned char)at[1] < 0xa0)
			ix_buf_printf(&shown, "\\u%04x", (unsigned char)*++at);
		else if (*at == 127)
			ix_buf_puts(&shown, "\\u007f");
		else
			ix_buf_putc(&shown, *at);
	}
	puts(ix_buf_str(&shown));
}
