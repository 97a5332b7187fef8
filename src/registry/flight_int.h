/* Single flight: of several threads that want the same thing done, one does it and the others wait. */
#ifndef IX_REGISTRY_FLIGHT_INT_H
#define IX_REGISTRY_FLIGHT_INT_H

#include <pthread.h>

#include "base/cancel.h"
#include "base/err.h"

struct flight;

struct flights {
	const struct ix_cancel *cancel;
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct flight *list;
};

void flights_init(struct flights *flights, const struct ix_cancel *cancel);
void flights_release(struct flights *flights);
/* Wait until nobody owns key, then own it until flight_end. 1: somebody did. */
int flight_begin(struct flights *flights, const char *key, struct ix_err *err);
void flight_end(struct flights *flights, const char *key);

#endif
