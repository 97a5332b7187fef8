#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "report/report.h"
#include "ui_int.h"

/* Each line begins with the stage, so that lines of stages that run at once can be told apart and searched for. */

static void log_lines(struct ix_ui *ui, const struct ix_event *event, struct ix_buf *out)
{
	struct row *row = ui_row(ui, event->stage);
	const char *data = event->data;
	size_t len = event->len;

	/* follow() has kept the whole lines of this chunk at the end of the tail; they are counted here by their ends. */
	size_t lines = 0;

	while (len > 0) {
		const char *newline = memchr(data, '\n', len);

		if (!newline)
			break;
		lines++;
		len -= (size_t)(newline + 1 - data);
		data = newline + 1;
	}
	for (size_t i = row->tail.count - lines; i < row->tail.count; i++)
		ix_buf_printf(out, "%s | %s\n", event->stage, row->tail.items[i]);
}

/* What the step printed last, without ending the line. */
static void last_line(struct ix_ui *ui, const struct ix_event *event, struct ix_buf *out)
{
	const struct row *row = ui_row(ui, event->stage);

	if (row->partial.len == 0)
		return;
	ix_buf_printf(out, "%s | ", event->stage);
	ui_clean_line(out, ix_buf_str(&row->partial), row->partial.len);
	ix_buf_putc(out, '\n');
}

static void stage_end(const struct ix_event *event, struct ix_buf *out)
{
	char seconds[16], bytes[16];

	ix_buf_printf(out, "%s: %s in %s", event->stage, ix_outcome_text(event->outcome), ui_seconds(event->ms, seconds));
	if (event->bytes > 0)
		ix_buf_printf(out, ", pushed %s", ix_human_size(event->bytes, bytes));
	ix_buf_putc(out, '\n');
}

void plain_event(struct ix_ui *ui, const struct ix_event *event)
{
	ix_auto_buf out = { 0 };
	char seconds[16];

	switch (event->kind) {
	case IX_EVENT_WARNING:
		ix_buf_printf(&out, "warning: %s\n", event->text);
		break;
	case IX_EVENT_NOTE:
		ix_buf_printf(&out, "%s\n", event->text);
		break;
	case IX_EVENT_STAGE_WAIT:
		break;
	case IX_EVENT_STAGE_BEGIN:
		ix_buf_printf(&out, "%s: build (%s)\n", event->stage, event->why ? event->why : "");
		break;
	case IX_EVENT_STAGE_END:
		stage_end(event, &out);
		break;
	case IX_EVENT_STEP_BEGIN:
		ix_buf_printf(&out, "%s %u/%u %s\n", event->stage, event->step, event->nsteps, event->text);
		break;
	case IX_EVENT_STEP_CACHED:
		ix_buf_printf(&out, "%s %u/%u CACHED %s\n", event->stage, event->step, event->nsteps, event->text);
		break;
	case IX_EVENT_STEP_END:
		last_line(ui, event, &out);
		if (event->status == 0)
			ix_buf_printf(&out, "%s %u/%u done %s\n", event->stage, event->step, event->nsteps, ui_seconds(event->ms, seconds));
		else
			ix_buf_printf(&out, "%s %u/%u FAILED with exit code %d after %s\n", event->stage, event->step, event->nsteps,
				      event->status, ui_seconds(event->ms, seconds));
		break;
	case IX_EVENT_LOG:
		log_lines(ui, event, &out);
		break;
	case IX_EVENT_TRANSFER:
		if (event->done == event->total && event->total > 1000000) {
			char total[16];

			ix_buf_printf(&out, "%s: %s %s\n", event->stage ? event->stage : "image", event->text,
				      ix_human_size(event->total, total));
		}
		break;
	case IX_EVENT_PUBLISHED:
		ix_buf_printf(&out, "%s: published %s\n", event->stage ? event->stage : "image", event->text);
		break;
	}
	ui_write(ui, &out);
}
