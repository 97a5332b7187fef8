/* Where credentials come from: ix's own configuration, files, helper programs. */
#ifndef IX_REGISTRY_CREDENTIALS_INT_H
#define IX_REGISTRY_CREDENTIALS_INT_H

#include <pthread.h>

#include "registry/authfile_int.h"

struct helper_answer;

struct credentials {
	char *docker_config; /* the only place to look when set */
	pthread_mutex_t lock;
	bool loaded;
	struct authfile *files; /* in the order they are asked */
	size_t nfiles;
	struct helper_answer *answers; /* helpers are programs: asked once for a while */
};

void credentials_init(struct credentials *credentials, const char *docker_config);
void credentials_release(struct credentials *credentials);

/* Files are read at the first call. Nothing found is success with empty creds. Thread-safe. */
int credentials_find(struct credentials *credentials, const char *host, const char *repository, struct creds *ret_creds,
		     struct ix_err *err);
/* The server refused what was found for host: ask the helper again next time. */
void credentials_refused(struct credentials *credentials, const char *host);

#endif
