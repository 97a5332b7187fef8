#include "registry/flight_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"

enum { LOOK_MS = 200 };

struct flight {
	struct flight *next;
	char *key;
};

void flights_init(struct flights *flights, const struct ix_cancel *cancel)
{
	*flights = (struct flights){ .cancel = cancel };
	pthread_mutex_init(&flights->lock, NULL);
	pthread_cond_init(&flights->landed, NULL);
}

void flights_release(struct flights *flights)
{
	pthread_cond_destroy(&flights->landed);
	pthread_mutex_destroy(&flights->lock);
}

static struct flight **find(struct flights *flights, const char *key)
{
	struct flight **at = &flights->list;

	while (*at && strcmp((*at)->key, key) != 0)
		at = &(*at)->next;
	return at;
}

/* Until something landed, or long enough to look at the cancel flag. */
static void wait_a_little(struct flights *flights)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += LOOK_MS * 1000000L;
	if (end.tv_nsec >= 1000000000L) {
		end.tv_nsec -= 1000000000L;
		end.tv_sec++;
	}
	pthread_cond_timedwait(&flights->landed, &flights->lock, &end);
}

int flight_begin(struct flights *flights, const char *key, struct ix_err *err)
{
	struct flight *flight;
	int waited = 0;

	pthread_mutex_lock(&flights->lock);
	while (*find(flights, key)) {
		if (ix_cancel_check(flights->cancel, err) < 0) {
			pthread_mutex_unlock(&flights->lock);
			return -IX_ECANCELED;
		}
		waited = 1;
		wait_a_little(flights);
	}
	flight = ix_calloc(1, sizeof(*flight));
	flight->key = ix_strdup(key);
	flight->next = flights->list;
	flights->list = flight;
	pthread_mutex_unlock(&flights->lock);
	return waited;
}

void flight_end(struct flights *flights, const char *key)
{
	struct flight **at, *flight;

	pthread_mutex_lock(&flights->lock);
	at = find(flights, key);
	flight = *at;
	if (!flight)
		ix_bug("flight '%s' ended twice", key);
	*at = flight->next;
	free(flight->key);
	free(flight);
	pthread_cond_broadcast(&flights->landed);
	pthread_mutex_unlock(&flights->lock);
}
