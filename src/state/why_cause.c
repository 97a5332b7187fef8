/* Causes: what is said, once each, and about what. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "io/digest.h"
#include "why_int.h"

enum { INNER_DEPTH = 200 };

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

void because(struct reasons *reasons, const char *fmt, ...)
{
	ix_auto_buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	if (reasons->where)
		ix_buf_puts(&text, reasons->where);
	add_cause_take(reasons, ix_buf_steal(&text), NULL, NULL);
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

const char *why_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

char *why_brief(const char *digest)
{
	return strlen(digest) > 19 ? ix_asprintf("%.19s…", digest) : ix_strdup(digest);
}

/* "work (Dockerfile:2)": as its file calls it. */
static char *inner_name(const char *name, const json_t *account)
{
	const char *file = json_string_value(json_object_get(account, "file"));
	json_int_t line = json_integer_value(json_object_get(account, "line"));

	return file ? ix_asprintf("%s (%s:%lld)", name, file, (long long)line) : ix_strdup(name);
}

static void because_of_inner(struct reasons *reasons, const char *stage)
{
	const json_t *then = json_object_get(reasons->then_inner, stage), *now = json_object_get(reasons->now_inner, stage);
	ix_auto_free char *name = inner_name(stage, now);
	char *outer = reasons->where;

	if (ix_map_get(&reasons->told, stage))
		return;
	ix_map_set(&reasons->told, stage, reasons);
	/* Depth comes from a record, and so from outside. */
	if (!then || !now || reasons->depth >= INNER_DEPTH) {
		because(reasons, "inner stage %s changed", name);
		return;
	}
	reasons->depth++;
	reasons->where = ix_asprintf(", in %s", name);
	reasons->diff_account(then, now, reasons);
	free(reasons->where);
	reasons->where = outer;
	reasons->depth--;
}

void because_of_stage(struct reasons *reasons, const json_t *then, const json_t *now)
{
	const char *stage = why_text(now, "stage");

	if (json_is_true(json_object_get(now, "inner")))
		because_of_inner(reasons, stage);
	else
		add_cause_take(reasons, ix_asprintf("parent %s changed%s", stage, reasons->where ? reasons->where : ""), stage,
			       why_text(then, "key"));
}
