#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/proc.h"
#include "yaml_int.h"

enum { CREDENTIAL_MAX = 64 << 10, COMMAND_MS = 30000 };

struct ix_host_config *hosts_get(struct ix_arena *arena, struct ix_host_config **hosts, size_t *nhosts, const char *host)
{
	struct ix_host_config *found;

	for (size_t i = 0; i < *nhosts; i++)
		if (strcmp((*hosts)[i].host, host) == 0)
			return &(*hosts)[i];
	found = IX_ARENA_PUSH(arena, *hosts, *nhosts);
	*found = (struct ix_host_config){ .host = host };
	return found;
}

static const char *const kinds[] = { "env", "file", "command" };

int credential_read(const struct yaml *yaml, const struct member *member, struct ix_credential *credential, struct ix_err *err)
{
	struct member inner;
	void *iter = NULL;
	int r;

	if (member->value && fy_node_is_scalar(member->value))
		return yaml_err(yaml, &member->place, err,
				"'%s' must not stand in the file itself: write { env: NAME }, { file: PATH } or { command: COMMAND }",
				member->key);
	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	r = yaml_next(yaml, member->value, &iter, &inner, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r > 0 && i < IX_ARRAY_LEN(kinds); i++)
		if (strcmp(inner.key, kinds[i]) == 0)
			credential->kind = (enum ix_credential_kind)(IX_CREDENTIAL_ENV + i);
	if (r > 0 && credential->kind == IX_CREDENTIAL_NONE)
		return yaml_unknown(yaml, &inner, member->key, kinds, IX_ARRAY_LEN(kinds), err);
	if (r == 0 || yaml_next(yaml, member->value, &iter, &(struct member){ 0 }, err) != 0)
		return yaml_err(yaml, &member->place, err, "'%s' takes exactly one of env, file and command", member->key);
	return yaml_text(yaml, &inner, false, &credential->value, err);
}

static int read_host(struct yaml *yaml, const struct member *member, struct ix_host_config *host, struct ix_err *err)
{
	static const char *const keys[] = { "username", "password", "ca", "insecure", "mirrors" };
	struct member inner;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0) {
		if (strcmp(inner.key, "username") == 0)
			r = credential_read(yaml, &inner, &host->username, err);
		else if (strcmp(inner.key, "password") == 0)
			r = credential_read(yaml, &inner, &host->password, err);
		else if (strcmp(inner.key, "ca") == 0)
			r = yaml_text(yaml, &inner, false, &host->ca_file, err);
		else if (strcmp(inner.key, "insecure") == 0)
			r = yaml_bool(yaml, &inner, &host->insecure, err);
		else if (strcmp(inner.key, "mirrors") == 0)
			r = yaml_texts(yaml, &inner, &host->mirrors, &host->nmirrors, err);
		else
			r = yaml_unknown(yaml, &inner, "a registry", keys, IX_ARRAY_LEN(keys), err);
		if (r < 0)
			return r;
	}
	if (host->nmirrors > 0)
		*IX_ARENA_PUSH(yaml->arena, host->mirrors, host->nmirrors) = NULL;
	if (host->nmirrors > 0)
		host->nmirrors--;
	return r;
}

int hosts_read(struct yaml *yaml, const struct member *member, struct ix_host_config **hosts, size_t *nhosts, struct ix_err *err)
{
	struct member inner;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0)
		if ((r = read_host(yaml, &inner, hosts_get(yaml->arena, hosts, nhosts, inner.key), err)) < 0)
			return r;
	return r;
}

static int run_command(const char *command, struct ix_buf *out, struct ix_err *err)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	int status;
	int r = ix_proc_run(&(struct ix_proc_opts){ .argv = argv, .output = out, .timeout_ms = COMMAND_MS }, &status, err);

	if (r < 0)
		return r;
	return status == 0 ? 0 : ix_err_set(err, IX_EAUTH, "credential command failed with status %d: %s", status, command);
}

int ix_credential_read(const struct ix_credential *credential, char **ret_value, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(CREDENTIAL_MAX);
	const char *value;
	int r;

	switch (credential->kind) {
	case IX_CREDENTIAL_NONE:
		*ret_value = NULL;
		return 0;
	case IX_CREDENTIAL_ENV:
		value = getenv(credential->value);
		if (!value)
			return ix_err_set(err, IX_EAUTH, "environment variable %s is not set", credential->value);
		*ret_value = ix_strdup(value);
		return 0;
	case IX_CREDENTIAL_FILE:
		r = ix_read_file(AT_FDCWD, credential->value, &text, err);
		if (r < 0)
			return r;
		break;
	case IX_CREDENTIAL_COMMAND:
		r = run_command(credential->value, &text, err);
		if (r < 0)
			return r;
		break;
	}
	*ret_value = ix_strndup(ix_buf_str(&text), strcspn(ix_buf_str(&text), "\r\n"));
	explicit_bzero(text.data, text.len);
	return 0;
}
