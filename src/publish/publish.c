/*
 * What is done goes out: images under their keys, what belongs beside them, the names, the channel. A job for each stage, beside the run; nothing
 * waits for them but the end. What an earlier run left half done is completed.
 *
 * The order makes what is there tell what is missing: a stage comes after those it is made of, an image's second key before its record, its
 * record before the channel.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "cache/cache.h"
#include "graph/graph.h"
#include "image/image.h"
#include "io/digest.h"
#include "publish_int.h"
#include "report/report.h"
#include "sched/sched.h"
#include "state/state.h"
#include "store/store.h"

enum { AT_ONCE = 4 };

/* One stage's. Written by its job, read after the run. */
struct publication {
	struct ix_publisher *publisher;
	const struct ix_plan_stage *planned;
	enum ix_product_kind kind;
	struct ix_digest made; /* the stage's image as the run has it */
	char *source;          /* where its blobs can be taken from, without moving them; NULL: they are here */
	struct ix_job *job;
	const struct publication **parents; /* of the stages it is made of that are published in this run */
	size_t nparents;
	struct ix_digest image; /* what the registry has under the key, when it is there: ours, or that of who was faster */
	bool there;
	bool adopted; /* it is not ours */
	bool kept;    /* what was built could not replace what is there */
	bool failed;
	bool asked; /* what failed was asked for by name */
	struct ix_err err;
};

struct ix_publisher {
	struct ix_publish_opts opts;
	struct ix_sched *sched;    /* while the run lasts */
	struct publication *items; /* by stage index */
	size_t count;
	atomic_bool read_only; /* the registry does not let us write: asked once */
	atomic_bool channel_refused;
};

struct ix_publisher *ix_publisher_new(const struct ix_publish_opts *opts)
{
	struct ix_publisher *publisher = ix_calloc(1, sizeof(*publisher));

	publisher->opts = *opts;
	publisher->count = opts->graph->nstages;
	publisher->items = ix_calloc(publisher->count, sizeof(*publisher->items));
	return publisher;
}

void ix_publisher_free(struct ix_publisher *publisher)
{
	if (!publisher)
		return;
	for (size_t i = 0; i < publisher->count; i++) {
		free(publisher->items[i].parents);
		free(publisher->items[i].source);
	}
	free(publisher->items);
	free(publisher);
}

static struct ix_cache *cache_of(const struct publication *self)
{
	return self->publisher->opts.image.cache;
}

static void warn(const struct publication *self, const struct ix_err *err)
{
	ix_auto_free char *text = ix_asprintf("stage '%s': %s, ignoring", self->planned->stage->name, err->msg);

	ix_report(self->publisher->opts.sink,
		  &(struct ix_event){ .kind = IX_EVENT_WARNING, .stage = self->planned->stage->name, .text = text });
}

/* The first failure is the one that is told. */
static void failed(struct publication *self, const struct ix_err *err, bool asked)
{
	if (!self->failed)
		self->err = *err;
	self->failed = true;
	self->asked = self->asked || asked;
}

static const struct ix_digest *key_of(const struct publication *self)
{
	return ix_state_stage_key(self->publisher->opts.state, self->planned->stage);
}

/* --- the image under its key --- */

static void is_there(struct publication *self, const struct ix_digest *image, bool ours)
{
	self->image = *image;
	self->there = true;
	self->adopted = !ours;
}

/* Another builder may have been faster: its image is used. -IX_ENOTFOUND: nobody was. */
static int find_other(struct publication *self, struct ix_err *err)
{
	struct ix_cache *cache = cache_of(self);
	const char *stage = self->planned->stage->name, *why;
	struct ix_digest there;
	int r = ix_cache_find_stage(cache, stage, key_of(self), &there, err);

	if (r < 0)
		return r;
	if (ix_digest_eq(&there, &self->image)) {
		is_there(self, &there, true);
		return 0;
	}
	r = ix_cache_check_stage(cache, stage, key_of(self), &there, &why, err);
	if (r < 0)
		return r;
	if (why)
		return ix_err_set(err, IX_EFAIL, "the registry has another image under its key, which is not used: %s", why);
	is_there(self, &there, false);
	return 0;
}

/* What was built although it was there cannot replace it everywhere: tags may be immutable. Who was not there a moment ago may be now. */
static int put_refused(struct publication *self, struct ix_err *err)
{
	bool forced = self->planned->remote;
	struct ix_err ignored;

	if (err->code == IX_ECANCELED || find_other(self, &ignored) < 0)
		return ix_err_code(err);
	if (!forced || !self->adopted)
		return 0;
	/* What was asked for is the image that was built. */
	self->image = self->made;
	self->there = self->adopted = false;
	self->kept = true;
	ix_err_wrap(err, "the registry keeps the image it has");
	warn(self, err);
	return 0;
}

static int put_image(struct publication *self, struct ix_err *err)
{
	const struct ix_plan_stage *planned = self->planned;
	struct ix_published moved;
	int r = planned->remote || planned->replace ? -IX_ENOTFOUND : find_other(self, err);

	if (r != -IX_ENOTFOUND)
		return r;
	r = ix_cache_publish_stage(cache_of(self), planned->stage->name, key_of(self), &self->image, self->source, &moved, err);
	if (r < 0)
		return put_refused(self, err);
	is_there(self, &self->image, true);
	return 0;
}

/* --- what belongs beside it --- */

/* The record of what was built, now or earlier; without one, where the registry has to have one, a poor one is made. */
static int find_record(struct publication *self, bool make, struct ix_kept_record *ret_record, struct ix_err *err)
{
	struct ix_cache *cache = cache_of(self);
	const char *stage = self->planned->stage->name;
	struct ix_digest record;
	int r = ix_cache_record_of_key(cache, stage, key_of(self), ret_record, err);

	if (r == 0 && ix_digest_eq(&ret_record->manifest.subject.digest, &self->image))
		return 0;
	if (r == 0)
		ix_kept_record_release(ret_record);
	/* Nobody signs for what he has not built. */
	if (!make || ix_cache_signs(cache))
		return ix_err_set(err, IX_ENOTFOUND, "its image has no record here");
	r = record_of_found(&self->publisher->opts, self->planned, &record, err);
	return r < 0 ? r : ix_cache_record_of_key(cache, stage, key_of(self), ret_record, err);
}

static int put_beside(struct publication *self, const struct ix_kept_record *record, struct ix_err *err)
{
	struct ix_cache *cache = cache_of(self);
	const struct ix_plan_stage *planned = self->planned;
	int r = 0;

	if (!ix_digest_is_zero(&record->second) && self->kind != IX_PRODUCT_SAME)
		r = ix_cache_publish_second(cache, planned->stage->name, &record->second, &self->image, planned->ref,
					    planned->fresh || planned->replace, err);
	return r < 0 ? r : ix_cache_publish_record(cache, planned->stage->name, key_of(self), &record->digest, err);
}

static void move_channel(struct publication *self, const struct ix_digest *record)
{
	struct ix_publisher *publisher = self->publisher;
	struct ix_err err;

	if (!publisher->opts.channel || atomic_load(&publisher->channel_refused) ||
	    (self->planned->beside && ix_digest_eq(record, &self->planned->channel_record)))
		return;
	if (ix_cache_move_channel(publisher->opts.image.cache, self->planned->stage->name, publisher->opts.channel, key_of(self),
				  &self->image, record, &err) < 0 &&
	    err.code != IX_ECANCELED && !atomic_exchange(&publisher->channel_refused, true)) {
		ix_err_wrap(&err, "channel %s cannot be moved", publisher->opts.channel);
		warn(self, &err);
	}
}

/* --- all of a stage --- */

/* The image is there without what is beside it, so that failing is only told. */
static void publish_beside(struct publication *self)
{
	ix_auto_kept_record record = { 0 };
	struct ix_digest theirs;
	struct ix_err err;
	int r;

	/* Who was faster publishes the record, and says where the channel goes. */
	if (self->adopted) {
		if (ix_cache_find_record(cache_of(self), self->planned->stage->name, key_of(self), &theirs, &err) == 0)
			move_channel(self, &theirs);
		return;
	}
	r = find_record(self, false, &record, &err);
	if (r == 0)
		r = put_beside(self, &record, &err);
	if (r < 0 && r != -IX_ECANCELED)
		warn(self, &err);
	if (r == 0)
		move_channel(self, &record.digest);
}

/* An image that was found: nothing of it has to be moved, but what is beside it may be missing, and the channel be elsewhere. */
static void complete(struct publication *self)
{
	const struct ix_plan_stage *planned = self->planned;
	bool has_record = !ix_digest_is_zero(&planned->remote_record);
	bool moves = self->publisher->opts.channel && !ix_digest_eq(&planned->remote_record, &planned->channel_record);
	ix_auto_kept_record record = { 0 };
	const char *why = NULL;
	struct ix_err err;
	int r;

	if (!planned->beside || (has_record && !moves))
		return;
	r = ix_cache_check_stage(cache_of(self), planned->stage->name, key_of(self), &self->image, &why, &err);
	if (r == 0 && why)
		r = ix_err_set(&err, IX_EFAIL, "the registry's image is not used: %s", why);
	if (r == 0 && !has_record)
		r = find_record(self, true, &record, &err);
	if (r == 0 && !has_record)
		r = put_beside(self, &record, &err);
	if (r == 0)
		move_channel(self, has_record ? &planned->remote_record : &record.digest);
	else if (r != -IX_ECANCELED && r != -IX_ENOTFOUND)
		warn(self, &err);
}

/* From an image that is in the repository already a name is one manifest PUT. */
static void put_names(struct publication *self)
{
	const struct ix_plan_stage *planned = self->planned;
	struct ix_published moved;
	struct ix_err err;

	for (size_t i = 0; i < planned->nnames; i++)
		if (!planned->names[i].current &&
		    ix_cache_publish_name(cache_of(self), planned->names[i].name, &self->image, self->there ? planned->ref : NULL,
					  planned->stage->name, &moved, &err) < 0)
			failed(self, &err, true);
}

static int check_parents(const struct publication *self, struct ix_err *err)
{
	for (size_t i = 0; i < self->nparents; i++)
		if (!self->parents[i]->there && !self->parents[i]->kept)
			return ix_err_set(err, IX_EFAIL, "stage '%s', which it is made of, is not published",
					  self->parents[i]->planned->stage->name);
	return 0;
}

static void publish_stage(struct publication *self)
{
	struct ix_publisher *publisher = self->publisher;
	struct ix_err err;
	int r;

	if (self->planned->remote && self->kind != IX_PRODUCT_BUILT) {
		is_there(self, &self->planned->manifest, true);
		if (!atomic_load(&publisher->read_only))
			complete(self);
		return;
	}
	if (atomic_load(&publisher->read_only))
		return;
	r = check_parents(self, &err);
	if (r == 0)
		r = put_image(self, &err);
	if (r == 0 && self->there)
		publish_beside(self);
	if (r == -IX_EAUTH && !atomic_exchange(&publisher->read_only, true)) {
		ix_err_wrap(&err, "stages are not published, the registry does not let us write");
		warn(self, &err);
	} else if (r < 0 && r != -IX_EAUTH) {
		failed(self, &err, false);
	}
}

static int publication_job(void *data, struct ix_err *err)
{
	struct publication *self = data;
	int r = ix_cancel_check(self->publisher->opts.interrupt, err);

	if (r < 0)
		return r;
	if (!ix_cache_is_local(cache_of(self)))
		publish_stage(self);
	put_names(self);
	return 0;
}

/* After those that the stage is made of: whoever finds it need not miss what is below it. All its links are done, and those of its inner
 * stages, so that their jobs are there. */
static void put_after_parents(struct publication *self)
{
	ix_auto_parts parts = { 0 };

	ix_stage_parts(self->planned->stage, &parts);
	self->parents = ix_calloc(parts.nothers, sizeof(struct publication *));
	for (size_t i = 0; i < parts.nothers; i++) {
		const struct publication *parent = &self->publisher->items[parts.others[i]->index];

		if (!parent->job)
			continue;
		self->parents[self->nparents++] = parent;
		ix_job_after(self->job, parent->job);
	}
}

void ix_publisher_add(struct ix_publisher *publisher, const struct ix_product *product)
{
	const struct ix_plan_stage *planned = product->planned;
	struct publication *self;

	if (planned->stage->inner)
		return;
	self = &publisher->items[planned->stage->index];
	*self = (struct publication){ .publisher = publisher,
				      .planned = planned,
				      .kind = product->kind,
				      .made = product->manifest,
				      .image = product->manifest,
				      .source = ix_strdup(product->source) };
	self->job = ix_sched_add_beside(publisher->sched, publication_job, self);
	if (planned->decision == IX_PLAN_BUILD)
		put_after_parents(self);
}

/* Stages that nobody asked for, because what is built on them was found, once all has succeeded: what an earlier run could not publish, or left
 * half done, and channels that are elsewhere. */
static bool is_passed_over(const struct ix_publish_opts *opts, const struct ix_plan_stage *planned)
{
	struct ix_cache *cache = opts->image.cache;

	if (planned->decision != IX_PLAN_SKIP || !planned->ref || planned->stage->inner || ix_cache_is_local(cache))
		return false;
	if (!planned->remote)
		return planned->local && !planned->unsure && ix_cache_is_whole(cache, &planned->manifest);
	return planned->beside && (ix_digest_is_zero(&planned->remote_record) ||
				   (opts->channel && !ix_digest_eq(&planned->remote_record, &planned->channel_record)));
}

/* All of the run has succeeded. */
static int run_is_done(void *data, struct ix_err *err)
{
	(void)data;
	(void)err;
	return 0;
}

static struct ix_job *after_all(struct ix_sched *sched, struct ix_job *const *jobs, size_t count)
{
	struct ix_job *job = ix_sched_add_beside(sched, run_is_done, NULL);

	for (size_t i = 0; i < count; i++)
		if (jobs[i])
			ix_job_after(job, jobs[i]);
	return job;
}

void ix_publisher_prepare(struct ix_publisher *publisher, struct ix_sched *sched, struct ix_job *const *jobs)
{
	struct ix_job *all = NULL;

	publisher->sched = sched;
	ix_sched_beside(sched, AT_ONCE);
	for (size_t i = 0; i < publisher->count; i++) {
		const struct ix_plan_stage *planned = &publisher->opts.plan->stages[i];
		struct publication *self = &publisher->items[i];

		if (!is_passed_over(&publisher->opts, planned))
			continue;
		*self = (struct publication){ .publisher = publisher,
					      .planned = planned,
					      .kind = IX_PRODUCT_FOUND,
					      .made = planned->manifest,
					      .image = planned->manifest };
		if (!all)
			all = after_all(sched, jobs, publisher->count);
		ix_job_after(ix_sched_add_beside(sched, publication_job, self), all);
	}
}

/* --- after the run --- */

static int adopt(struct publication *self, bool by_name, struct ix_err *err)
{
	const struct ix_image_opts *opts = &self->publisher->opts.image;
	ix_auto_image image = { 0 };
	struct ix_err why;
	int r;

	if (ix_image_load(opts, self->planned->ref, &self->image, &image, &why) < 0) {
		ix_err_wrap(&why, "another builder's image of it");
		warn(self, &why);
		self->adopted = false;
		return 0;
	}
	r = ix_store_set_stage(opts->store, key_of(self), &self->image, err);
	return r == 0 && by_name ? ix_image_name(opts, &self->image, self->planned->ref, err) : r;
}

int ix_publisher_adopt(struct ix_publisher *publisher, bool by_name, struct ix_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < publisher->count; i++)
		if (publisher->items[i].adopted)
			r = adopt(&publisher->items[i], by_name, err);
	return r;
}

bool ix_publisher_adopted(const struct ix_publisher *publisher, const struct ix_stage *stage, struct ix_digest *ret_manifest)
{
	const struct publication *self = &publisher->items[stage->index];

	if (self->adopted)
		*ret_manifest = self->image;
	return self->adopted;
}

/* Where it was said at the beginning that the registry does not answer, that it does not now is no news. */
static bool counts(const struct publication *self)
{
	return self->failed && (self->asked || !ix_cache_is_without(cache_of(self)));
}

int ix_publisher_result(const struct ix_publisher *publisher, struct ix_err *err)
{
	ix_auto_buf names = { 0 };
	size_t count = 0;

	err->detail[0] = '\0';
	for (size_t i = 0; i < publisher->count; i++) {
		const struct publication *self = &publisher->items[i];

		if (self->failed && !counts(self))
			warn(self, &self->err);
		if (!self->failed || !counts(self))
			continue;
		ix_buf_printf(&names, "%s%s", count++ ? ", " : "", self->planned->stage->name);
		ix_err_detail(err, "%s  %s: %s", err->detail[0] ? "\n" : "", self->planned->stage->name, self->err.msg);
	}
	if (count == 0)
		return 0;
	err->code = IX_EFAIL;
	err->sys = 0;
	snprintf(err->msg, sizeof(err->msg), "not published: %s; what was built is here", ix_buf_str(&names));
	return -IX_EFAIL;
}
