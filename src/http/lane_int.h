/*
 * A lane is a curl multi handle with the connections it keeps alive. A thread borrows one for as long as it talks; the last one returned is
 * the first one lent, so connections stay warm.
 */
#ifndef IX_HTTP_LANE_INT_H
#define IX_HTTP_LANE_INT_H

#include <pthread.h>

#include <curl/curl.h>

struct lane {
	struct lane *next;
	CURLM *multi;
};

struct lanes {
	pthread_mutex_t lock;
	struct lane *idle;
	unsigned connections;
	CURLSH *share; /* TLS sessions and names, for all lanes */
	pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];
};

void lanes_init(struct lanes *lanes, unsigned connections);
void lanes_release(struct lanes *lanes);
struct lane *lane_borrow(struct lanes *lanes);
void lane_return(struct lanes *lanes, struct lane *lane);

#endif
