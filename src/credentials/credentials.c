#include "credentials/credentials_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/trace.h"
#include "credentials/helper_int.h"

enum { AUTHFILE_MAX = 1 << 20, HELPER_FRESH_MS = 5 * 60 * 1000 };

struct helper_answer {
	struct helper_answer *next;
	char *helper;
	char *host;
	struct ix_creds creds;
	uint64_t at_ms;
};

struct ix_credentials *ix_credentials_new(const char *docker_config)
{
	struct ix_credentials *credentials = ix_calloc(1, sizeof(*credentials));

	credentials->docker_config = ix_strdup(docker_config);
	pthread_mutex_init(&credentials->lock, NULL);
	return credentials;
}

static void answer_free(struct helper_answer *answer)
{
	free(answer->helper);
	free(answer->host);
	ix_creds_release(&answer->creds);
	free(answer);
}

void ix_credentials_free(struct ix_credentials *credentials)
{
	struct helper_answer *answer, *next;

	if (!credentials)
		return;
	for (answer = credentials->answers; answer; answer = next) {
		next = answer->next;
		answer_free(answer);
	}
	for (size_t i = 0; i < credentials->nfiles; i++)
		authfile_release(&credentials->files[i]);
	free(credentials->files);
	free(credentials->docker_config);
	pthread_mutex_destroy(&credentials->lock);
	free(credentials);
}

/* Add the file at path, if there is one. Takes path. */
static int load(struct ix_credentials *credentials, char *path_take, bool legacy, struct ix_err *err)
{
	ix_auto_free char *path = path_take;
	ix_auto_secret_buf text = IX_BUF_INIT(AUTHFILE_MAX);
	struct authfile file = { 0 };
	int r = ix_read_file(AT_FDCWD, path, &text, err);

	if (r == -IX_ENOTFOUND || (r == -IX_ESYS && err->sys == ENOTDIR))
		return 0;
	/* an empty file is what some tools leave behind before the first login */
	if (r == 0 && text.len == 0)
		return 0;
	if (r < 0 || authfile_parse(text.data, text.len, path, legacy, &file, err) < 0)
		return ix_err_wrap(err, "credentials");
	ix_trace("registry", "credentials: %s has %zu logins", path, file.count);
	credentials->files = ix_realloc_array(credentials->files, credentials->nfiles + 1, sizeof(*credentials->files));
	credentials->files[credentials->nfiles++] = file;
	return 0;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* What was named on purpose comes first, then the places tools write to. */
static int load_all(struct ix_credentials *credentials, struct ix_err *err)
{
	const char *home = env("HOME"), *run = env("XDG_RUNTIME_DIR"), *config = env("XDG_CONFIG_HOME");
	const char *docker = env("DOCKER_CONFIG"), *named = env("REGISTRY_AUTH_FILE");
	int r;

	if (credentials->docker_config)
		return load(credentials, ix_asprintf("%s/config.json", credentials->docker_config), false, err);
	if (named && (r = load(credentials, ix_strdup(named), false, err)) < 0)
		return r;
	if (docker && (r = load(credentials, ix_asprintf("%s/config.json", docker), false, err)) < 0)
		return r;
	if (!named && run && (r = load(credentials, ix_asprintf("%s/containers/auth.json", run), false, err)) < 0)
		return r;
	if (config && (r = load(credentials, ix_asprintf("%s/containers/auth.json", config), false, err)) < 0)
		return r;
	if (!home)
		return 0;
	if (!config && (r = load(credentials, ix_asprintf("%s/.config/containers/auth.json", home), false, err)) < 0)
		return r;
	if (!docker && (r = load(credentials, ix_asprintf("%s/.docker/config.json", home), false, err)) < 0)
		return r;
	return docker ? 0 : load(credentials, ix_asprintf("%s/.dockercfg", home), true, err);
}

static struct helper_answer *find_answer(struct ix_credentials *credentials, const char *helper, const char *host)
{
	for (struct helper_answer *at = credentials->answers; at; at = at->next)
		if (strcmp(at->host, host) == 0 && strcmp(at->helper, helper) == 0)
			return at;
	return NULL;
}

static void forget_answers(struct ix_credentials *credentials, const char *host)
{
	struct helper_answer **at = &credentials->answers;

	while (*at) {
		struct helper_answer *answer = *at;

		if (strcmp(answer->host, host) != 0) {
			at = &answer->next;
			continue;
		}
		*at = answer->next;
		answer_free(answer);
	}
}

static int ask_helper(struct ix_credentials *credentials, const char *helper, const char *host, struct ix_creds *ret_creds,
		      struct ix_err *err)
{
	struct helper_answer *answer = find_answer(credentials, helper, host);

	if (answer && ix_now_ms() - answer->at_ms < HELPER_FRESH_MS) {
		creds_copy(ret_creds, &answer->creds);
		return 0;
	}
	int r = helper_get(helper, host, ret_creds, err);
	if (r < 0)
		return r;
	if (!answer) {
		answer = ix_calloc(1, sizeof(*answer));
		answer->helper = ix_strdup(helper);
		answer->host = ix_strdup(host);
		answer->next = credentials->answers;
		credentials->answers = answer;
	}
	creds_copy(&answer->creds, ret_creds);
	answer->at_ms = ix_now_ms();
	return 0;
}

static int find_locked(struct ix_credentials *credentials, const char *host, const char *repository, struct ix_creds *ret_creds,
		       struct ix_err *err)
{
	int r;

	if (!credentials->loaded) {
		r = load_all(credentials, err);
		if (r < 0)
			return r;
		credentials->loaded = true;
	}
	for (size_t i = 0; i < credentials->nfiles; i++) {
		const struct authfile *file = &credentials->files[i];
		const char *helper = authfile_helper(file, host);
		const struct ix_creds *found;

		if (helper && (r = ask_helper(credentials, helper, host, ret_creds, err)) < 0)
			return r;
		if (ix_creds_known(ret_creds))
			return 0;
		found = authfile_find(file, host, repository);
		if (found) {
			creds_copy(ret_creds, found);
			return 0;
		}
	}
	return 0;
}

int ix_credentials_find(struct ix_credentials *credentials, const char *host, const char *repository, struct ix_creds *ret_creds,
			struct ix_err *err)
{
	int r;

	pthread_mutex_lock(&credentials->lock);
	r = find_locked(credentials, host, repository, ret_creds, err);
	if (r < 0) {
		/* a broken file is read again next time, from the beginning */
		for (size_t i = 0; !credentials->loaded && i < credentials->nfiles; i++)
			authfile_release(&credentials->files[i]);
		if (!credentials->loaded)
			credentials->nfiles = 0;
	}
	pthread_mutex_unlock(&credentials->lock);
	return r;
}

void ix_credentials_refused(struct ix_credentials *credentials, const char *host)
{
	pthread_mutex_lock(&credentials->lock);
	forget_answers(credentials, host);
	pthread_mutex_unlock(&credentials->lock);
}
