#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "state_int.h"

#define auto_json ix_scoped(json_decrefp) json_t

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

/* "sha256:0123456789ab…": enough to tell two apart. */
static char *brief(const char *digest)
{
	return strlen(digest) > 19 ? ix_asprintf("%.19s…", digest) : ix_strdup(digest);
}

static void diff_image(const char *role, const json_t *then, const json_t *now, struct ix_strv *causes)
{
	ix_auto_free char *before = brief(text_of(then, "digest"));
	ix_auto_free char *after = brief(text_of(now, "digest"));

	if (strcmp(text_of(then, "image"), text_of(now, "image")) != 0)
		ix_strv_addf(causes, "%s changed from %s to %s", role, text_of(then, "image"), text_of(now, "image"));
	else if (strcmp(text_of(then, "digest"), text_of(now, "digest")) != 0)
		ix_strv_addf(causes, "%s %s moved from %s to %s", role, text_of(now, "image"), before, after);
}

/* A parent or a source: an image, a stage, or nothing. */
static void diff_source(const char *role, const json_t *then, const json_t *now, struct ix_strv *causes)
{
	if (json_object_get(now, "image") && json_object_get(then, "image")) {
		diff_image(role, then, now, causes);
	} else if (json_object_get(now, "url") && strcmp(text_of(then, "url"), text_of(now, "url")) == 0) {
		ix_auto_free char *before = brief(text_of(then, "is"));
		ix_auto_free char *after = brief(text_of(now, "is"));

		ix_strv_addf(causes, "%s: %s changed from %s to %s", role, text_of(now, "url"), before, after);
	} else if (json_object_get(now, "stage") && json_object_get(then, "stage")) {
		if (strcmp(text_of(then, "stage"), text_of(now, "stage")) != 0)
			ix_strv_addf(causes, "%s is now stage %s instead of %s", role, text_of(now, "stage"), text_of(then, "stage"));
		else if (strcmp(text_of(then, "key"), text_of(now, "key")) != 0)
			ix_strv_addf(causes, "parent %s changed", text_of(now, "stage"));
	} else if (!json_equal(then, now)) {
		ix_strv_addf(causes, "%s changed", role);
	}
}

struct names {
	size_t count;
	struct ix_buf list;
};

static void note(struct names *names, const char *name)
{
	if (names->count < 3)
		ix_buf_printf(&names->list, "%s%s", names->count ? ", " : "", name);
	else if (names->count == 3)
		ix_buf_puts(&names->list, ", …");
	names->count++;
}

static void tell(struct ix_buf *line, const char *verb, struct names *names)
{
	if (names->count > 0)
		ix_buf_printf(line, "%s%zu %s (%s)", line->len ? ", " : "", names->count, verb, ix_buf_str(&names->list));
	ix_buf_release(&names->list);
}

static bool is_dir_mark(const json_t *entry)
{
	return ix_ends(json_string_value(entry) ? json_string_value(entry) : "", "/");
}

static void diff_files(const char *what, const json_t *then, const json_t *now, struct ix_strv *causes)
{
	struct names changed = { 0 }, added = { 0 }, removed = { 0 };
	ix_auto_buf line = { 0 };
	const char *path;
	json_t *entry;

	json_object_foreach((json_t *)(uintptr_t)now, path, entry)
	{
		const json_t *before = json_object_get(then, path);

		if (!before && !is_dir_mark(entry))
			note(&added, path);
		else if (before && !json_equal(before, entry))
			note(&changed, path);
	}
	json_object_foreach((json_t *)(uintptr_t)then, path, entry) if (!json_object_get(now, path) && !is_dir_mark(entry))
		note(&removed, path);
	tell(&line, "changed", &changed);
	tell(&line, "added", &added);
	tell(&line, "removed", &removed);
	if (line.len > 0)
		ix_strv_addf(causes, "%s: %s", what, ix_buf_str(&line));
	else
		ix_strv_addf(causes, "%s: files changed", what);
}

static void diff_args(const char *what, const json_t *then, const json_t *now, struct ix_strv *causes)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)now, name, value)
	{
		const json_t *before = json_object_get(then, name);

		if (json_equal(before, value))
			continue;
		if (json_is_object(value) || json_is_object(before))
			ix_strv_addf(causes, "parent %s changed", text_of(value, "stage"));
		else
			ix_strv_addf(causes, "%s: ARG %s %s → %s", what, name,
				     json_string_value(before) ? json_string_value(before) : "unset",
				     json_string_value(value) ? json_string_value(value) : "unset");
	}
	json_object_foreach((json_t *)(uintptr_t)then, name, value) if (!json_object_get(now, name))
		ix_strv_addf(causes, "%s: ARG %s is gone", what, name);
}

static void diff_sources(const char *what, const json_t *then, const json_t *now, struct ix_strv *causes)
{
	for (size_t i = 0; i < json_array_size(now); i++) {
		const json_t *a = json_array_get(then, i), *b = json_array_get(now, i);

		if (json_equal(a, b))
			continue;
		if (json_object_get(b, "entries") && a)
			diff_files(what, json_object_get(a, "entries"), json_object_get(b, "entries"), causes);
		else
			diff_source(what, a, b, causes);
	}
}

/* The first word and what it works on: "COPY src/ ./src" is known by "COPY src/". */
static char *step_name(const char *text)
{
	size_t first = strcspn(text, " "), second = first;

	while (text[second] == ' ') {
		size_t start = second + 1;

		second = start + strcspn(text + start, " ");
		if (text[start] != '-')
			break;
	}
	return second > 48 ? ix_asprintf("%.47s…", text) : ix_strndup(text, second);
}

static void diff_step(const json_t *then, const json_t *now, struct ix_strv *causes)
{
	ix_auto_free char *what = step_name(text_of(now, "text"));
	ix_auto_free char *shown = ix_printable(text_of(now, "text"), 60);

	if (strcmp(text_of(then, "text"), text_of(now, "text")) != 0) {
		ix_strv_addf(causes, "instruction changed: %s", shown);
		return;
	}
	diff_args(what, json_object_get(then, "args"), json_object_get(now, "args"), causes);
	diff_sources(what, json_object_get(then, "sources"), json_object_get(now, "sources"), causes);
}

static void diff_steps(const json_t *then, const json_t *now, struct ix_strv *causes)
{
	size_t old = json_array_size(then), n = json_array_size(now);

	for (size_t i = 0; i < n && i < old; i++) {
		size_t before = causes->count;

		diff_step(json_array_get(then, i), json_array_get(now, i), causes);
		/* Behind an inserted or removed line everything is shifted, and says nothing more. */
		if (causes->count > before && ix_starts(causes->items[before], "instruction changed"))
			return;
	}
	if (n > old) {
		ix_auto_free char *shown = ix_printable(text_of(json_array_get(now, old), "text"), 60);

		ix_strv_addf(causes, "instruction added: %s", shown);
	} else if (n < old) {
		ix_auto_free char *shown = ix_printable(text_of(json_array_get(then, n), "text"), 60);

		ix_strv_addf(causes, "instruction removed: %s", shown);
	}
}

int ix_account_diff(const char *then, size_t then_len, const char *now, size_t now_len, struct ix_strv *causes, struct ix_err *err)
{
	auto_json *a = json_loadb(then, then_len, JSON_REJECT_DUPLICATES, NULL);
	auto_json *b = json_loadb(now, now_len, JSON_REJECT_DUPLICATES, NULL);

	if (!a || !b)
		return ix_err_set(err, IX_ECORRUPT, "the account of a key is damaged");
	if (strcmp(text_of(a, "key"), text_of(b, "key")) == 0)
		return 0;
	if (strcmp(text_of(a, "platform"), text_of(b, "platform")) != 0)
		ix_strv_addf(causes, "platform %s → %s", text_of(a, "platform"), text_of(b, "platform"));
	diff_source("base", json_object_get(a, "base"), json_object_get(b, "base"), causes);
	diff_steps(json_object_get(a, "steps"), json_object_get(b, "steps"), causes);
	if (!json_equal(json_object_get(a, "labels"), json_object_get(b, "labels")))
		ix_strv_add(causes, "labels changed");
	if (causes->count == 0)
		ix_strv_add(causes, "it was built with other settings");
	return 0;
}
