/* Instructions that only change the config. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "oci/image.h"
#include "steps_int.h"

static void replace(struct ix_strv *list, struct ix_strv *with)
{
	ix_strv_release(list);
	*list = *with;
	*with = (struct ix_strv){ 0 };
}

/* Exec form as it stands; shell form behind the shell. */
static void command_words(const struct expansion *self, const struct ix_step *step, struct ix_strv *words)
{
	if (!step->exec)
		command_shell(self->config, words);
	for (size_t i = 0; i < step->nwords; i++)
		ix_strv_add(words, step->words[i]);
}

static void history(const struct expansion *self, char *text_take)
{
	history_add(self, text_take, true);
	free(text_take);
}

static int apply_cmd(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = self->config;
	ix_auto_strv words = { 0 };

	(void)err;
	command_words(self, step, &words);
	history(self, history_list("CMD", &words));
	replace(&config->cmd, &words);
	config->has_cmd = true;
	config->args_escaped = true;
	return 0;
}

static bool cmd_set_here(const struct expansion *self)
{
	for (size_t i = 0; i < self->index; i++)
		if (self->stage->steps[i].kind == IX_STEP_CMD)
			return true;
	return false;
}

static int apply_entrypoint(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = self->config;
	ix_auto_strv words = { 0 };

	(void)err;
	command_words(self, step, &words);
	history(self, history_list("ENTRYPOINT", &words));
	replace(&config->entrypoint, &words);
	config->has_entrypoint = true;
	if (!cmd_set_here(self)) {
		/* A new entrypoint makes the command inherited from the base image meaningless. */
		ix_strv_release(&config->cmd);
		config->has_cmd = false;
	}
	return 0;
}

/* ENV and LABEL: pairs, all expanded before any is set. */
static int expand_pairs(struct expansion *self, const struct ix_step *step, struct ix_strv *pairs, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < step->nwords; i++) {
		char *text;

		r = expand_word(self, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		ix_strv_take(pairs, text);
	}
	return 0;
}

static void pairs_history(struct expansion *self, const char *word, const struct ix_strv *pairs)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, word);
	for (size_t i = 0; i + 1 < pairs->count; i += 2)
		ix_buf_printf(&text, " %s=%s", pairs->items[i], pairs->items[i + 1]);
	history(self, ix_buf_steal(&text));
}

static int apply_env(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv pairs = { 0 };
	int r = expand_pairs(self, step, &pairs, err);

	if (r < 0)
		return r;
	pairs_history(self, "ENV", &pairs);
	for (size_t i = 0; i + 1 < pairs.count; i += 2)
		ix_env_set(&self->config->env, pairs.items[i], pairs.items[i + 1]);
	return 0;
}

static int apply_label(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv pairs = { 0 };
	int r = expand_pairs(self, step, &pairs, err);

	if (r < 0)
		return r;
	pairs_history(self, "LABEL", &pairs);
	for (size_t i = 0; i + 1 < pairs.count; i += 2)
		ix_pairs_set(&self->config->labels, pairs.items[i], pairs.items[i + 1]);
	return 0;
}

/* Of one ARG instruction; the graph has a step for each of its names. */
static bool same_instruction(const struct ix_step *a, const struct ix_step *b)
{
	return a->kind == b->kind && a->pos.line == b->pos.line && a->trigger == b->trigger && a->text == b->text;
}

static int apply_arg(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	const struct ix_step *steps = self->stage->steps, *first = step;
	ix_auto_buf text = { 0 };

	(void)err;
	if (self->index + 1 < self->stage->nsteps && same_instruction(step, step + 1))
		return 0; /* told with the last one */
	while (first > steps && same_instruction(first - 1, step))
		first--;
	ix_buf_puts(&text, "ARG");
	for (; first <= step; first++) {
		ix_auto_free char *value = first->nargs > 0 ? expand_arg(self, &first->args[0]) : NULL;

		ix_buf_printf(&text, " %s%s%s", first->words[0], value ? "=" : "", value ? value : "");
	}
	history(self, ix_buf_steal(&text));
	return 0;
}

static void add_sorted(struct ix_strv *list, const char *text)
{
	if (!ix_strv_has(list, text))
		ix_strv_add(list, text);
	ix_strv_sort(list);
}

/* Each port with its protocol. */
static int expose(struct expansion *self, const struct ix_step *step, const char *spec, struct ix_strv *shown, struct ix_err *err)
{
	unsigned first, last;
	char proto[5];

	if (ix_ports_parse(spec, &first, &last, proto, err) < 0)
		return ix_err_at_step(err, step);
	for (unsigned port = first; port <= last; port++) {
		ix_auto_free char *text = ix_asprintf("%u/%s", port, proto);

		add_sorted(&self->config->exposed_ports, text);
		ix_strv_add(shown, text);
	}
	return 0;
}

static int apply_expose(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv shown = { 0 };
	int r;

	for (size_t i = 0; i < step->nwords; i++) {
		ix_auto_free char *text = NULL;
		char *rest, *word;

		r = expand_word(self, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		/* A variable may hold several ports. */
		for (word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
			if ((r = expose(self, step, word, &shown, err)) < 0)
				return r;
	}
	{
		ix_auto_buf text = { 0 };

		ix_buf_puts(&text, "EXPOSE [");
		for (size_t i = 0; i < shown.count; i++)
			ix_buf_printf(&text, "%s%s", i ? " " : "", shown.items[i]);
		ix_buf_putc(&text, ']');
		history(self, ix_buf_steal(&text));
	}
	return 0;
}

static int apply_health(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = self->config;
	struct ix_health *health = ix_calloc(1, sizeof(*health));

	(void)err;
	if (strcmp(step->words[0], "NONE") == 0) {
		ix_strv_add(&health->test, "NONE");
	} else {
		ix_strv_add(&health->test, step->exec ? "CMD" : "CMD-SHELL");
		for (size_t i = 1; i < step->nwords; i++)
			ix_strv_add(&health->test, step->words[i]);
	}
	health->interval = step->interval;
	health->timeout = step->timeout;
	health->start_period = step->start_period;
	health->start_interval = step->start_interval;
	health->retries = step->retries;
	if (config->health)
		ix_strv_release(&config->health->test);
	free(config->health);
	config->health = health;
	history(self, history_health(health));
	return 0;
}

static int apply_volume(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_buf shown = { 0 };
	int r;

	ix_buf_puts(&shown, "VOLUME [");
	for (size_t i = 0; i < step->nwords; i++) {
		ix_auto_free char *text = NULL;

		r = expand_word(self, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		if (!*text)
			return ix_err_at(err, &step->pos, "VOLUME specified can not be an empty string");
		add_sorted(&self->config->volumes, text);
		ix_buf_printf(&shown, "%s%s", i ? " " : "", text);
	}
	ix_buf_putc(&shown, ']');
	history(self, ix_buf_steal(&shown));
	return 0;
}

/* USER, STOPSIGNAL, MAINTAINER: one word that becomes one field. */
static int set_field(struct expansion *self, const struct ix_step *step, char **field, struct ix_err *err)
{
	char *text;
	int r = expand_word(self, step, step->words[0], &text, err);

	if (r < 0)
		return r;
	free(*field);
	*field = text;
	history(self, ix_asprintf("%s %s", ix_step_word(step->kind), text));
	return 0;
}

static int apply_user(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	return set_field(self, step, &self->config->user, err);
}

static int apply_stopsignal(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	int r = set_field(self, step, &self->config->stop_signal, err);

	if (r < 0)
		return r;
	if (!ix_signal_known(self->config->stop_signal))
		return ix_err_at(err, &step->pos, "invalid signal: %s", self->config->stop_signal);
	return 0;
}

static int apply_maintainer(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	(void)err;
	free(self->config->author);
	self->config->author = ix_strdup(step->words[0]);
	history(self, ix_asprintf("MAINTAINER %s", step->words[0]));
	return 0;
}

static int apply_shell(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv words = { 0 };
	ix_auto_buf shown = { 0 };

	(void)err;
	ix_buf_puts(&shown, "SHELL [");
	for (size_t i = 0; i < step->nwords; i++) {
		ix_strv_add(&words, step->words[i]);
		ix_buf_printf(&shown, "%s%s", i ? " " : "", step->words[i]);
	}
	ix_buf_putc(&shown, ']');
	replace(&self->config->shell, &words);
	history(self, ix_buf_steal(&shown));
	return 0;
}

static int apply_onbuild(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	(void)err;
	ix_strv_add(&self->config->onbuild, step->words[0]);
	return 0;
}

static int (*const appliers[])(struct expansion *, const struct ix_step *, struct ix_err *) = {
	[IX_STEP_ARG] = apply_arg,
	[IX_STEP_CMD] = apply_cmd,
	[IX_STEP_ENTRYPOINT] = apply_entrypoint,
	[IX_STEP_ENV] = apply_env,
	[IX_STEP_EXPOSE] = apply_expose,
	[IX_STEP_HEALTHCHECK] = apply_health,
	[IX_STEP_LABEL] = apply_label,
	[IX_STEP_MAINTAINER] = apply_maintainer,
	[IX_STEP_ONBUILD] = apply_onbuild,
	[IX_STEP_SHELL] = apply_shell,
	[IX_STEP_STOPSIGNAL] = apply_stopsignal,
	[IX_STEP_USER] = apply_user,
	[IX_STEP_VOLUME] = apply_volume,
	[IX_STEP_WORKDIR] = NULL,
};

int config_apply(struct expansion *self, const struct ix_step *step, struct ix_err *err)
{
	if (step->kind >= IX_ARRAY_LEN(appliers) || !appliers[step->kind])
		ix_bug("%s is not a config instruction", ix_step_word(step->kind));
	return appliers[step->kind](self, step, err);
}
