#include <string.h>

#include "base/buf.h"
#include "report/report.h"
#include "ui_int.h"

static const char *const kinds[] = {
	[IX_EVENT_WARNING] = "warning",         [IX_EVENT_NOTE] = "note",           [IX_EVENT_STAGE_WAIT] = "stage_plan",
	[IX_EVENT_STAGE_BEGIN] = "stage_begin", [IX_EVENT_STAGE_END] = "stage_end", [IX_EVENT_STEP_BEGIN] = "step_begin",
	[IX_EVENT_STEP_CACHED] = "step_cached", [IX_EVENT_STEP_END] = "step_end",   [IX_EVENT_LOG] = "log",
	[IX_EVENT_TRANSFER] = "transfer",       [IX_EVENT_PUBLISHED] = "published",
};

static void put_member(struct ix_buf *out, const char *key, const char *text)
{
	if (!text)
		return;
	ix_buf_printf(out, ",\"%s\":", key);
	ui_json_string(out, text, strlen(text));
}

static void put_number(struct ix_buf *out, const char *key, uint64_t value)
{
	ix_buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)value);
}

void json_event(struct ix_ui *ui, const struct ix_event *event)
{
	ix_auto_buf out = { 0 };

	ix_buf_printf(&out, "{\"ms\":%llu,\"event\":\"%s\"", (unsigned long long)(event->at_ms - ui->start_ms), kinds[event->kind]);
	put_member(&out, "stage", event->stage);
	put_member(&out, "platform", event->platform);
	put_member(&out, "outcome", event->outcome ? ix_outcome_text(event->outcome) : NULL);
	put_member(&out, "text", event->text);
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
		ui_json_string(&out, event->data, event->len);
	}
	ix_buf_puts(&out, "}\n");
	ui_write(ui, &out);
}
