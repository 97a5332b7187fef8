#include "credentials/authfile_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "io/base64.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { ENTRIES_MAX = 10000 };

bool ix_creds_known(const struct ix_creds *creds)
{
	return creds->password.value || creds->identity.value || creds->registry.value;
}

void ix_creds_release(struct ix_creds *creds)
{
	free(creds->username);
	ix_secret_release(&creds->password);
	ix_secret_release(&creds->identity);
	ix_secret_release(&creds->registry);
	free(creds->source);
	*creds = (struct ix_creds){ 0 };
}

void creds_copy(struct ix_creds *to, const struct ix_creds *from)
{
	ix_creds_release(to);
	to->username = ix_strdup(from->username);
	ix_secret_copy(&to->password, &from->password);
	ix_secret_copy(&to->identity, &from->identity);
	ix_secret_copy(&to->registry, &from->registry);
	to->source = ix_strdup(from->source);
}

static bool is_hub(const char *host)
{
	return ix_streq(host, "index.docker.io") || ix_streq(host, "registry-1.docker.io") || ix_streq(host, "docker.io");
}

/* "https://index.docker.io/v1/" and its like to "host[/path]": docker writes URLs, containers' tools host and path. */
char *authfile_key(const char *key)
{
	ix_auto_free char *text = NULL;
	size_t len;

	if (ix_starts(key, "https://"))
		key += 8;
	else if (ix_starts(key, "http://"))
		key += 7;
	text = ix_strdup(key);
	for (len = strlen(text); len > 0 && text[len - 1] == '/'; len--)
		text[len - 1] = '\0';
	if (ix_ends(text, "/v1") || ix_ends(text, "/v2"))
		text[strlen(text) - 3] = '\0';
	len = strcspn(text, "/");
	if (text[len] == '\0')
		return ix_strdup(is_hub(text) ? "docker.io" : text);
	text[len] = '\0';
	return ix_asprintf("%s/%s", is_hub(text) ? "docker.io" : text, text + len + 1);
}

static const char *text_member(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

/* "auth" is base64 of name:password; docker pads it with NULs on some platforms. */
static int split_auth(const char *auth, struct ix_creds *creds)
{
	size_t len;
	char *text = ix_base64_decode(auth, &len);
	char *colon = text ? strchr(text, ':') : NULL;
	int r = -1;

	if (colon && colon != text) {
		creds->username = ix_strndup(text, (size_t)(colon - text));
		ix_secret_set(&creds->password, colon + 1);
		r = 0;
	}
	ix_secret_text_free(text);
	return r;
}

static int parse_entry(const char *key, const json_t *value, const char *name, struct ix_creds *creds, struct ix_err *err)
{
	const char *auth = text_member(value, "auth");

	if (auth && split_auth(auth, creds) < 0) {
		ix_auto_free char *shown = ix_printable(key, 120);

		return ix_err_set(err, IX_EARG, "%s: auths '%s': 'auth' is not base64 of name:password, log in again", name, shown);
	}
	if (!creds->username)
		creds->username = ix_strdup(text_member(value, "username"));
	if (!creds->password.value)
		ix_secret_set(&creds->password, text_member(value, "password"));
	/* docker stores an empty or placeholder password beside an identity token */
	ix_secret_set(&creds->identity, text_member(value, "identitytoken"));
	ix_secret_set(&creds->registry, text_member(value, "registrytoken"));
	if (!creds->username)
		ix_secret_release(&creds->password);
	creds->source = ix_strdup(name);
	return 0;
}

static int parse_auths(json_t *auths, const char *name, struct authfile *file, struct ix_err *err)
{
	const char *key;
	json_t *value;
	int r;

	if (json_object_size(auths) > ENTRIES_MAX)
		return ix_err_set(err, IX_ELIMIT, "%s: more than %d logins", name, ENTRIES_MAX);
	file->entries = ix_calloc(json_object_size(auths) + 1, sizeof(*file->entries));
	json_object_foreach(auths, key, value)
	{
		struct authfile_entry *entry = &file->entries[file->count];

		if (!json_is_object(value))
			continue;
		file->count++;
		entry->key = authfile_key(key);
		r = parse_entry(key, value, name, &entry->creds, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void parse_helpers(json_t *helpers, struct authfile *file)
{
	const char *host;
	json_t *helper;

	json_object_foreach(helpers, host, helper)
	{
		if (!json_is_string(helper) || !*json_string_value(helper) || file->helpers.count > ENTRIES_MAX)
			continue;
		ix_strv_take(&file->helpers, authfile_key(host));
		ix_strv_add(&file->helpers, json_string_value(helper));
	}
}

int authfile_parse(const char *bytes, size_t len, const char *name, bool legacy, struct authfile *ret_file, struct ix_err *err)
{
	auto_authfile file = { 0 };
	auto_json *json = NULL;
	json_error_t why;

	json = json_loadb(bytes, len, 0, &why);
	if (!json) {
		ix_auto_free char *text = ix_printable(why.text, 120);

		return ix_err_set(err, IX_EARG, "%s:%d:%d: %s", name, why.line, why.column, text);
	}
	if (!json_is_object(json))
		return ix_err_set(err, IX_EARG, "%s: not a JSON object", name);
	int r = parse_auths(legacy ? json : json_object_get(json, "auths"), name, &file, err);
	if (r < 0)
		return r;
	if (!legacy) {
		parse_helpers(json_object_get(json, "credHelpers"), &file);
		file.store = ix_strdup(text_member(json, "credsStore"));
	}
	*ret_file = file;
	file = (struct authfile){ 0 };
	return 0;
}

void authfile_release(struct authfile *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->entries[i].key);
		ix_creds_release(&file->entries[i].creds);
	}
	free(file->entries);
	ix_strv_release(&file->helpers);
	free(file->store);
	*file = (struct authfile){ 0 };
}

const struct ix_creds *authfile_find(const struct authfile *file, const char *host, const char *repository)
{
	ix_auto_free char *path = ix_asprintf("%s/%s", is_hub(host) ? "docker.io" : host, repository ? repository : "");

	for (;;) {
		char *slash = strrchr(path, '/');

		for (size_t i = 0; i < file->count; i++)
			if (strcmp(file->entries[i].key, path) == 0 && ix_creds_known(&file->entries[i].creds))
				return &file->entries[i].creds;
		if (!slash)
			return NULL;
		*slash = '\0';
	}
}

const char *authfile_helper(const struct authfile *file, const char *host)
{
	const char *key = is_hub(host) ? "docker.io" : host;

	for (size_t i = 0; i + 1 < file->helpers.count; i += 2)
		if (strcmp(file->helpers.items[i], key) == 0)
			return file->helpers.items[i + 1];
	return file->store;
}
