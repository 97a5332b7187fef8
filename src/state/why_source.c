#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "io/digest.h"
#include "why_int.h"

enum { LIST_MAX = 256 << 20, NAMES = 3 };

/* --- images, stages, URLs --- */

static void diff_image(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *before = why_brief(why_text(then, "digest"));
	ix_auto_free char *after = why_brief(why_text(now, "digest"));

	if (strcmp(why_text(then, "image"), why_text(now, "image")) != 0)
		because(reasons, "%s changed from %s to %s", role, why_text(then, "image"), why_text(now, "image"));
	else if (strcmp(why_text(then, "digest"), why_text(now, "digest")) != 0)
		because(reasons, "%s moved from %s to %s", why_text(now, "image"), before, after);
}

/* A stage under another name is the same as long as its key is. A step takes files from it, a base its config too. */
static void diff_stage(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	const char *key = strcmp(role, "base") == 0 ? "key" : "files";

	if (strcmp(why_text(then, key), why_text(now, key)) == 0)
		return;
	if (strcmp(why_text(then, "stage"), why_text(now, "stage")) != 0 && !json_is_true(json_object_get(now, "inner")))
		because(reasons, "%s is now stage %s instead of %s", role, why_text(now, "stage"), why_text(then, "stage"));
	else
		because_of_stage(reasons, then, now);
}

static void diff_url(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *before = why_brief(why_text(then, "is"));
	ix_auto_free char *after = why_brief(why_text(now, "is"));

	if (strcmp(before, after) != 0)
		because(reasons, "%s: %s changed from %s to %s", role, why_text(now, "url"), before, after);
}

void diff_source(const char *role, const json_t *then, const json_t *now, struct reasons *reasons)
{
	if (json_object_get(now, "image") && json_object_get(then, "image"))
		diff_image(role, then, now, reasons);
	else if (json_object_get(now, "stage") && json_object_get(then, "stage"))
		diff_stage(role, then, now, reasons);
	else if (json_object_get(now, "url") && strcmp(why_text(then, "url"), why_text(now, "url")) == 0)
		diff_url(role, then, now, reasons);
	else if (json_object_get(now, "secret") && !json_equal(then, now))
		because(reasons, "%s: secret %s changed", role, why_text(now, "secret"));
	else if (!json_equal(then, now))
		because(reasons, "%s changed", role);
}

/* --- files --- */

struct names {
	size_t count, most;
	struct ix_buf list;
};

static void note(struct names *names, const char *name, const char *how)
{
	if (names->count < names->most)
		ix_buf_printf(&names->list, "%s%s%s%s", names->count ? ", " : "", name, *how ? " " : "", how);
	else if (names->count == names->most)
		ix_buf_puts(&names->list, ", …");
	names->count++;
}

static void tell(struct ix_buf *line, const char *verb, struct names *names)
{
	if (names->count > 0)
		ix_buf_printf(line, "%s%zu %s (%s)", line->len ? ", " : "", names->count, verb, ix_buf_str(&names->list));
	ix_buf_release(&names->list);
}

static const char *mark_of(const json_t *entry)
{
	return json_string_value(entry) ? json_string_value(entry) : "";
}

/* "mode 0644 → 0755" when that is all that changed. Caller frees. */
static char *mode_change(const char *then, const char *now)
{
	size_t a = strspn(then, "01234567"), b = strspn(now, "01234567");

	if (a == 0 || b == 0 || strcmp(then + a, now + b) != 0)
		return ix_strdup("");
	return ix_asprintf("mode 0%.*s → 0%.*s", (int)a, then, (int)b, now);
}

static bool is_directory(const char *mark)
{
	return ix_ends(mark, "/") && !ix_starts(mark, "->");
}

/* Directories that hold something. */
static void find_parents(const json_t *entries, struct ix_map *parents)
{
	const char *path, *slash;
	json_t *entry;

	json_object_foreach((json_t *)(uintptr_t)entries, path, entry)
	{
		ix_auto_free char *parent = NULL;

		slash = strrchr(path, '/');
		parent = slash ? ix_strndup(path, (size_t)(slash - path)) : NULL;
		if (parent)
			ix_map_set(parents, parent, parents);
	}
}

/* What is in one list and not in the other. A directory is told of only when it is empty: otherwise what is in it says more. */
static void note_missing(struct names *names, const json_t *in, const json_t *from)
{
	ix_auto_map parents = { 0 };
	const char *path;
	json_t *entry;

	find_parents(in, &parents);
	json_object_foreach((json_t *)(uintptr_t)in, path, entry)
	{
		bool directory = is_directory(mark_of(entry));

		if (!json_object_get(from, path) && !(directory && ix_map_get(&parents, path)))
			note(names, path, directory ? "(directory)" : "");
	}
}

static void diff_files(const char *what, const json_t *then, const json_t *now, struct reasons *reasons)
{
	size_t most = reasons->lists && reasons->lists->names ? reasons->lists->names : NAMES;
	struct names changed = { .most = most }, added = { .most = most }, removed = { .most = most };
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
		ix_auto_free char *how = mode_change(mark_of(before), mark_of(entry));

		if (before && !json_equal(before, entry))
			note(&changed, path, how);
	}
	note_missing(&added, now, then);
	note_missing(&removed, then, now);
	tell(&line, "changed", &changed);
	tell(&line, "added", &added);
	tell(&line, "removed", &removed);
	if (line.len > 0)
		because(reasons, "%s: %s", what, ix_buf_str(&line));
	else
		because(reasons, "%s: files changed", what);
}

/* The files of a source: in the account, or in a list of its own; NULL when that cannot be had. The caller drops the reference. */
static json_t *entries_of(const json_t *source, const struct reasons *reasons)
{
	ix_auto_buf list = IX_BUF_INIT(LIST_MAX);
	struct ix_digest digest;
	struct ix_err ignored;

	if (json_object_get(source, "entries"))
		return json_incref(json_object_get(source, "entries"));
	if (!reasons->lists || !reasons->lists->get || ix_digest_parse(why_text(source, "list"), &digest, &ignored) < 0 ||
	    reasons->lists->get(reasons->lists->data, &digest, &list, &ignored) < 0)
		return NULL;
	return json_loadb(ix_buf_str(&list), list.len, JSON_REJECT_DUPLICATES, NULL);
}

/* Another source than before is another instruction, which is told of already. */
static bool same_place(const json_t *then, const json_t *now)
{
	const json_t *a = json_object_get(then, "path"), *b = json_object_get(now, "path");

	return a == b || json_equal(a, b);
}

void diff_sources(const char *what, const json_t *then, const json_t *now, struct reasons *reasons)
{
	for (size_t i = 0; i < json_array_size(now); i++) {
		const json_t *a = json_array_get(then, i), *b = json_array_get(now, i);
		auto_json *before = NULL, *after = NULL;

		if (!a || !same_place(a, b))
			continue;
		if (!json_object_get(b, "digest") || !json_object_get(a, "digest") || json_object_get(b, "image")) {
			diff_source(what, a, b, reasons);
			continue;
		}
		if (strcmp(why_text(a, "digest"), why_text(b, "digest")) == 0)
			continue;
		before = entries_of(a, reasons);
		after = entries_of(b, reasons);
		diff_files(what, before, after, reasons);
	}
}

/* --- arguments, settings, labels --- */

void diff_args(const json_t *then, const json_t *now, bool reworded, struct reasons *reasons)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)now, name, value)
	{
		const json_t *before = json_object_get(then, name);

		if (!before && reworded)
			continue;
		if (json_is_object(value) && json_is_object(before)) {
			if (strcmp(why_text(before, "key"), why_text(value, "key")) != 0)
				because_of_stage(reasons, before, value);
		} else if (!json_equal(before, value) && (json_string_value(before) || json_string_value(value))) {
			because(reasons, "ARG %s %s → %s", name, json_string_value(before) ? json_string_value(before) : "unset",
				json_string_value(value) ? json_string_value(value) : "unset");
		} else if (!json_equal(before, value)) {
			because(reasons, before ? "ARG %s changed" : "ARG %s is new", name);
		}
	}
	json_object_foreach((json_t *)(uintptr_t)then, name, value) if (!reworded && !json_object_get(now, name))
		because(reasons, "ARG %s is gone", name);
}

/* A setting in words. Caller frees. */
static char *setting_text(const json_t *value)
{
	ix_auto_buf text = { 0 };

	if (!value)
		return ix_strdup("default");
	if (json_is_integer(value))
		return ix_asprintf("%lld", (long long)json_integer_value(value));
	if (json_is_string(value))
		return ix_strdup(json_string_value(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		ix_buf_printf(&text, "%s%s", i ? " " : "", mark_of(json_array_get(value, i)));
	return ix_buf_steal(&text);
}

static void diff_setting(const char *name, const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *before = setting_text(then);
	ix_auto_free char *after = setting_text(now);

	if (strcmp(before, after) != 0)
		because(reasons, "%s of RUN %s → %s", name, before, after);
}

void diff_settings(const json_t *then, const json_t *now, struct reasons *reasons)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)now, name, value) diff_setting(name, json_object_get(then, name), value, reasons);
	json_object_foreach((json_t *)(uintptr_t)then, name, value) if (!json_object_get(now, name))
		diff_setting(name, value, NULL, reasons);
}

void diff_texts(const char *kind, const json_t *then, const json_t *now, struct reasons *reasons)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)now, name, value)
	{
		const json_t *before = json_object_get(then, name);

		if (before && !json_equal(before, value))
			because(reasons, "%s %s: %s → %s", kind, name, mark_of(before), mark_of(value));
		else if (!before)
			because(reasons, "%s %s is new: %s", kind, name, mark_of(value));
	}
	json_object_foreach((json_t *)(uintptr_t)then, name, value) if (!json_object_get(now, name))
		because(reasons, "%s %s is gone", kind, name);
}
