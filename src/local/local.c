#include "local/local.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "builder/builder.h"
#include "local_int.h"
#include "steps/steps.h"

static int execute(struct task *task, struct ix_step_result *ret_layer, struct ix_err *err)
{
	enum ix_step_kind kind = task->operation->step->kind;

	if (kind == IX_STEP_RUN)
		return run_operation(task, ret_layer, err);
	if (kind == IX_STEP_WORKDIR)
		return workdir_operation(task, ret_layer, err);
	return copy_operation(task, ret_layer, err);
}

/* The step with its beginning and its end told. */
static int run_told(struct task *task, struct ix_step_result *ret_layer, struct ix_err *err)
{
	struct ix_sink *sink = task->local->opts.sink;
	uint64_t start = ix_now_ms();
	int r;

	ix_build_step_begins(sink, task->build, task->operation);
	r = execute(task, ret_layer, err);
	ix_build_step_ended(sink, task->build, task->operation, r == 0 ? 0 : r == -IX_ESTEP ? err->sys : 1, ix_now_ms() - start);
	return r;
}

static int one(const struct local *local, const struct ix_build *build, const struct ix_operation *operation, struct ix_err *err)
{
	struct task task = { .local = local, .build = build, .operation = operation, .image = local->opts.image };
	struct ix_step_result layer = { 0 };
	struct ix_err ignored;
	int r = ix_cancel_check(build->cancel, err);

	if (r < 0)
		return r;
	task.image.cancel = build->cancel;
	r = build->provider->take(build->data, operation, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = run_told(&task, &layer, err);
	if (r == 0)
		return build->provider->give(build->data, operation, &layer, err);
	(void)build->provider->give(build->data, operation, NULL, &ignored);
	return r;
}

static int local_build(struct ix_builder *builder, const struct ix_build *build, struct ix_err *err)
{
	const struct local *local = (const struct local *)builder;

	for (size_t i = 0; i < build->operations->count; i++) {
		const struct ix_operation *operation = &build->operations->items[i];
		int r = one(local, build, operation, err);

		if (r < 0)
			return r == -IX_ECANCELED ? r : ix_err_at_step(err, operation->step);
	}
	return 0;
}

static void local_free(struct ix_builder *builder)
{
	struct local *local = (struct local *)builder;

	host_release(&local->host);
	free(local);
}

static const struct ix_builder_ops local_ops = {
	.name = "local",
	.takes_steps = true,
	.build = local_build,
	.free = local_free,
};

struct ix_builder *ix_local_new(const struct ix_local_opts *opts)
{
	struct local *local = ix_calloc(1, sizeof(*local));

	local->base.ops = &local_ops;
	local->opts = *opts;
	host_init(&local->host, opts->build_args);
	leftovers_remove();
	return &local->base;
}
