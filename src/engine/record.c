/* Records of builds: written when a stage is done, read when a later build starts where an earlier one agrees with it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine_int.h"

/* What a record is made of, while it is. */
struct parts {
	struct ix_engine *engine;
	struct ix_descriptor *items;
	size_t count;
};

static void parts_release(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		ix_descriptor_release(&parts->items[i]);
	free(parts->items);
}

static int add_part(struct parts *parts, const char *media_type, const struct ix_buf *bytes, struct ix_err *err)
{
	struct ix_descriptor part;
	int r = ix_cache_put_document(parts->engine->opts.cache, media_type, bytes, &part, err);

	if (r < 0)
		return r;
	parts->items = ix_realloc_array(parts->items, parts->count + 1, sizeof(*parts->items));
	parts->items[parts->count++] = part;
	return 0;
}

static int put_list(void *data, const struct ix_buf *list, struct ix_digest *ret_digest, struct ix_err *err)
{
	struct parts *parts = data;
	int r = add_part(parts, IX_MEDIA_RECORD_FILES, list, err);

	if (r < 0)
		return r;
	*ret_digest = parts->items[parts->count - 1].digest;
	return 0;
}

static int keep(struct ix_engine *engine, const struct ix_stage *stage, const struct ix_digest *image, const struct ix_account_opts *what,
		const struct ix_buf *log, struct ix_digest *ret_record, struct ix_err *err)
{
	ix_scoped(parts_release) struct parts parts = { .engine = engine };
	struct ix_account_opts account = *what;
	const struct ix_digest *key = ix_state_stage_key(engine->state, stage);
	ix_auto_buf json = { 0 };

	account.put_list = put_list;
	account.data = &parts;
	if (ix_state_account(engine->state, stage, &account, &json, err) < 0 || add_part(&parts, IX_MEDIA_RECORD_JSON, &json, err) < 0 ||
	    (log && log->len > 0 && add_part(&parts, IX_MEDIA_RECORD_LOG, log, err) < 0) ||
	    ix_cache_keep_record(engine->opts.cache, stage->name, key, account.second, image, parts.items, parts.count, ret_record, err) <
		    0)
		return ix_err_wrap(err, "record of stage '%s'", stage->name);
	return 0;
}

int record_keep(struct build *build, struct ix_err *err)
{
	struct ix_engine *engine = build->engine;
	struct ix_stage_result *result = &engine->results[build->stage->index];
	ix_auto_free struct ix_step_made *steps = ix_calloc(build->stage->nsteps, sizeof(*steps));
	struct ix_account_opts account = { .steps = steps };
	struct ix_output output;
	struct ix_digest second;

	image_output(&build->image, &output);
	account.output = &output.id;
	if (cutoff_second(engine, build->stage, &second))
		account.second = &second;
	for (size_t i = 0; i < build->stage->nsteps; i++) {
		const struct ix_step_result *made = &build->made[i];

		if (build->second.nsteps > 0)
			steps[i].second = &build->second.steps[i];
		if (!made->media_type[0])
			continue;
		steps[i].has_layer = true;
		steps[i].blob = made->digest;
		steps[i].size = made->size;
		steps[i].diff_id = made->diff_id;
		steps[i].content = made->content;
		steps[i].media_type = made->media_type;
	}
	return keep(engine, build->stage, &result->manifest, &account, steplog_text(build->log), &result->record, err);
}

int record_same(struct ix_engine *engine, const struct ix_stage *stage, struct ix_err *err)
{
	struct ix_account_opts account = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	auto_image image = { 0 };
	struct ix_output output;
	struct ix_digest second, made_as;
	const char *key;
	int r;

	/* Loading the image brings its manifest into the store. */
	if ((r = stage_image(engine, stage, &image, err)) < 0 ||
	    (r = ix_blob_read(engine->opts.store, &engine->results[stage->index].manifest, &body, err)) < 0 ||
	    (r = ix_manifest_parse(body.data, body.len, &manifest, err)) < 0)
		return r;
	image_output(&image, &output);
	account.output = &output.id;
	if (cutoff_second(engine, stage, &second))
		account.second = &second;
	key = ix_annotation(&manifest.annotations, "dev.ix.key");
	if (key && ix_unhex(key, made_as.bytes, sizeof(made_as.bytes)))
		account.same_as = &made_as;
	return keep(engine, stage, &engine->results[stage->index].manifest, &account, NULL, &engine->results[stage->index].record, err);
}

int record_found(struct ix_engine *engine, const struct ix_plan_stage *planned, struct ix_digest *ret_record, struct ix_err *err)
{
	struct ix_account_opts account = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_output output;
	struct ix_digest second;
	auto_image image = { 0 };
	const char *hex;
	int r = image_load(&engine->opts, planned->ref, &planned->manifest, &image, err);

	if (r == 0)
		r = ix_blob_read(engine->opts.store, &planned->manifest, &body, err);
	if (r == 0)
		r = ix_manifest_parse(body.data, body.len, &manifest, err);
	if (r < 0)
		return r;
	image_output(&image, &output);
	account.output = &output.id;
	hex = ix_annotation(&manifest.annotations, "dev.ix.second");
	if (hex && ix_unhex(hex, second.bytes, sizeof(second.bytes)))
		account.second = &second;
	return keep(engine, planned->stage, &planned->manifest, &account, NULL, ret_record, err);
}

/* --- using one --- */

static int check_layers(struct ix_engine *engine, const struct ix_kept_record *kept, const struct ix_record *record, struct ix_err *err)
{
	ix_auto_free const struct ix_digest **layers = ix_calloc(record->nsteps, sizeof(struct ix_digest *));
	size_t n = 0;

	for (size_t i = 0; i < record->nsteps; i++)
		if (record->steps[i].has_layer)
			layers[n++] = &record->steps[i].blob;
	return n == 0 ? 0 : ix_cache_check_record(engine->opts.cache, kept, layers, n, err);
}

static int open_record(struct ix_engine *engine, const struct ix_stage *stage, struct ix_record **ret_record, struct ix_err *err)
{
	const struct ix_kept_record *kept = engine->plan->stages[stage->index].record;
	ix_scoped(ix_record_freep) struct ix_record *record = NULL;
	ix_auto_kept_record original = { 0 };
	int r = ix_record_parse(&kept->json, &record, err);

	if (r < 0)
		return r;
	/* An image that was found is made of the layers of the build it came from. */
	if (record->has_same_as) {
		r = ix_cache_record_of_key(engine->opts.cache, stage->name, &record->same_as, &original, err);
		if (r < 0)
			return r;
		kept = &original;
		ix_record_free(ix_steal(&record));
		r = ix_record_parse(&kept->json, &record, err);
		if (r < 0)
			return r;
	}
	r = check_layers(engine, kept, record, err);
	if (r < 0)
		return r;
	*ret_record = ix_steal(&record);
	return 0;
}

struct ix_record *record_open(struct ix_engine *engine, const struct ix_stage *stage)
{
	struct ix_record *record = NULL;
	struct ix_err err;

	if (!engine->plan->stages[stage->index].record || engine->plan->stages[stage->index].fresh)
		return NULL;
	if (open_record(engine, stage, &record, &err) < 0) {
		ix_auto_free char *text = ix_asprintf("record of stage '%s': %s, ignoring", stage->name, err.msg);

		ix_report(engine->opts.sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .stage = stage->name, .text = text });
		return NULL;
	}
	return record;
}
