#include "steps/steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"
#include "oci/image.h"
#include "steps_int.h"

void ix_operations_release(struct ix_operations *operations)
{
	for (size_t i = 0; i < operations->count; i++) {
		struct ix_operation *operation = &operations->items[i];

		free(operation->created_by);
		free(operation->user);
		free(operation->workdir);
		ix_strv_release(&operation->argv);
		ix_strv_release(&operation->env);
		free(operation->dest);
		free(operation->chown);
		ix_strv_release(&operation->docs);
	}
	free(operations->items);
	ix_config_release(&operations->config);
	*operations = (struct ix_operations){ 0 };
}

/* --- the config at both ends --- */

static int begin(const struct ix_stage *stage, const struct ix_image_config *base, struct ix_image_config *config, struct ix_err *err)
{
	int r;

	if (base)
		ix_config_copy(base, config);
	if (!config->platform.arch[0] && (r = ix_platform_parse(stage->platform, &config->platform, err)) < 0)
		return r;
	if (!ix_env_get(&config->env, "PATH"))
		ix_env_set(&config->env, "PATH", IX_DEFAULT_PATH);
	if (!config->working_dir && stage->base.kind == IX_SOURCE_SCRATCH)
		config->working_dir = ix_strdup("/");
	/* Triggers of the base were made steps when the graph was; they are not handed on. */
	ix_strv_release(&config->onbuild);
	return 0;
}

static void finish(const struct expansion *self)
{
	const struct ix_stage *stage = self->stage;

	for (size_t i = 0; i < stage->nlabels; i++)
		ix_pairs_set(&self->config->labels, stage->labels[2 * i], stage->labels[2 * i + 1]);
	free(self->config->created);
	self->config->created = ix_strdup(self->opts->now);
}

/* --- operations --- */

static struct ix_operation *add_operation(struct ix_operations *operations, const struct expansion *self, const struct ix_step *step)
{
	const char *workdir = self->config->working_dir;
	struct ix_operation *operation;

	operations->items = ix_realloc_array(operations->items, operations->count + 1, sizeof(*operations->items));
	operation = &operations->items[operations->count++];
	*operation = (struct ix_operation){
		.step = step,
		.index = self->index,
		.user = ix_strdup(self->config->user),
		.workdir = ix_strdup(workdir && *workdir ? workdir : "/"),
	};
	return operation;
}

static void expand_run(const struct expansion *self, struct ix_operation *operation)
{
	const struct ix_step *step = operation->step;

	command_run(self->config, step, operation);
	ix_strv_copy(&operation->env, &self->config->env);
	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = expand_arg(self, &step->args[i]);

		if (value)
			ix_env_set(&operation->env, step->args[i].name, value);
	}
	operation->created_by = history_run(self, operation);
}

/* A flag's word; nothing in it is as if it were not given. */
static int expand_flag(const struct expansion *self, const struct ix_step *step, const char *word, char **ret_text, struct ix_err *err)
{
	ix_auto_free char *text = NULL;
	int r = word ? expand_word(self, step, word, &text, err) : 0;

	if (r == 0 && text && *text)
		*ret_text = ix_steal(&text);
	return r;
}

static int expand_docs(const struct expansion *self, struct ix_operation *operation, struct ix_err *err)
{
	const struct ix_step *step = operation->step;

	for (size_t i = 0; i < step->ndocs; i++) {
		char *text = NULL;
		int r = step->docs[i].expand ? expand_text(self, step, step->docs[i].body, &text, err) : 0;

		if (r < 0)
			return r;
		ix_strv_take(&operation->docs, text ? text : ix_strdup(step->docs[i].body));
	}
	return 0;
}

static int expand_copy(const struct expansion *self, struct ix_operation *operation, struct ix_err *err)
{
	const struct ix_step *step = operation->step;
	ix_auto_free char *chmod = NULL;
	int r;

	if ((r = expand_word(self, step, step->dest, &operation->dest, err)) < 0 ||
	    (r = expand_flag(self, step, step->chown, &operation->chown, err)) < 0 ||
	    (r = expand_flag(self, step, step->chmod, &chmod, err)) < 0 || (r = expand_docs(self, operation, err)) < 0)
		return r;
	if (chmod && !ix_mode_parse(chmod, &operation->chmod))
		return ix_err_at(err, &step->pos,
				 "invalid chmod parameter: '%s': it should be octal between 0 and 07777, or as u=rwX,go=rX", chmod);
	operation->created_by = history_copy(operation, chmod);
	return 0;
}

static int set_workdir(const struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = self->config;
	ix_auto_free char *text = NULL;
	char *path;
	int r = expand_word(self, step, step->words[0], &text, err);

	if (r < 0)
		return r;
	/* Nothing is where it was; an absolute path stays as it is written. */
	path = *text == '/' ? ix_steal(&text) : ix_path_resolve(config->working_dir ? config->working_dir : "/", text);
	free(config->working_dir);
	config->working_dir = path;
	return 0;
}

/* The root is there: going to it makes no layer. */
static int expand_workdir(const struct expansion *self, const struct ix_step *step, struct ix_operations *operations, struct ix_err *err)
{
	struct ix_operation *operation;
	int r = set_workdir(self, step, err);

	if (r < 0)
		return r;
	if (strcmp(self->config->working_dir, "/") == 0) {
		history_add(self, "WORKDIR /", true);
		return 0;
	}
	operation = add_operation(operations, self, step);
	operation->created_by = ix_asprintf("WORKDIR %s", self->config->working_dir);
	history_add(self, operation->created_by, false);
	return 0;
}

static int expand_step(struct expansion *self, const struct ix_step *step, struct ix_operations *operations, struct ix_err *err)
{
	struct ix_operation *operation;
	int r = 0;

	if (step->kind == IX_STEP_WORKDIR)
		return expand_workdir(self, step, operations, err);
	if (step->kind != IX_STEP_RUN && step->kind != IX_STEP_COPY && step->kind != IX_STEP_ADD)
		return config_apply(self, step, err);
	operation = add_operation(operations, self, step);
	if (step->kind == IX_STEP_RUN)
		expand_run(self, operation);
	else
		r = expand_copy(self, operation, err);
	if (r == 0)
		history_add(self, operation->created_by, false);
	return r;
}

int ix_steps_expand(const struct ix_stage *stage, const struct ix_image_config *base, const struct ix_steps_opts *opts,
		    struct ix_operations *ret_operations, struct ix_err *err)
{
	ix_auto_operations operations = { 0 };
	struct expansion self = { .stage = stage, .opts = opts, .config = &operations.config };
	int r = begin(stage, base, self.config, err);

	if (r < 0)
		return stage->pos.file ? ix_err_wrap(err, "%s:%u:%u", stage->pos.file, stage->pos.line, stage->pos.column) : r;
	for (; self.index < stage->nsteps; self.index++) {
		r = expand_step(&self, &stage->steps[self.index], &operations, err);
		if (r < 0)
			return ix_err_at_step(err, &stage->steps[self.index]);
	}
	finish(&self);
	*ret_operations = operations;
	operations = (struct ix_operations){ 0 };
	return 0;
}
