#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path.h"
#include "engine_int.h"

void config_shell(const struct ix_image_config *config, struct ix_strv *words)
{
	if (config->shell.count > 0) {
		ix_strv_copy(words, &config->shell);
		return;
	}
	ix_strv_add(words, "/bin/sh");
	ix_strv_add(words, "-c");
}

static void replace(struct ix_strv *list, struct ix_strv *with)
{
	ix_strv_release(list);
	*list = *with;
	*with = (struct ix_strv){ 0 };
}

/* Exec form as it stands; shell form behind the shell. */
static void command_words(struct build *build, const struct ix_step *step, size_t from, struct ix_strv *words)
{
	if (!step->exec)
		config_shell(&build->image.config, words);
	for (size_t i = from; i < step->nwords; i++)
		ix_strv_add(words, step->words[i]);
}

/* "CMD [\"a\" \"b\"]": Go prints a list of strings so in docker history. */
static char *quoted_list(const char *word, const struct ix_strv *words)
{
	ix_auto_buf text = { 0 };

	ix_buf_printf(&text, "%s [", word);
	for (size_t i = 0; i < words->count; i++) {
		ix_buf_puts(&text, i ? " \"" : "\"");
		for (const char *c = words->items[i]; *c; c++) {
			if (*c == '"' || *c == '\\')
				ix_buf_putc(&text, '\\');
			if (*c == '\n')
				ix_buf_puts(&text, "\\n");
			else if (*c == '\t')
				ix_buf_puts(&text, "\\t");
			else
				ix_buf_putc(&text, *c);
		}
		ix_buf_putc(&text, '"');
	}
	ix_buf_putc(&text, ']');
	return ix_buf_steal(&text);
}

static void history(struct build *build, char *text_take)
{
	image_history(&build->image, build->now, text_take, true);
	free(text_take);
}

static int apply_cmd(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = &build->image.config;
	ix_auto_strv words = { 0 };

	(void)err;
	command_words(build, step, 0, &words);
	history(build, quoted_list("CMD", &words));
	replace(&config->cmd, &words);
	config->has_cmd = true;
	config->args_escaped = true;
	return 0;
}

static bool cmd_set_here(const struct build *build)
{
	for (size_t i = 0; i < build->step; i++)
		if (build->stage->steps[i].kind == IX_STEP_CMD)
			return true;
	return false;
}

static int apply_entrypoint(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = &build->image.config;
	ix_auto_strv words = { 0 };

	(void)err;
	command_words(build, step, 0, &words);
	history(build, quoted_list("ENTRYPOINT", &words));
	replace(&config->entrypoint, &words);
	config->has_entrypoint = true;
	if (!cmd_set_here(build)) {
		/* A new entrypoint makes the command inherited from the base image meaningless. */
		ix_strv_release(&config->cmd);
		config->has_cmd = false;
	}
	return 0;
}

/* ENV and LABEL: pairs, all expanded before any is set. */
static int expand_pairs(struct build *build, const struct ix_step *step, struct ix_strv *pairs, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < step->nwords; i++) {
		char *text;

		r = build_expand(build, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		ix_strv_take(pairs, text);
	}
	return 0;
}

static void pairs_history(struct build *build, const char *word, const struct ix_strv *pairs)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, word);
	for (size_t i = 0; i + 1 < pairs->count; i += 2)
		ix_buf_printf(&text, " %s=%s", pairs->items[i], pairs->items[i + 1]);
	history(build, ix_buf_steal(&text));
}

static int apply_env(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv pairs = { 0 };
	int r = expand_pairs(build, step, &pairs, err);

	if (r < 0)
		return r;
	pairs_history(build, "ENV", &pairs);
	for (size_t i = 0; i + 1 < pairs.count; i += 2)
		ix_env_set(&build->image.config.env, pairs.items[i], pairs.items[i + 1]);
	return 0;
}

static int apply_label(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv pairs = { 0 };
	int r = expand_pairs(build, step, &pairs, err);

	if (r < 0)
		return r;
	pairs_history(build, "LABEL", &pairs);
	for (size_t i = 0; i + 1 < pairs.count; i += 2)
		ix_pairs_set(&build->image.config.labels, pairs.items[i], pairs.items[i + 1]);
	return 0;
}

/* Of one ARG instruction; the graph has a step for each of its names. */
static bool same_instruction(const struct ix_step *a, const struct ix_step *b)
{
	return a->kind == b->kind && a->pos.line == b->pos.line && a->trigger == b->trigger && a->text == b->text;
}

static int apply_arg(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	const struct ix_step *steps = build->stage->steps, *first = step;
	ix_auto_buf text = { 0 };

	(void)err;
	if (build->step + 1 < build->stage->nsteps && same_instruction(step, step + 1))
		return 0; /* told with the last one */
	while (first > steps && same_instruction(first - 1, step))
		first--;
	ix_buf_puts(&text, "ARG");
	for (; first <= step; first++) {
		ix_auto_free char *value = first->nargs > 0 ? build_arg_value(build, &first->args[0]) : NULL;

		ix_buf_printf(&text, " %s%s%s", first->words[0], value ? "=" : "", value ? value : "");
	}
	history(build, ix_buf_steal(&text));
	return 0;
}

static void add_sorted(struct ix_strv *list, const char *text)
{
	if (!ix_strv_has(list, text))
		ix_strv_add(list, text);
	ix_strv_sort(list);
}

/* Each port with its protocol. */
static int expose(struct build *build, const struct ix_step *step, const char *spec, struct ix_strv *shown, struct ix_err *err)
{
	unsigned first, last;
	char proto[5];

	if (ix_ports_parse(spec, &first, &last, proto, err) < 0)
		return err_at_step(err, step);
	for (unsigned port = first; port <= last; port++) {
		ix_auto_free char *text = ix_asprintf("%u/%s", port, proto);

		add_sorted(&build->image.config.exposed_ports, text);
		add_sorted(shown, text);
	}
	return 0;
}

static int apply_expose(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_strv shown = { 0 };
	int r;

	for (size_t i = 0; i < step->nwords; i++) {
		ix_auto_free char *text = NULL;
		char *rest, *word;

		r = build_expand(build, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		/* A variable may hold several ports. */
		for (word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
			if ((r = expose(build, step, word, &shown, err)) < 0)
				return r;
	}
	{
		ix_auto_buf text = { 0 };

		ix_buf_puts(&text, "EXPOSE [");
		for (size_t i = 0; i < shown.count; i++)
			ix_buf_printf(&text, "%s%s", i ? " " : "", shown.items[i]);
		ix_buf_putc(&text, ']');
		history(build, ix_buf_steal(&text));
	}
	return 0;
}

/* 1h0m0s, 1.5s, 100ms, 0s: as Go prints durations. */
static void put_duration(struct ix_buf *text, int64_t ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} small[] = { { "ms", 1000000 }, { "\302\265s", 1000 }, { "ns", 1 } };
	int64_t rest = ns % 60000000000, unit = 1000000000;
	const char *name = "s";

	if (ns >= 3600000000000)
		ix_buf_printf(text, "%lldh", (long long)(ns / 3600000000000));
	if (ns >= 60000000000)
		ix_buf_printf(text, "%lldm", (long long)(ns / 60000000000 % 60));
	for (size_t i = 0; ns > 0 && ns < 1000000000 && i < IX_ARRAY_LEN(small) && rest < unit; i++) {
		unit = small[i].ns;
		name = small[i].name;
	}
	ix_buf_printf(text, "%lld", (long long)(rest / unit));
	if (rest % unit) {
		ix_auto_free char *digits = ix_asprintf("%lld", (long long)(unit + rest % unit));
		size_t len = strlen(digits);

		while (digits[len - 1] == '0')
			digits[--len] = '\0';
		ix_buf_printf(text, ".%s", digits + 1);
	}
	ix_buf_puts(text, name);
}

/* A number as Go quotes it, which is as a character. */
static void put_rune(struct ix_buf *text, unsigned n)
{
	static const char names[] = "abtnvfr"; /* 7 to 13 */

	if (n >= 7 && n <= 13)
		ix_buf_printf(text, "'\\%c'", names[n - 7]);
	else if (n < 32 || n == 127)
		ix_buf_printf(text, "'\\x%02x'", n);
	else if (n < 127)
		ix_buf_printf(text, n == '\'' || n == '\\' ? "'\\%c'" : "'%c'", (char)n);
	else
		ix_buf_printf(text, "'\\u%04x'", n & 0xffff);
}

/* docker history shows the structure itself. */
static char *health_text(const struct ix_health *health)
{
	const int64_t durations[] = { health->interval, health->timeout, health->start_period, health->start_interval };
	ix_auto_free char *test = quoted_list("", &health->test);
	ix_auto_buf text = { 0 };

	ix_buf_printf(&text, "HEALTHCHECK &{%s", test + 1);
	for (size_t i = 0; i < IX_ARRAY_LEN(durations); i++) {
		ix_buf_puts(&text, " \"");
		put_duration(&text, durations[i]);
		ix_buf_putc(&text, '"');
	}
	ix_buf_putc(&text, ' ');
	put_rune(&text, (unsigned)health->retries);
	ix_buf_putc(&text, '}');
	return ix_buf_steal(&text);
}

static int apply_health(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	struct ix_image_config *config = &build->image.config;
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
	history(build, health_text(health));
	return 0;
}

static int apply_volume(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	ix_auto_buf shown = { 0 };
	int r;

	ix_buf_puts(&shown, "VOLUME [");
	for (size_t i = 0; i < step->nwords; i++) {
		ix_auto_free char *text = NULL;

		r = build_expand(build, step, step->words[i], &text, err);
		if (r < 0)
			return r;
		if (!*text)
			return ix_err_at(err, &step->pos, "VOLUME specified can not be an empty string");
		add_sorted(&build->image.config.volumes, text);
		ix_buf_printf(&shown, "%s%s", i ? " " : "", text);
	}
	ix_buf_putc(&shown, ']');
	history(build, ix_buf_steal(&shown));
	return 0;
}

/* USER, STOPSIGNAL, MAINTAINER: one word that becomes one field. */
static int set_field(struct build *build, const struct ix_step *step, char **field, struct ix_err *err)
{
	char *text;
	int r = build_expand(build, step, step->words[0], &text, err);

	if (r < 0)
		return r;
	free(*field);
	*field = text;
	history(build, ix_asprintf("%s %s", ix_step_word(step->kind), text));
	return 0;
}

static int apply_user(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	return set_field(build, step, &build->image.config.user, err);
}

static int apply_stopsignal(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	int r = set_field(build, step, &build->image.config.stop_signal, err);

	if (r < 0)
		return r;
	if (!ix_signal_known(build->image.config.stop_signal))
		return ix_err_at(err, &step->pos, "invalid signal: %s", build->image.config.stop_signal);
	return 0;
}

static int apply_maintainer(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	(void)err;
	free(build->image.config.author);
	build->image.config.author = ix_strdup(step->words[0]);
	history(build, ix_asprintf("MAINTAINER %s", step->words[0]));
	return 0;
}

static int apply_shell(struct build *build, const struct ix_step *step, struct ix_err *err)
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
	replace(&build->image.config.shell, &words);
	history(build, ix_buf_steal(&shown));
	return 0;
}

static int apply_onbuild(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	(void)err;
	ix_strv_add(&build->image.config.onbuild, step->words[0]);
	return 0;
}

static int (*const appliers[])(struct build *, const struct ix_step *, struct ix_err *) = {
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

int config_apply(struct build *build, const struct ix_step *step, struct ix_err *err)
{
	if (step->kind >= IX_ARRAY_LEN(appliers) || !appliers[step->kind])
		ix_bug("%s is not a config instruction", ix_step_word(step->kind));
	return appliers[step->kind](build, step, err);
}
