#include "http/lane_int.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"

static void lock_shared(CURL *easy, curl_lock_data data, curl_lock_access access, void *user)
{
	struct lanes *lanes = user;

	(void)easy;
	(void)access;
	pthread_mutex_lock(&lanes->share_locks[data]);
}

static void unlock_shared(CURL *easy, curl_lock_data data, void *user)
{
	struct lanes *lanes = user;

	(void)easy;
	pthread_mutex_unlock(&lanes->share_locks[data]);
}

void lanes_init(struct lanes *lanes, unsigned connections)
{
	*lanes = (struct lanes){ .connections = connections, .share = curl_share_init() };
	if (!lanes->share)
		ix_bug("curl_share_init failed");
	pthread_mutex_init(&lanes->lock, NULL);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_init(&lanes->share_locks[i], NULL);
	curl_share_setopt(lanes->share, CURLSHOPT_LOCKFUNC, lock_shared);
	curl_share_setopt(lanes->share, CURLSHOPT_UNLOCKFUNC, unlock_shared);
	curl_share_setopt(lanes->share, CURLSHOPT_USERDATA, lanes);
	curl_share_setopt(lanes->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	curl_share_setopt(lanes->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

void lanes_release(struct lanes *lanes)
{
	struct lane *lane, *next;

	for (lane = lanes->idle; lane; lane = next) {
		next = lane->next;
		curl_multi_cleanup(lane->multi);
		free(lane);
	}
	curl_share_cleanup(lanes->share);
	for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_destroy(&lanes->share_locks[i]);
	pthread_mutex_destroy(&lanes->lock);
}

struct lane *lane_borrow(struct lanes *lanes)
{
	struct lane *lane;

	pthread_mutex_lock(&lanes->lock);
	lane = lanes->idle;
	if (lane)
		lanes->idle = lane->next;
	pthread_mutex_unlock(&lanes->lock);
	if (lane)
		return lane;
	lane = ix_calloc(1, sizeof(*lane));
	lane->multi = curl_multi_init();
	if (!lane->multi)
		ix_bug("curl_multi_init failed");
	curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(lane->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)lanes->connections);
	curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, (long)lanes->connections * 4);
	return lane;
}

void lane_return(struct lanes *lanes, struct lane *lane)
{
	pthread_mutex_lock(&lanes->lock);
	lane->next = lanes->idle;
	lanes->idle = lane;
	pthread_mutex_unlock(&lanes->lock);
}
