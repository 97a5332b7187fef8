/* Text from outside in JSON. */
#include <string.h>

#include "base/buf.h"
#include "ui_int.h"

/* Bytes that are no UTF-8 become U+FFFD, so that every line is valid JSON. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms and surrogates */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] >= 0xa0) || (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

void ui_json_string(struct ix_buf *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	ix_buf_putc(out, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(s + i, len - i);

		if (n == 0) {
			ix_buf_puts(out, "\xef\xbf\xbd");
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\')
			ix_buf_printf(out, "\\%c", s[i]);
		else if (s[i] < 32 || s[i] == 127)
			ix_buf_printf(out, "\\u%04x", s[i]);
		else if (s[i] == 0xc2 && s[i + 1] < 0xa0) /* C1: a terminal obeys it */
			ix_buf_printf(out, "\\u%04x", s[i + 1]);
		else
			ix_buf_put(out, s + i, n);
		i += n;
	}
	ix_buf_putc(out, '"');
}
