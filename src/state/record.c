#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "io/digest.h"
#include "state_int.h"

enum { STEPS_MAX = 10000 };

static int corrupt(struct ix_err *err, const char *what)
{
	return ix_err_set(err, IX_ECORRUPT, "the record of a stage is damaged: %s", what);
}

static int take_digest(const json_t *json, const char *name, bool *ret_there, struct ix_digest *ret_digest, struct ix_err *err)
{
	const char *text = json_string_value(json_object_get(json, name));

	if (!text && ret_there) {
		*ret_there = false;
		return 0;
	}
	if (!text || ix_digest_parse(text, ret_digest, err) < 0)
		return corrupt(err, name);
	if (ret_there)
		*ret_there = true;
	return 0;
}

static int take_layer(const json_t *layer, struct ix_record_step *step, struct ix_err *err)
{
	const char *media_type = json_string_value(json_object_get(layer, "media_type"));
	json_int_t size = json_integer_value(json_object_get(layer, "size"));
	int r;

	if (!layer)
		return 0;
	if (!media_type || strlen(media_type) >= sizeof(step->media_type) || size <= 0)
		return corrupt(err, "layer");
	snprintf(step->media_type, sizeof(step->media_type), "%s", media_type);
	step->size = (uint64_t)size;
	step->has_layer = true;
	if ((r = take_digest(layer, "blob", NULL, &step->blob, err)) < 0 ||
	    (r = take_digest(layer, "diff_id", NULL, &step->diff_id, err)) < 0)
		return r;
	return take_digest(layer, "content", NULL, &step->content, err);
}

static int take_steps(const json_t *steps, struct ix_record *record, struct ix_err *err)
{
	int r;

	if (!json_is_array(steps) || json_array_size(steps) > STEPS_MAX)
		return corrupt(err, "steps");
	record->nsteps = json_array_size(steps);
	record->steps = ix_calloc(record->nsteps, sizeof(*record->steps));
	for (size_t i = 0; i < record->nsteps; i++) {
		const json_t *json = json_array_get(steps, i);
		struct ix_record_step *step = &record->steps[i];

		if ((r = take_digest(json, "key", NULL, &step->key, err)) < 0 ||
		    (r = take_digest(json, "second", &step->has_second, &step->second, err)) < 0 ||
		    (r = take_layer(json_object_get(json, "layer"), step, err)) < 0)
			return r;
	}
	return 0;
}

int ix_record_parse(const struct ix_buf *buf, struct ix_record **ret_record, struct ix_err *err)
{
	ix_scoped(json_decrefp) json_t *json = json_loadb(ix_buf_str(buf), buf->len, JSON_REJECT_DUPLICATES, NULL);
	ix_scoped(ix_record_freep) struct ix_record *record = ix_calloc(1, sizeof(*record));
	const char *stage = json_string_value(json_object_get(json, "stage"));
	int r;

	if (!json_is_object(json) || json_integer_value(json_object_get(json, "format")) != 1 || !stage)
		return corrupt(err, "it is not a record of format 1");
	record->stage = ix_strdup(stage);
	record->log = ix_strdup(json_string_value(json_object_get(json, "log")));
	if ((r = take_digest(json, "key", NULL, &record->key, err)) < 0 ||
	    (r = take_digest(json, "same_as", &record->has_same_as, &record->same_as, err)) < 0 ||
	    (r = take_steps(json_object_get(json, "steps"), record, err)) < 0)
		return r;
	*ret_record = ix_steal(&record);
	return 0;
}

void ix_record_free(struct ix_record *record)
{
	if (!record)
		return;
	free(record->stage);
	free(record->log);
	free(record->steps);
	free(record);
}

const struct ix_record_step *ix_record_find(const struct ix_record *record, const struct ix_digest *key, const struct ix_digest *second)
{
	for (size_t i = 0; i < record->nsteps; i++) {
		const struct ix_record_step *step = &record->steps[i];

		if (step->has_layer &&
		    (ix_digest_eq(&step->key, key) || (second && step->has_second && ix_digest_eq(&step->second, second))))
			return step;
	}
	return NULL;
}
