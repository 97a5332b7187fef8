/* Reading JSON objects field by field with bounds, over jansson. */
#ifndef IX_OCI_JSON_INT_H
#define IX_OCI_JSON_INT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"

#define auto_json ix_scoped(json_decrefp) json_t

/* An object, or IX_ECORRUPT with what is wrong. The caller decrefs. */
int json_load_object(const void *bytes, size_t len, const char *what, json_t **ret_json, struct ix_err *err);
/* Optional members: absent and null leave the output as it is; another type is IX_ECORRUPT. */
int json_take_string(const json_t *object, const char *key, char **ret_text, struct ix_err *err);
int json_take_strings(const json_t *object, const char *key, struct ix_strv *list, struct ix_err *err);
/* Members of an object of strings as key, value, ...; or its keys alone. */
int json_take_pairs(const json_t *object, const char *key, struct ix_strv *pairs, struct ix_err *err);
int json_take_keys(const json_t *object, const char *key, struct ix_strv *list, struct ix_err *err);
int json_take_int(const json_t *object, const char *key, int64_t *ret_value, struct ix_err *err);
int json_take_bool(const json_t *object, const char *key, bool *ret_value, struct ix_err *err);
/* Text that says nothing when it is empty: "" is as good as absent. */
int json_take_word(const json_t *object, const char *key, char **ret_text, struct ix_err *err);
/* Words of a command: a list, or as some clients write it one text. *ret_given: it is there. */
int json_take_command(const json_t *object, const char *key, struct ix_strv *list, bool *ret_given, struct ix_err *err);
/* Members that are objects or lists themselves, borrowed; NULL when absent or null. */
int json_take_object(const json_t *object, const char *key, const json_t **ret_object, struct ix_err *err);
int json_take_array(const json_t *object, const char *key, const json_t **ret_array, struct ix_err *err);
/* Members that must be there. */
int json_need_digest(const json_t *object, const char *key, struct ix_digest *ret_digest, struct ix_err *err);
int json_need_size(const json_t *object, const char *key, uint64_t *ret_size, struct ix_err *err);

/* Writing: NULL and empty values leave the member out. */
void json_put_string(json_t *object, const char *key, const char *text);
void json_put_strings(json_t *object, const char *key, const struct ix_strv *list);
void json_put_pairs(json_t *object, const char *key, const struct ix_strv *pairs);
void json_put_keys(json_t *object, const char *key, const struct ix_strv *list);
json_t *json_of_strings(const struct ix_strv *list);
/* Canonical text: sorted keys, no blanks. Takes json. */
void json_write_take(json_t *json, struct ix_buf *buf);

#endif
