/* Single flight: of several threads that want the same thing done, one does it and the others wait. */
#ifndef IX_REGISTRY_FLIGHT_INT_H
#define IX_REGISTRY_FLIGHT_INT_H

#include "base/err.h"

struct ix_registry;

/* Wait until nobody owns key, then own it until flight_end. */
int flight_begin(struct ix_registry *registry, const char *key, struct ix_err *err);
void flight_end(struct ix_registry *registry, const char *key);

#endif
