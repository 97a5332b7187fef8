#include "registry/grant_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/http.h"

void grants_free(struct grant *grants)
{
	struct grant *next;

	for (; grants; grants = next) {
		next = grants->next;
		free(grants->scope);
		free(grants->extra_scope);
		ix_secret_release(&grants->header);
		pthread_mutex_destroy(&grants->lock);
		free(grants);
	}
}

struct grant *grants_find(struct grant **list, const char *scope)
{
	struct grant *grant;

	for (grant = *list; grant && strcmp(grant->scope, scope) != 0; grant = grant->next)
		;
	if (grant)
		return grant;
	grant = ix_calloc(1, sizeof(*grant));
	grant->scope = ix_strdup(scope);
	pthread_mutex_init(&grant->lock, NULL);
	grant->next = *list;
	*list = grant;
	return grant;
}

bool grant_had_credentials(struct grant *grant)
{
	bool had;

	pthread_mutex_lock(&grant->lock);
	had = grant->had_credentials;
	pthread_mutex_unlock(&grant->lock);
	return had;
}
