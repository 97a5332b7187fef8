/* Records of builds: written when a stage is done, read when a later build starts where an earlier one agrees with it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "image/image.h"
#include "io/digest.h"
#include "oci/image.h"
#include "publish_int.h"
#include "report/report.h"
#include "state/state.h"

enum { LOG_INSIDE_MAX = 4 << 10 /* a longer one is a blob of its own */ };

/* What a record is made of, while it is. */
struct parts {
	const struct ix_publish_opts *opts;
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
	int r = ix_cache_put_document(parts->opts->image.cache, media_type, bytes, &part, err);

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

static int keep(const struct ix_publish_opts *opts, const struct ix_stage *stage, const struct ix_digest *image,
		const struct ix_account_opts *what, const struct ix_buf *log, struct ix_digest *ret_record, struct ix_err *err)
{
	ix_scoped(parts_release) struct parts parts = { .opts = opts };
	struct ix_account_opts account = *what;
	const struct ix_digest *key = ix_state_stage_key(opts->state, stage);
	ix_auto_buf json = { 0 };

	bool inside = log && log->len > 0 && log->len <= LOG_INSIDE_MAX && !memchr(log->data, '\0', log->len) &&
		      ix_utf8_valid(log->data, log->len) == log->len;

	account.log = inside ? log : NULL;
	account.put_list = put_list;
	account.data = &parts;
	if (ix_state_account(opts->state, stage, &account, &json, err) < 0 || add_part(&parts, IX_MEDIA_RECORD_JSON, &json, err) < 0 ||
	    (log && log->len > 0 && !inside && add_part(&parts, IX_MEDIA_RECORD_LOG, log, err) < 0) ||
	    ix_cache_keep_record(opts->image.cache, stage->name, key, account.second, image, parts.items, parts.count, ret_record, err) < 0)
		return ix_err_wrap(err, "record of stage '%s'", stage->name);
	return 0;
}

int ix_record_of_build(const struct ix_publish_opts *opts, const struct ix_stage *stage, const struct ix_built *built,
		       struct ix_digest *ret_record, struct ix_err *err)
{
	ix_auto_free struct ix_step_made *steps = ix_calloc(stage->nsteps, sizeof(*steps));
	struct ix_account_opts account = { .steps = steps, .second = built->second };
	struct ix_output output;

	ix_image_output(built->image, &output);
	account.output = &output.id;
	for (size_t i = 0; i < stage->nsteps; i++) {
		const struct ix_step_result *made = &built->made[i];

		if (built->steps->nsteps > 0)
			steps[i].second = &built->steps->steps[i];
		if (!made->media_type[0])
			continue;
		steps[i].has_layer = true;
		steps[i].blob = made->digest;
		steps[i].size = made->size;
		steps[i].diff_id = made->diff_id;
		steps[i].content = made->content;
		steps[i].media_type = made->media_type;
	}
	return keep(opts, stage, built->manifest, &account, opts->keep_logs ? built->log : NULL, ret_record, err);
}

int ix_record_of_same(const struct ix_publish_opts *opts, const struct ix_stage *stage, const struct ix_image *image,
		      const struct ix_digest *manifest, const struct ix_digest *second, struct ix_digest *ret_record, struct ix_err *err)
{
	struct ix_account_opts account = { .second = second };
	struct ix_digest made_as, ignored;
	struct ix_output output;
	int r = ix_image_made_as(&opts->image, manifest, &made_as, &ignored, err);

	if (r < 0)
		return r;
	ix_image_output(image, &output);
	account.output = &output.id;
	account.same_as = ix_digest_is_zero(&made_as) ? NULL : &made_as;
	return keep(opts, stage, manifest, &account, NULL, ret_record, err);
}

int record_of_found(const struct ix_publish_opts *opts, const struct ix_plan_stage *planned, struct ix_digest *ret_record,
		    struct ix_err *err)
{
	struct ix_account_opts account = { 0 };
	struct ix_digest second, ignored;
	ix_auto_image image = { 0 };
	struct ix_output output;
	int r;

	/* Loading the image brings its manifest into the store. */
	if ((r = ix_image_load(&opts->image, planned->ref, &planned->manifest, &image, err)) < 0 ||
	    (r = ix_image_made_as(&opts->image, &planned->manifest, &ignored, &second, err)) < 0)
		return r;
	ix_image_output(&image, &output);
	account.output = &output.id;
	account.second = ix_digest_is_zero(&second) ? NULL : &second;
	return keep(opts, planned->stage, &planned->manifest, &account, NULL, ret_record, err);
}

/* --- using one --- */

static int check_layers(const struct ix_publish_opts *opts, const struct ix_kept_record *kept, const struct ix_record *record,
			struct ix_err *err)
{
	ix_auto_free const struct ix_digest **layers = ix_calloc(record->nsteps, sizeof(struct ix_digest *));
	size_t n = 0;

	for (size_t i = 0; i < record->nsteps; i++)
		if (record->steps[i].has_layer)
			layers[n++] = &record->steps[i].blob;
	return n == 0 ? 0 : ix_cache_check_record(opts->image.cache, kept, layers, n, err);
}

static int open_record(const struct ix_publish_opts *opts, const struct ix_stage *stage, struct ix_record **ret_record, struct ix_err *err)
{
	const struct ix_kept_record *kept = opts->plan->stages[stage->index].record;
	ix_scoped(ix_record_freep) struct ix_record *record = NULL;
	ix_auto_kept_record original = { 0 };
	int r = ix_record_parse(&kept->json, &record, err);

	if (r < 0)
		return r;
	/* An image that was found is made of the layers of the build it came from. */
	if (record->has_same_as) {
		r = ix_cache_record_of_key(opts->image.cache, stage->name, &record->same_as, &original, err);
		if (r < 0)
			return r;
		kept = &original;
		ix_record_free(ix_steal(&record));
		r = ix_record_parse(&kept->json, &record, err);
		if (r < 0)
			return r;
	}
	r = check_layers(opts, kept, record, err);
	if (r < 0)
		return r;
	*ret_record = ix_steal(&record);
	return 0;
}

struct ix_record *ix_record_to_reuse(const struct ix_publish_opts *opts, const struct ix_stage *stage)
{
	struct ix_record *record = NULL;
	struct ix_err err;

	if (!opts->plan->stages[stage->index].record || opts->plan->stages[stage->index].fresh)
		return NULL;
	if (open_record(opts, stage, &record, &err) < 0) {
		ix_auto_free char *text = ix_asprintf("record of stage '%s': %s, ignoring", stage->name, err.msg);

		ix_report(opts->sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .stage = stage->name, .text = text });
		return NULL;
	}
	return record;
}
