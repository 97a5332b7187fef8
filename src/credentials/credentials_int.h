/* Where credentials come from: files, helper programs. */
#ifndef IX_CREDENTIALS_CREDENTIALS_INT_H
#define IX_CREDENTIALS_CREDENTIALS_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "credentials/authfile_int.h"

struct helper_answer;

struct ix_credentials {
	char *docker_config; /* the only place to look when set */
	pthread_mutex_t lock;
	bool loaded;
	struct authfile *files; /* in the order they are asked */
	size_t nfiles;
	struct helper_answer *answers; /* helpers are programs: asked once for a while */
};

#endif
