#include "report/report.h"

#include "base/clock.h"
#include "base/redact.h"
#include "base/scope.h"

const char *ix_outcome_text(enum ix_outcome outcome)
{
	static const char *const texts[] = {
		[IX_OUTCOME_NONE] = "",          [IX_OUTCOME_DONE] = "done",         [IX_OUTCOME_FOUND] = "found",
		[IX_OUTCOME_TO_BUILD] = "build", [IX_OUTCOME_BUILT] = "built",       [IX_OUTCOME_SAME] = "same",
		[IX_OUTCOME_FAILED] = "failed",  [IX_OUTCOME_CANCELED] = "canceled",
	};

	return texts[outcome];
}

void ix_report(struct ix_sink *sink, const struct ix_event *event)
{
	struct ix_event timed = *event;

	if (!sink)
		return;
	timed.at_ms = ix_now_ms();
	sink->emit(sink, &timed);
}

static void tee_emit(struct ix_sink *sink, const struct ix_event *event)
{
	const struct ix_tee *tee = (const struct ix_tee *)sink;

	for (size_t i = 0; i < tee->count; i++)
		if (tee->sinks[i])
			tee->sinks[i]->emit(tee->sinks[i], event);
}

void ix_tee_init(struct ix_tee *tee, struct ix_sink *const *sinks, size_t count)
{
	*tee = (struct ix_tee){ .sink = { .emit = tee_emit }, .sinks = sinks, .count = count };
}

static void veil_emit(struct ix_sink *sink, const struct ix_event *event)
{
	const struct ix_veil *veil = (const struct ix_veil *)sink;
	ix_auto_free char *text = ix_redact_text(veil->redactor, event->text);
	ix_auto_free char *why = ix_redact_text(veil->redactor, event->why);
	struct ix_event shown = *event;

	shown.text = text;
	shown.why = why;
	if (veil->next)
		veil->next->emit(veil->next, &shown);
}

void ix_veil_init(struct ix_veil *veil, struct ix_sink *next, const struct ix_redactor *redactor)
{
	*veil = (struct ix_veil){ .sink = { .emit = veil_emit }, .next = next, .redactor = redactor };
}
