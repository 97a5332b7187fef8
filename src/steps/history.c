/* docker history, as docker words it. */
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "steps_int.h"

/* "CMD [\"a\" \"b\"]": Go prints a list of strings so in docker history. */
char *history_list(const char *word, const struct ix_strv *words)
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
		ix_auto_free char *digits = ix_asprintf("%lld", (long long)unit + (long long)(rest % unit));
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
char *history_health(const struct ix_health *health)
{
	const int64_t durations[] = { health->interval, health->timeout, health->start_period, health->start_interval };
	ix_auto_free char *test = history_list("", &health->test);
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

/* As --chown=... and --chmod=... are written, but expanded; nothing when there is nothing. */
char *history_copy(const struct ix_operation *operation, const char *chmod)
{
	const struct ix_step *step = operation->step;
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, ix_step_word(step->kind));
	if (operation->chown)
		ix_buf_printf(&text, " --chown=%s", operation->chown);
	if (chmod && *chmod)
		ix_buf_printf(&text, " --chmod=%s", chmod);
	for (size_t i = 0; i < step->nwords; i++)
		ix_buf_printf(&text, " %s", step->words[i]);
	ix_buf_printf(&text, " %s # buildkit", operation->dest);
	return ix_buf_steal(&text);
}

char *history_run(const struct expansion *self, const struct ix_operation *operation)
{
	const struct ix_step *step = operation->step;
	ix_auto_strv words = { 0 };
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, "RUN ");
	if (step->nargs > 0)
		ix_buf_printf(&text, "|%zu ", step->nargs);
	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = expand_arg(self, &step->args[i]);
		const char *env = ix_env_get(&self->config->env, step->args[i].name);

		ix_buf_printf(&text, "%s=%s ", step->args[i].name, value ? value : env ? env : "");
	}
	if (operation->file)
		command_shell(self->config, &words); /* docker tells it so */
	for (size_t i = 0; i < operation->argv.count; i++)
		ix_strv_add(&words, operation->argv.items[i]);
	for (size_t i = 0; i < words.count; i++)
		ix_buf_printf(&text, "%s%s", words.items[i], i + 1 < words.count ? " " : "");
	ix_buf_puts(&text, " # buildkit");
	return ix_buf_steal(&text);
}

void history_add(const struct expansion *self, const char *created_by, bool empty_layer)
{
	struct ix_history *entry = ix_config_add_history(self->config);

	entry->created = ix_strdup(self->opts->now);
	entry->created_by = ix_strdup(created_by);
	entry->comment = ix_strdup("buildkit.dockerfile.v0");
	entry->empty_layer = empty_layer;
}
