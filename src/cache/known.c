/*
 * What this run came to know of repositories: which blobs they have, what they promised and did not give, and that there is no use in asking
 * them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "base/trace.h"
#include "cache_int.h"
#include "io/digest.h"
#include "report/report.h"
#include "store/store.h"

static const char there[] = "there", bad[] = "bad", refused[] = "refused";

struct damage {
	char *why;
	bool gone; /* it is not there, or other bytes are; otherwise it was only not to be had */
};

struct answer {
	struct ix_digest digest; /* zero: there was nothing */
	uint64_t at_ms;
};

void known_release(struct known *known)
{
	for (size_t i = 0; i < known->tags.count; i++)
		free(known->tags.entries[i].value);
	ix_map_release(&known->tags);
	for (size_t i = 0; i < known->damaged.count; i++) {
		struct damage *damage = known->damaged.entries[i].value;

		free(damage->why);
		free(damage);
	}
	ix_map_release(&known->blobs);
	ix_map_release(&known->damaged);
	pthread_mutex_destroy(&known->lock);
}

/* --- blobs --- */

static char *blob_name(const struct ix_ref *repository, const struct ix_digest *blob)
{
	char text[IX_DIGEST_TEXT];

	return ix_asprintf("%s/%s@%s", repository->host, repository->repository, ix_digest_text(blob, text));
}

/* Remember in the store that the repository has the blob. */
static void note_place(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	ix_auto_free char *name = ix_asprintf("%s/%s", repository->host, repository->repository);
	struct ix_err err;

	if (ix_blob_add_place(cache->store, blob, name, &err) < 0)
		ix_trace("cache", "%s, ignoring", err.msg);
}

static void note_blob(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob, const char *state, bool sure)
{
	ix_auto_free char *name = blob_name(repository, blob);
	struct known *known = &cache->known;
	const char *before;

	pthread_mutex_lock(&known->lock);
	before = ix_map_get(&known->blobs, name);
	if (sure || !before)
		ix_map_set(&known->blobs, name, (void *)(uintptr_t)state);
	pthread_mutex_unlock(&known->lock);
	if (!before && state == there)
		note_place(cache, repository, blob);
}

void cache_note_missed(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob, const struct ix_err *why)
{
	if (why->code == IX_ECANCELED || why->code == IX_ESYS)
		return;
	note_blob(cache, repository, blob, why->code == IX_ENOTFOUND || why->code == IX_ECORRUPT ? bad : refused, true);
	atomic_store(&cache->known.lost, true);
}

static const char *blob_state(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	ix_auto_free char *name = blob_name(repository, blob);
	const char *state;

	pthread_mutex_lock(&cache->known.lock);
	state = ix_map_get(&cache->known.blobs, name);
	pthread_mutex_unlock(&cache->known.lock);
	return state;
}

void cache_note_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	note_blob(cache, repository, blob, there, true);
}

void cache_note_listed(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	note_blob(cache, repository, blob, there, false);
}

bool cache_is_there(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	return blob_state(cache, repository, blob) == there;
}

bool cache_is_bad(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	return blob_state(cache, repository, blob) == bad;
}

bool cache_is_lost(struct ix_cache *cache, const struct ix_ref *repository, const struct ix_digest *blob)
{
	const char *state = blob_state(cache, repository, blob);

	return (state == bad || state == refused) && !ix_blob_has(cache->store, blob);
}

bool ix_cache_is_lost(struct ix_cache *cache, const struct ix_digest *blob)
{
	return !ix_cache_is_local(cache) && cache_is_lost(cache, &cache->repository, blob);
}

/* --- tags --- */

void cache_note_tag(struct ix_cache *cache, const char *name, const struct ix_digest *digest)
{
	struct known *known = &cache->known;
	struct answer *answer;

	pthread_mutex_lock(&known->lock);
	answer = ix_map_get(&known->tags, name);
	if (!answer) {
		answer = ix_calloc(1, sizeof(*answer));
		ix_map_set(&known->tags, name, answer);
	}
	*answer = (struct answer){ .at_ms = ix_now_ms() };
	if (digest)
		answer->digest = *digest;
	pthread_mutex_unlock(&known->lock);
}

void cache_forget_tag(struct ix_cache *cache, const char *name)
{
	struct answer *answer;

	pthread_mutex_lock(&cache->known.lock);
	answer = ix_map_get(&cache->known.tags, name);
	if (answer)
		answer->at_ms = 0;
	pthread_mutex_unlock(&cache->known.lock);
}

int cache_recall_tag(struct ix_cache *cache, const char *name, uint64_t max_age_ms, struct ix_digest *ret_digest)
{
	const struct answer *answer;
	int r = 1;

	pthread_mutex_lock(&cache->known.lock);
	answer = ix_map_get(&cache->known.tags, name);
	if (answer && answer->at_ms && ix_now_ms() - answer->at_ms <= max_age_ms) {
		r = ix_digest_is_zero(&answer->digest) ? -IX_ENOTFOUND : 0;
		*ret_digest = answer->digest;
	}
	pthread_mutex_unlock(&cache->known.lock);
	return r;
}

/* --- what could not be had --- */

static struct damage *find_damage(struct ix_cache *cache, const char *image)
{
	struct damage *damage;

	pthread_mutex_lock(&cache->known.lock);
	damage = ix_map_get(&cache->known.damaged, image);
	pthread_mutex_unlock(&cache->known.lock);
	return damage;
}

int cache_note_damage(struct ix_cache *cache, const char *image, const struct ix_err *why)
{
	struct damage *damage;

	if (!image || cache->offline || why->code == IX_ECANCELED || why->code == IX_ESYS || find_damage(cache, image))
		return ix_err_code(why);
	damage = ix_calloc(1, sizeof(*damage));
	damage->why = ix_strdup(why->msg);
	damage->gone = why->code == IX_ENOTFOUND || why->code == IX_EGONE || why->code == IX_ECORRUPT;
	pthread_mutex_lock(&cache->known.lock);
	ix_map_set(&cache->known.damaged, image, damage);
	pthread_mutex_unlock(&cache->known.lock);
	return ix_err_code(why);
}

const char *ix_cache_damage(struct ix_cache *cache, const char *image, bool *ret_gone)
{
	const struct damage *damage = find_damage(cache, image);

	*ret_gone = damage && damage->gone;
	return damage ? damage->why : NULL;
}

const char *ix_cache_damaged(struct ix_cache *cache, size_t i, const char **ret_why, bool *ret_gone)
{
	ix_auto_free char *repository =
		ix_cache_is_local(cache) ? NULL : ix_asprintf("%s/%s:", cache->repository.host, cache->repository.repository);
	const char *found = NULL;

	pthread_mutex_lock(&cache->known.lock);
	for (size_t at = 0; repository && !found && at < cache->known.damaged.count; at++) {
		const struct ix_map_entry *entry = &cache->known.damaged.entries[at];
		const struct damage *damage = entry->value;

		if (!ix_starts(entry->key, repository) || i-- > 0)
			continue;
		found = entry->key;
		*ret_why = damage->why;
		*ret_gone = damage->gone;
	}
	pthread_mutex_unlock(&cache->known.lock);
	return found;
}

/* --- going on without --- */

int cache_go_without(struct ix_cache *cache, const char *host, const struct ix_err *why, struct ix_err *err)
{
	ix_auto_free char *text = NULL;

	if (why->code == IX_ECANCELED || cache->required) {
		int r = ix_err_copy(err, why);

		return cache->required && r != -IX_ECANCELED ? ix_err_wrap(err, "--require-cache") : r;
	}
	/* Who says no says it at once; who does not answer is not asked again and waited for. */
	if (why->code != IX_EAUTH && (!host || ix_streq(host, cache->repository.host)))
		atomic_store(&cache->known.down, true);
	if (atomic_exchange(&cache->known.without, true))
		return 0;
	text = ix_asprintf("going on without what the registry has: %s", why->msg);
	ix_report(cache->sink, &(struct ix_event){ .kind = IX_EVENT_WARNING, .text = text });
	return 0;
}

bool cache_is_down(struct ix_cache *cache)
{
	return atomic_load(&cache->known.down);
}

bool ix_cache_is_without(struct ix_cache *cache)
{
	return atomic_load(&cache->known.without);
}
