#include "json_int.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"

int json_load_object(const void *bytes, size_t len, const char *what, json_t **ret_json, struct ix_err *err)
{
	json_error_t why;
	json_t *json = json_loadb(bytes ? bytes : "", len, JSON_REJECT_DUPLICATES, &why);

	if (!json) {
		ix_auto_free char *text = ix_printable(why.text, 120);

		return ix_err_set(err, IX_ECORRUPT, "%s: line %d, column %d: %s", what, why.line, why.column, text);
	}
	if (!json_is_object(json)) {
		json_decref(json);
		return ix_err_set(err, IX_ECORRUPT, "%s: not a JSON object", what);
	}
	*ret_json = json;
	return 0;
}

/* The member, NULL when absent or null; an error when it has another type. */
static int member(const json_t *object, const char *key, json_type type, json_t **ret_value, struct ix_err *err)
{
	json_t *value = json_object_get(object, key);

	*ret_value = NULL;
	if (!value || json_is_null(value))
		return 0;
	if (json_typeof(value) != type)
		return ix_err_set(err, IX_ECORRUPT, "member '%s' has the wrong type", key);
	*ret_value = value;
	return 0;
}

int json_take_string(const json_t *object, const char *key, char **ret_text, struct ix_err *err)
{
	json_t *value;
	int r = member(object, key, JSON_STRING, &value, err);

	if (r < 0)
		return r;
	if (value) {
		free(*ret_text);
		*ret_text = ix_strdup(json_string_value(value));
	}
	return 0;
}

int json_take_word(const json_t *object, const char *key, char **ret_text, struct ix_err *err)
{
	ix_auto_free char *text = NULL;
	int r = json_take_string(object, key, &text, err);

	if (r < 0)
		return r;
	if (text && *text) {
		free(*ret_text);
		*ret_text = ix_steal(&text);
	}
	return 0;
}

int json_take_object(const json_t *object, const char *key, const json_t **ret_object, struct ix_err *err)
{
	json_t *value;
	int r = member(object, key, JSON_OBJECT, &value, err);

	if (r < 0)
		return r;
	*ret_object = value;
	return 0;
}

int json_take_array(const json_t *object, const char *key, const json_t **ret_array, struct ix_err *err)
{
	json_t *value;
	int r = member(object, key, JSON_ARRAY, &value, err);

	if (r < 0)
		return r;
	*ret_array = value;
	return 0;
}

int json_take_strings(const json_t *object, const char *key, struct ix_strv *list, struct ix_err *err)
{
	json_t *value, *item;
	size_t i;
	int r = member(object, key, JSON_ARRAY, &value, err);

	if (r < 0)
		return r;
	json_array_foreach(value, i, item)
	{
		if (!json_is_string(item) && !json_is_null(item))
			return ix_err_set(err, IX_ECORRUPT, "member '%s' has the wrong type: an element is not text", key);
		ix_strv_add(list, json_is_null(item) ? "" : json_string_value(item));
	}
	return 0;
}

int json_take_pairs(const json_t *object, const char *key, struct ix_strv *pairs, struct ix_err *err)
{
	json_t *value, *item;
	const char *name;
	int r = member(object, key, JSON_OBJECT, &value, err);

	if (r < 0)
		return r;
	json_object_foreach(value, name, item)
	{
		if (!json_is_string(item) && !json_is_null(item))
			return ix_err_set(err, IX_ECORRUPT, "member '%s' has the wrong type: a value is not text", key);
		ix_strv_add(pairs, name);
		ix_strv_add(pairs, json_is_null(item) ? "" : json_string_value(item));
	}
	return 0;
}

int json_take_keys(const json_t *object, const char *key, struct ix_strv *list, struct ix_err *err)
{
	json_t *value, *item;
	const char *name;
	int r = member(object, key, JSON_OBJECT, &value, err);

	if (r < 0)
		return r;
	json_object_foreach(value, name, item) ix_strv_add(list, name);
	return 0;
}

int json_take_int(const json_t *object, const char *key, int64_t *ret_value, struct ix_err *err)
{
	json_t *value;
	int r = member(object, key, JSON_INTEGER, &value, err);

	if (r < 0)
		return r;
	if (value)
		*ret_value = json_integer_value(value);
	return 0;
}

int json_take_bool(const json_t *object, const char *key, bool *ret_value, struct ix_err *err)
{
	const json_t *value = json_object_get(object, key);

	if (value && !json_is_null(value) && !json_is_boolean(value))
		return ix_err_set(err, IX_ECORRUPT, "member '%s' has the wrong type", key);
	*ret_value = json_is_true(value);
	return 0;
}

int json_take_command(const json_t *object, const char *key, struct ix_strv *list, bool *ret_given, struct ix_err *err)
{
	const json_t *value = json_object_get(object, key);

	*ret_given = value && !json_is_null(value);
	if (json_is_string(value)) {
		ix_strv_add(list, json_string_value(value));
		return 0;
	}
	return json_take_strings(object, key, list, err);
}

int json_need_digest(const json_t *object, const char *key, struct ix_digest *ret_digest, struct ix_err *err)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text)
		return ix_err_set(err, IX_ECORRUPT, "member '%s' is missing or has the wrong type", key);
	return ix_digest_parse(text, ret_digest, err);
}

int json_need_size(const json_t *object, const char *key, uint64_t *ret_size, struct ix_err *err)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return ix_err_set(err, IX_ECORRUPT, "member '%s' is missing or not a size", key);
	*ret_size = (uint64_t)json_integer_value(value);
	return 0;
}

void json_put_string(json_t *object, const char *key, const char *text)
{
	if (text && *text && json_object_set_new(object, key, json_string(text)) < 0)
		json_object_set_new(object, key, json_string("")); /* not UTF-8: JSON cannot hold it */
}

json_t *json_of_strings(const struct ix_strv *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

void json_put_strings(json_t *object, const char *key, const struct ix_strv *list)
{
	if (list->count > 0)
		json_object_set_new(object, key, json_of_strings(list));
}

void json_put_pairs(json_t *object, const char *key, const struct ix_strv *pairs)
{
	json_t *members;

	if (pairs->count == 0)
		return;
	members = json_object();
	for (size_t i = 0; i + 1 < pairs->count; i += 2)
		json_object_set_new(members, pairs->items[i], json_string(pairs->items[i + 1]));
	json_object_set_new(object, key, members);
}

void json_put_keys(json_t *object, const char *key, const struct ix_strv *list)
{
	json_t *members;

	if (list->count == 0)
		return;
	members = json_object();
	for (size_t i = 0; i < list->count; i++)
		json_object_set_new(members, list->items[i], json_object());
	json_object_set_new(object, key, members);
}

static int dump(const char *bytes, size_t len, void *data)
{
	ix_buf_put(data, bytes, len);
	return 0;
}

void json_write_take(json_t *json, struct ix_buf *buf)
{
	if (json_dump_callback(json, dump, buf, JSON_COMPACT | JSON_SORT_KEYS) < 0)
		ix_bug("cannot write JSON");
	json_decref(json);
}
