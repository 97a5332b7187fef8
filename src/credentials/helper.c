#include "credentials/helper_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/proc.h"
#include "base/str.h"
#include "http/http.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { HELPER_TIMEOUT_MS = 60000 };

/* A helper is a name, not a path: what is run is always docker-credential-* from PATH. */
static bool is_helper_name(const char *name)
{
	return strlen(name) <= 100 && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(name);
}

static int parse_answer(const struct ix_buf *output, const char *program, struct ix_creds *creds, struct ix_err *err)
{
	auto_json *json = json_loadb(ix_buf_str(output), output->len, 0, NULL);
	const char *name = json_string_value(json_object_get(json, "Username"));
	const char *value = json_string_value(json_object_get(json, "Secret"));

	if (!name || !value)
		return ix_err_set(err, IX_EFAIL, "%s get: the answer is not a JSON object with Username and Secret", program);
	if (strcmp(name, "<token>") == 0) {
		ix_secret_set(&creds->identity, value);
	} else if (*value) {
		creds->username = ix_strdup(name);
		ix_secret_set(&creds->password, value);
	}
	creds->source = ix_strdup(program);
	return 0;
}

const char *helper_server(const char *host)
{
	return strcmp(host, "docker.io") == 0 ? "https://index.docker.io/v1/" : host;
}

/* Run it with input. 0 and an answer, or *ret_unknown: it says that it knows nothing, which is an answer, not a failure. */
static int run(const char *helper, const char *verb, const char *host, const char *input, struct ix_buf *output, bool *ret_unknown,
	       struct ix_err *err)
{
	ix_auto_free char *program = ix_asprintf("docker-credential-%s", helper);
	const char *argv[] = { program, verb, NULL };
	ix_auto_secret_buf errors = IX_BUF_INIT(IX_TOKEN_MAX);
	int status;

	*ret_unknown = false;
	if (!is_helper_name(helper)) {
		ix_auto_free char *shown = ix_printable(helper, 60);

		return ix_err_set(err, IX_EARG, "'%s' is not the name of a credential helper", shown);
	}
	if (ix_proc_run(&(struct ix_proc_opts){ .argv = argv,
						.input = input,
						.input_len = strlen(input),
						.output = output,
						.errors = &errors,
						.timeout_ms = HELPER_TIMEOUT_MS },
			&status, err) < 0) {
		if (err->code == IX_ENOTFOUND)
			err->code = IX_EFAIL; /* the program is missing, not what it was wanted for */
		return ix_err_wrap(err, "credential helper for %s", host);
	}
	if (status == 0)
		return 0;
	*ret_unknown = strstr(ix_buf_str(output), "credentials not found") || strstr(ix_buf_str(&errors), "credentials not found");
	if (*ret_unknown)
		return 0;
	ix_auto_free char *words = ix_printable(output->len > 0 ? ix_buf_str(output) : ix_buf_str(&errors), 200);
	return ix_err_set(err, IX_EFAIL, "%s %s for %s: exit status %d: %s", program, verb, host, status, words);
}

int helper_get(const char *helper, const char *host, struct ix_creds *ret_creds, struct ix_err *err)
{
	ix_auto_free char *program = ix_asprintf("docker-credential-%s", helper);
	ix_auto_secret_buf output = IX_BUF_INIT(IX_TOKEN_MAX);
	bool unknown;
	int r = run(helper, "get", host, helper_server(host), &output, &unknown, err);

	return r < 0 || unknown ? r : parse_answer(&output, program, ret_creds, err);
}

int helper_store(const char *helper, const char *host, const char *username, const char *password, struct ix_err *err)
{
	auto_json *json = json_pack("{s:s, s:s, s:s}", "ServerURL", helper_server(host), "Username", username, "Secret", password);
	char *input = json ? json_dumps(json, JSON_COMPACT) : NULL;
	ix_auto_secret_buf output = IX_BUF_INIT(IX_TOKEN_MAX);
	bool unknown;
	int r = input ? run(helper, "store", host, input, &output, &unknown, err)
		      : ix_err_set(err, IX_EARG, "user name or password is not UTF-8");

	ix_secret_text_free(input);
	return r;
}

int helper_erase(const char *helper, const char *host, struct ix_err *err)
{
	ix_auto_secret_buf output = IX_BUF_INIT(IX_TOKEN_MAX);
	bool unknown;

	return run(helper, "erase", host, helper_server(host), &output, &unknown, err);
}
