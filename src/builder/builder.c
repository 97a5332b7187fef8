#include "builder/builder.h"
#include "report/report.h"

int ix_builder_build(struct ix_builder *builder, const struct ix_build *build, struct ix_err *err)
{
	return builder->ops->build(builder, build, err);
}

void ix_builder_free(struct ix_builder *builder)
{
	if (builder)
		builder->ops->free(builder);
}

static void report(struct ix_sink *sink, const struct ix_build *build, const struct ix_operation *operation, const struct ix_event *more)
{
	struct ix_event event = *more;

	event.stage = build->stage->name;
	event.platform = build->stage->platform;
	event.text = operation->step->text;
	event.step = (unsigned)operation->index + 1;
	event.nsteps = (unsigned)build->stage->nsteps;
	ix_report(sink, &event);
}

void ix_build_step_begins(struct ix_sink *sink, const struct ix_build *build, const struct ix_operation *operation)
{
	report(sink, build, operation, &(struct ix_event){ .kind = IX_EVENT_STEP_BEGIN });
	ix_step_log_step(build->log, operation->index + 1, operation->step->text, "");
}

void ix_build_step_ended(struct ix_sink *sink, const struct ix_build *build, const struct ix_operation *operation, int status, uint64_t ms)
{
	report(sink, build, operation, &(struct ix_event){ .kind = IX_EVENT_STEP_END, .status = status, .ms = ms });
}
