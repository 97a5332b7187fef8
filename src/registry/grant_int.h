/* What was obtained for one scope at one endpoint. Getting one is single flight: the lock is held meanwhile. */
#ifndef IX_REGISTRY_GRANT_INT_H
#define IX_REGISTRY_GRANT_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "http/http.h"

struct grant {
	struct grant *next;
	char *scope; /* as this client names it */
	pthread_mutex_t lock;
	char *extra_scope; /* what the server's challenges named beyond it */
	struct ix_secret header;
	uint64_t fresh_until_ms;
	bool had_credentials;
	uint64_t failed_until_ms;
	struct ix_err failure;
};

/* In a list, made when it is not there yet; the list has a lock of its own. */
struct grant *grants_find(struct grant **list, const char *scope);
void grants_free(struct grant *grants);
/* Credentials were sent with its last header. */
bool grant_had_credentials(struct grant *grant);

#endif
