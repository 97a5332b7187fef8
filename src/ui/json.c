#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ui_int.h"

static const char *const kinds[] = {
	[IX_EVENT_WARNING] = "warning",         [IX_EVENT_NOTE] = "note",           [IX_EVENT_STAGE_WAIT] = "stage_plan",
	[IX_EVENT_STAGE_BEGIN] = "stage_begin", [IX_EVENT_STAGE_END] = "stage_end", [IX_EVENT_STEP_BEGIN] = "step_begin",
	[IX_EVENT_STEP_CACHED] = "step_cached", [IX_EVENT_STEP_END] = "step_end",   [IX_EVENT_LOG] = "log",
	[IX_EVENT_TRANSFER] = "transfer",       [IX_EVENT_PUBLISHED] = "published",
};

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

static void put_string(struct ix_buf *out, const char *text, size_t len)
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

static void put_member(struct ix_buf *out, const char *key, const char *text)
{
	if (!text)
		return;
	ix_buf_printf(out, ",\"%s\":", key);
	put_string(out, text, strlen(text));
}

static void put_number(struct ix_buf *out, const char *key, uint64_t value)
{
	ix_buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)value);
}

void json_event(struct ix_ui *ui, const struct ix_event *event)
{
	ix_auto_buf out = { 0 };

	ix_buf_printf(&out, "{\"ms\":%llu,\"event\":\"%s\"", (unsigned long long)(ix_now_ms() - ui->start_ms), kinds[event->kind]);
	put_member(&out, "stage", event->stage);
	put_member(&out, event->kind == IX_EVENT_STAGE_END || event->kind == IX_EVENT_STAGE_WAIT ? "outcome" : "text", event->text);
	put_member(&out, "reason", event->why);
	put_member(&out, "parent", event->parent);
	if (event->step) {
		put_number(&out, "step", event->step);
		if (event->nsteps)
			put_number(&out, "steps", event->nsteps);
	}
	if (event->kind == IX_EVENT_STEP_END)
		put_number(&out, "status", (uint64_t)event->status);
	if (event->kind == IX_EVENT_STEP_END || event->kind == IX_EVENT_STAGE_END)
		put_number(&out, "took_ms", event->ms);
	if (event->kind == IX_EVENT_STAGE_END || event->kind == IX_EVENT_PUBLISHED)
		put_number(&out, "pushed_bytes", event->bytes);
	if (event->kind == IX_EVENT_TRANSFER) {
		put_number(&out, "done", event->done);
		put_number(&out, "total", event->total);
	}
	if (event->kind == IX_EVENT_LOG) {
		put_number(&out, "stream", (uint64_t)event->stream);
		ix_buf_puts(&out, ",\"data\":");
		put_string(&out, event->data, event->len);
	}
	ix_buf_puts(&out, "}\n");
	ui_write(ui, &out);
}
