/* Secrets of a build: --secret, and those whose contents count for keys. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/redact.h"
#include "base/str.h"
#include "builder/builder.h"
#include "graph/graph.h"
#include "io/digest.h"
#include "project/project.h"
#include "workspace_int.h"

/* id=ID[,src=FILE|,env=NAME]; without either: the variable of that name if there is one, otherwise the file. */
int secrets_parse(const struct ix_strv *specs, struct ix_secrets *secrets, struct ix_err *err)
{
	secrets->items = ix_calloc(specs->count, sizeof(*secrets->items));
	for (size_t i = 0; i < specs->count; i++) {
		ix_auto_strv fields = { 0 };
		struct ix_build_secret *secret = &secrets->items[secrets->count++];
		const char *id, *file, *env, *type;

		ix_csv_fields(specs->items[i], &fields);
		id = ix_env_get(&fields, "id");
		file = ix_env_get(&fields, "src") ? ix_env_get(&fields, "src") : ix_env_get(&fields, "source");
		env = ix_env_get(&fields, "env");
		type = ix_env_get(&fields, "type");
		if (!id || !*id)
			return ix_err_set(err, IX_EARG, "--secret %s: id=NAME is missing", specs->items[i]);
		if (type && strcmp(type, "file") != 0 && strcmp(type, "env") != 0)
			return ix_err_set(err, IX_EARG, "--secret %s: type is file or env", specs->items[i]);
		if (type && strcmp(type, "env") == 0 && !env)
			env = file ? file : id;
		if (!env && !file && getenv(id))
			env = id;
		if (!env && !file)
			file = id;
		ix_strv_add(&secrets->texts, id);
		secret->id = secrets->texts.items[secrets->texts.count - 1];
		ix_strv_add(&secrets->texts, env ? env : file);
		*(env ? &secret->env : &secret->file) = secrets->texts.items[secrets->texts.count - 1];
		if (env && !getenv(env))
			return ix_err_set(err, IX_EARG, "--secret %s: environment variable %s is not set", specs->items[i], env);
		if (!env && access(file, R_OK) < 0)
			return ix_err_sys(err, "--secret %s: %s", specs->items[i], file);
	}
	return 0;
}

void secrets_release(struct ix_secrets *secrets)
{
	ix_strv_release(&secrets->texts);
	free(secrets->items);
	*secrets = (struct ix_secrets){ 0 };
}

static bool counts(const struct ix_project *project, const char *id)
{
	for (size_t i = 0; project && i < project->nsecret_digests; i++)
		if (strcmp(project->secret_digests[i], id) == 0)
			return true;
	return false;
}

static int salted(const char *salt, const struct ix_buf *value, struct ix_digest *ret_digest)
{
	enum { SALT = 1, VALUE };
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();

	ix_hash_text(hash, SALT, salt);
	ix_hash_field(hash, VALUE, value->data, value->len);
	ix_hash_final(hash, ret_digest);
	return 0;
}

/* Without the salt a short secret could be guessed from its digest, so there is none without it. */
int secret_digest(void *data, const char *id, struct ix_digest *ret_digest, struct ix_err *err)
{
	const struct workspace *ws = data;
	ix_auto_buf value = IX_BUF_INIT(IX_TEXT_MAX);
	char *salt = NULL;
	int r;

	if (!counts(ws->base.project, id))
		return -IX_ENOTFOUND;
	r = ix_build_secret_read(ws->base.request->secret_list.items, ws->base.request->secret_list.count, id, &value, err);
	if (r == -IX_ENOTFOUND)
		return ix_err_set(err, IX_EARG,
				  "the contents of secret '%s' count for keys (secrets: digest:), and it was not given: --secret id=%s,...",
				  id, id);
	if (r == 0)
		r = ix_credential_read(&ws->base.project->secret_salt, &salt, err);
	if (r == 0 && (!salt || !*salt))
		r = ix_err_set(err, IX_EARG, "secrets: digest: needs a salt: that is not empty");
	if (r == 0)
		r = salted(salt, &value, ret_digest);
	if (salt)
		explicit_bzero(salt, strlen(salt));
	free(salt);
	if (value.data)
		explicit_bzero(value.data, value.len);
	return r;
}

int secret_value(void *data, const char *id, struct ix_buf *ret_value, struct ix_err *err)
{
	const struct workspace *ws = data;

	return ix_build_secret_read(ws->base.request->secret_list.items, ws->base.request->secret_list.count, id, ret_value, err);
}

/* --- what is not to be said --- */

static void hide_text(struct workspace *ws, const char *name, const char *value)
{
	if (value && ix_names_secret(name))
		ix_redactor_add(ws->base.redactor, value, strlen(value));
}

static void hide_args(struct workspace *ws)
{
	const struct ix_strv *args = &ws->base.request->build_args;

	for (size_t i = 0; i < args->count; i++) {
		const char *equals = strchr(args->items[i], '=');
		ix_auto_free char *name =
			equals ? ix_strndup(args->items[i], (size_t)(equals - args->items[i])) : ix_strdup(args->items[i]);

		hide_text(ws, name, equals ? equals + 1 : getenv(name)); /* NOLINT(concurrency-mt-unsafe) */
	}
	for (size_t i = 0; ws->base.project && i < ws->base.project->nstages; i++) {
		const struct ix_project_stage *stage = &ws->base.project->stages[i];

		for (size_t j = 0; j < stage->nargs; j++)
			hide_text(ws, stage->args[j].name,
				  stage->args[j].value ? stage->args[j].value
						       : getenv(stage->args[j].name)); /* NOLINT(concurrency-mt-unsafe) */
	}
}

void secrets_hide(struct workspace *ws)
{
	const struct ix_secrets *secrets = &ws->base.request->secret_list;

	for (size_t i = 0; i < secrets->count; i++) {
		ix_auto_buf value = IX_BUF_INIT(IX_TEXT_MAX);
		struct ix_err ignored; /* told by the step that needs it */

		if (ix_build_secret_read(secrets->items, secrets->count, secrets->items[i].id, &value, &ignored) == 0 && value.len > 0)
			ix_redactor_add(ws->base.redactor, value.data, value.len);
		if (value.data)
			explicit_bzero(value.data, value.len);
	}
	hide_args(ws);
}
