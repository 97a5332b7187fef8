#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "state_int.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { LIST_MAX = 256 << 20 };

/* What was found so far, and where lists are. */
struct reasons {
	struct ix_causes *causes;
	const struct ix_account_lists *lists;
};

static void add_cause_take(struct reasons *reasons, char *text, const char *parent, const char *then_key)
{
	struct ix_causes *causes = reasons->causes;
	struct ix_cause *cause;
	struct ix_err ignored;

	/* An argument that five steps see is one cause. */
	for (size_t i = 0; i < causes->count; i++) {
		if (strcmp(causes->items[i].text, text) == 0) {
			free(text);
			return;
		}
	}
	causes->items = ix_realloc_array(causes->items, causes->count + 1, sizeof(*causes->items));
	cause = &causes->items[causes->count++];
	*cause = (struct ix_cause){ .text = text };
	if (parent && ix_digest_parse(then_key, &cause->then_key, &ignored) == 0)
		cause->parent = ix_strdup(parent);
}

static void because(struct reasons *reasons, const char *fmt, ...) ix_printf(2, 3);
static void because(struct reasons *reasons, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	add_cause_take(reasons, ix_buf_steal(&text), NULL, NULL);
}

static void parent_changed(struct reasons *reasons, const char *stage, const char *then_key)
{
	add_cause_take(reasons, ix_asprintf("parent %s was rebuilt", stage), stage, then_key);
}

void ix_causes_release(struct ix_causes *causes)
{
	for (size_t i = 0; i < causes->count; i++) {
		free(causes->items[i].text);
		free(causes->items[i].parent);
	}
	free(causes->items);
	*causes = (struct ix_causes){ 0 };
}

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

static void diff_image(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *before = brief(text_of(then, "digest"));
	ix_auto_free char *after = brief(text_of(now, "digest"));

	if (strcmp(text_of(then, "image"), text_of(now, "image")) != 0)
		because(reasons, "%s changed from %s to %s", role, text_of(then, "image"), text_of(now, "image"));
	else if (strcmp(text_of(then, "digest"), text_of(now, "digest")) != 0)
		because(reasons, "%s moved from %s to %s", text_of(now, "image"), before, after);
}

/* A parent or a source: an image, a stage, or nothing. */
static void diff_source(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	if (json_object_get(now, "image") && json_object_get(then, "image")) {
		diff_image(role, then, now, reasons);
	} else if (json_object_get(now, "url") && strcmp(text_of(then, "url"), text_of(now, "url")) == 0) {
		ix_auto_free char *before = brief(text_of(then, "is"));
		ix_auto_free char *after = brief(text_of(now, "is"));

		because(reasons, "%s: %s changed from %s to %s", role, text_of(now, "url"), before, after);
	} else if (json_object_get(now, "secret")) {
		because(reasons, "%s: secret %s changed", role, text_of(now, "secret"));
	} else if (json_object_get(now, "stage") && json_object_get(then, "stage")) {
		if (strcmp(text_of(then, "stage"), text_of(now, "stage")) != 0)
			because(reasons, "%s is now stage %s instead of %s", role, text_of(now, "stage"), text_of(then, "stage"));
		else if (strcmp(text_of(then, "key"), text_of(now, "key")) != 0)
			parent_changed(reasons, text_of(now, "stage"), text_of(then, "key"));
	} else if (!json_equal(then, now)) {
		because(reasons, "%s changed", role);
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

static void diff_files(const char *what, const json_t *then, const json_t *now, struct reasons *reasons)
{
	struct names changed = { 0 }, added = { 0 }, removed = { 0 };
	ix_auto_buf line = { 0 };
	const char *path;
	json_t *entry;

	if (!then || !now) {
		because(reasons, "%s: files changed", what);
		return;
	}

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
		because(reasons, "%s: %s", what, ix_buf_str(&line));
	else
		because(reasons, "%s: files changed", what);
}

static void diff_args(const json_t *then, const json_t *now, struct reasons *reasons)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)now, name, value)
	{
		const json_t *before = json_object_get(then, name);

		if (json_equal(before, value))
			continue;
		if (json_is_object(value) || json_is_object(before))
			parent_changed(reasons, text_of(value, "stage"), text_of(before, "key"));
		else
			because(reasons, "ARG %s %s → %s", name, json_string_value(before) ? json_string_value(before) : "unset",
				json_string_value(value) ? json_string_value(value) : "unset");
	}
	json_object_foreach((json_t *)(uintptr_t)then, name, value) if (!json_object_get(now, name))
		because(reasons, "ARG %s is gone", name);
}

/* The files of a source: in the account, or in a list of its own; NULL when that cannot be had. The caller drops the reference. */
static json_t *entries_of(const json_t *source, const struct reasons *reasons)
{
	ix_auto_buf list = IX_BUF_INIT(LIST_MAX);
	struct ix_digest digest;
	struct ix_err ignored;

	if (json_object_get(source, "entries"))
		return json_incref(json_object_get(source, "entries"));
	if (!reasons->lists || ix_digest_parse(text_of(source, "list"), &digest, &ignored) < 0 ||
	    reasons->lists->get(reasons->lists->data, &digest, &list, &ignored) < 0)
		return NULL;
	return json_loadb(ix_buf_str(&list), list.len, JSON_REJECT_DUPLICATES, NULL);
}

static void diff_sources(const char *what, const json_t *then, const json_t *now, struct reasons *reasons)
{
	for (size_t i = 0; i < json_array_size(now); i++) {
		const json_t *a = json_array_get(then, i), *b = json_array_get(now, i);

		if (json_object_get(b, "files") && a) {
			auto_json *before = NULL, *after = NULL;

			if (strcmp(text_of(a, "digest"), text_of(b, "digest")) == 0)
				continue;
			before = entries_of(a, reasons);
			after = entries_of(b, reasons);
			diff_files(what, before, after, reasons);
		} else if (!json_equal(a, b)) {
			diff_source(what, a, b, reasons);
		}
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

static void diff_step(const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *what = step_name(text_of(now, "text"));
	ix_auto_free char *shown = ix_printable(text_of(now, "text"), 60);

	if (strcmp(text_of(then, "text"), text_of(now, "text")) != 0) {
		because(reasons, "instruction changed: %s", shown);
		return;
	}
	diff_args(json_object_get(then, "args"), json_object_get(now, "args"), reasons);
	diff_sources(what, json_object_get(then, "sources"), json_object_get(now, "sources"), reasons);
}

static void diff_steps(const json_t *then, const json_t *now, struct reasons *reasons)
{
	size_t old = json_array_size(then), n = json_array_size(now);

	for (size_t i = 0; i < n && i < old; i++) {
		size_t before = reasons->causes->count;

		diff_step(json_array_get(then, i), json_array_get(now, i), reasons);
		/* Behind an inserted or removed line everything is shifted, and says nothing more. */
		if (reasons->causes->count > before && ix_starts(reasons->causes->items[before].text, "instruction changed"))
			return;
	}
	if (n > old) {
		ix_auto_free char *shown = ix_printable(text_of(json_array_get(now, old), "text"), 60);

		because(reasons, "instruction added: %s", shown);
	} else if (n < old) {
		ix_auto_free char *shown = ix_printable(text_of(json_array_get(then, n), "text"), 60);

		because(reasons, "instruction removed: %s", shown);
	}
}

static bool same(const json_t *then, const json_t *now, const char *member)
{
	const json_t *a = json_object_get(then, member), *b = json_object_get(now, member);

	return a == b || json_equal(a, b);
}

/* What no rule above told about. */
static void diff_rest(const json_t *then, const json_t *now, struct reasons *reasons)
{
	if (!same(then, now, "labels"))
		because(reasons, "labels changed");
	if (!same(then, now, "run_settings"))
		because(reasons, "settings of RUN changed");
	if (!same(then, now, "key_format"))
		because(reasons, "another version of ix computes keys otherwise");
	if (reasons->causes->count == 0)
		because(reasons, "it was built with other settings");
}

int ix_account_diff(const struct ix_buf *then, const struct ix_buf *now, const struct ix_account_lists *lists, struct ix_causes *ret_causes,
		    struct ix_err *err)
{
	auto_json *a = json_loadb(ix_buf_str(then), then->len, JSON_REJECT_DUPLICATES, NULL);
	auto_json *b = json_loadb(ix_buf_str(now), now->len, JSON_REJECT_DUPLICATES, NULL);
	ix_auto_causes causes = { 0 };
	struct reasons reasons = { &causes, lists };

	if (!json_is_object(a) || !json_is_object(b))
		return ix_err_set(err, IX_ECORRUPT, "the account of a key is damaged");
	if (strcmp(text_of(a, "key"), text_of(b, "key")) == 0)
		return 0;
	if (strcmp(text_of(a, "platform"), text_of(b, "platform")) != 0)
		because(&reasons, "platform %s → %s", text_of(a, "platform"), text_of(b, "platform"));
	diff_source("base", json_object_get(a, "base"), json_object_get(b, "base"), &reasons);
	diff_steps(json_object_get(a, "steps"), json_object_get(b, "steps"), &reasons);
	diff_rest(a, b, &reasons);
	*ret_causes = causes;
	causes = (struct ix_causes){ 0 };
	return 0;
}
