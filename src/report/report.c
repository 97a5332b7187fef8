#include "report/report.h"

void ix_report(struct ix_sink *sink, const struct ix_event *event)
{
	if (sink)
		sink->emit(sink, event);
}
