/* Logins are kept where docker keeps them, in its config.json or with its helper, and taken away from there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/scope.h"
#include "credentials/authfile_int.h"
#include "credentials/credentials.h"
#include "credentials/credentials_int.h"
#include "credentials/helper_int.h"
#include "http/http.h"
#include "io/base64.h"

#define auto_json ix_scoped(json_decrefp) json_t

struct file {
	char *path;
	int lock; /* its directory: two that write at once do so one after the other */
	json_t *json;
	struct authfile parsed;
};

static void file_release(struct file *file)
{
	free(file->path);
	if (file->lock >= 0)
		close(file->lock);
	json_decref(file->json);
	authfile_release(&file->parsed);
}
#define auto_file ix_scoped(file_release) struct file

static char *directory(const struct ix_credentials *credentials, struct ix_err *err)
{
	const char *named =
		credentials->docker_config ? credentials->docker_config : getenv("DOCKER_CONFIG"); /* NOLINT(concurrency-mt-unsafe) */
	const char *home = getenv("HOME");                                                         /* NOLINT(concurrency-mt-unsafe) */

	if (named && *named)
		return ix_strdup(named);
	if (home && *home)
		return ix_asprintf("%s/.docker", home);
	ix_err_set(err, IX_EARG, "neither DOCKER_CONFIG nor HOME says where logins are kept");
	return NULL;
}

static int parse(struct file *file, const struct ix_buf *text, struct ix_err *err)
{
	int r = text->len > 0 ? authfile_parse(text->data, text->len, file->path, false, &file->parsed, err) : 0;

	if (r < 0)
		return r;
	file->json = text->len > 0 ? json_loadb(text->data, text->len, 0, NULL) : json_object();
	if (!json_is_object(json_object_get(file->json, "auths")))
		json_object_set_new(file->json, "auths", json_object());
	return 0;
}

static int open_file(const struct ix_credentials *credentials, struct file *file, struct ix_err *err)
{
	ix_auto_free char *dir = directory(credentials, err);
	ix_auto_secret_buf text = IX_BUF_INIT(1 << 20);
	char real[PATH_MAX];
	int r;

	file->lock = -1;
	if (!dir)
		return -IX_EARG;
	r = ix_mkdir_p(AT_FDCWD, dir, 0700, err);
	if (r < 0)
		return r;
	file->path = ix_asprintf("%s/config.json", dir);
	if (realpath(file->path, real)) { /* it may be a link to where dotfiles are kept */
		free(file->path);
		file->path = ix_strdup(real);
	}
	file->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->lock < 0 || flock(file->lock, LOCK_EX) < 0)
		return ix_err_sys(err, "lock %s", dir);
	r = ix_read_file(AT_FDCWD, file->path, &text, err);
	if (r < 0 && r != -IX_ENOTFOUND)
		return r;
	return parse(file, &text, err);
}

static int write_file(const struct file *file, struct ix_err *err)
{
	char *text = json_dumps(file->json, JSON_INDENT(2));
	int r = text ? ix_publish_file(AT_FDCWD, file->path, text, strlen(text), 0600, err)
		     : ix_err_set(err, IX_EFAIL, "cannot write JSON");

	ix_secret_text_free(text);
	return r;
}

/* Whatever spelling it has. True: there was something. */
static bool drop_entry(struct file *file, const char *host)
{
	ix_auto_free char *key = authfile_key(host);
	json_t *auths = json_object_get(file->json, "auths"), *value;
	const char *name;
	bool any = false;
	void *next;

	json_object_foreach_safe(auths, next, name, value)
	{
		ix_auto_free char *normal = authfile_key(name);

		if (strcmp(normal, key) == 0) {
			json_object_del(auths, name);
			any = true;
		}
	}
	return any;
}

int ix_credentials_keep(const struct ix_credentials *credentials, const char *host, const char *username, const char *password,
			char **ret_where, struct ix_err *err)
{
	auto_file file = { 0 };
	ix_auto_free char *pair = ix_asprintf("%s:%s", username, password);
	ix_auto_secret auth = { ix_base64_encode(pair, strlen(pair)) };
	const char *helper;
	int r = open_file(credentials, &file, err);

	explicit_bzero(pair, strlen(pair));
	if (r < 0)
		return r;
	helper = authfile_helper(&file.parsed, host);
	if (helper && (r = helper_store(helper, host, username, password, err)) < 0)
		return r;
	drop_entry(&file, host);
	/* docker keeps an empty entry for what its helper has */
	json_object_set_new(json_object_get(file.json, "auths"), helper_server(host),
			    helper ? json_object() : json_pack("{s:s}", "auth", auth.value));
	r = write_file(&file, err);
	if (r < 0)
		return r;
	*ret_where = helper ? ix_asprintf("docker-credential-%s", helper) : ix_strdup(file.path);
	return 0;
}

int ix_credentials_forget(struct ix_credentials *credentials, const char *host, char **ret_left, struct ix_err *err)
{
	ix_auto_creds before = { 0 }, after = { 0 };
	auto_file file = { 0 };
	const char *helper;
	bool any;
	int r = open_file(credentials, &file, err);

	if (r < 0)
		return r;
	helper = authfile_helper(&file.parsed, host);
	if (helper && ((r = helper_get(helper, host, &before, err)) < 0 || (r = helper_erase(helper, host, err)) < 0))
		return r;
	any = drop_entry(&file, host);
	if (any && (r = write_file(&file, err)) < 0)
		return r;
	r = ix_credentials_find(credentials, host, NULL, &after, err);
	if (r < 0)
		return r;
	*ret_left = ix_creds_known(&after) ? ix_strdup(after.source) : NULL;
	return any || ix_creds_known(&before) ? 0 : ix_err_set(err, IX_ENOTFOUND, "nothing is kept in %s for %s", file.path, host);
}
