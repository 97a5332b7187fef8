#include "registry/flight_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "registry/client_int.h"

enum { LOOK_MS = 200 };

static struct flight **find(struct ix_registry *registry, const char *key)
{
	struct flight **at = &registry->flights;

	while (*at && strcmp((*at)->key, key) != 0)
		at = &(*at)->next;
	return at;
}

/* Until something landed, or long enough to look at the cancel flag. */
static void wait_a_little(struct ix_registry *registry)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += LOOK_MS * 1000000L;
	if (end.tv_nsec >= 1000000000L) {
		end.tv_nsec -= 1000000000L;
		end.tv_sec++;
	}
	pthread_cond_timedwait(&registry->flight_done, &registry->flight_lock, &end);
}

int flight_begin(struct ix_registry *registry, const char *key, struct ix_err *err)
{
	struct flight *flight;

	pthread_mutex_lock(&registry->flight_lock);
	while (*find(registry, key)) {
		if (ix_cancel_check(registry->cancel, err) < 0) {
			pthread_mutex_unlock(&registry->flight_lock);
			return -IX_ECANCELED;
		}
		wait_a_little(registry);
	}
	flight = ix_calloc(1, sizeof(*flight));
	flight->key = ix_strdup(key);
	flight->next = registry->flights;
	registry->flights = flight;
	pthread_mutex_unlock(&registry->flight_lock);
	return 0;
}

void flight_end(struct ix_registry *registry, const char *key)
{
	struct flight **at, *flight;

	pthread_mutex_lock(&registry->flight_lock);
	at = find(registry, key);
	flight = *at;
	if (!flight)
		ix_bug("flight '%s' ended twice", key);
	*at = flight->next;
	free(flight->key);
	free(flight);
	pthread_cond_broadcast(&registry->flight_done);
	pthread_mutex_unlock(&registry->flight_lock);
}
