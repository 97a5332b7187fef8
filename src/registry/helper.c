#include "registry/helper_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/proc.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { HELPER_TIMEOUT_MS = 60000 };

/* A helper is a name, not a path: what is run is always docker-credential-* from PATH. */
static bool is_helper_name(const char *name)
{
	return strlen(name) <= 100 && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(name);
}

static int parse_answer(const struct ix_buf *output, const char *program, struct creds *creds, struct ix_err *err)
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

int helper_get(const char *helper, const char *host, struct creds *ret_creds, struct ix_err *err)
{
	ix_auto_free char *program = ix_asprintf("docker-credential-%s", helper);
	const char *server = strcmp(host, "docker.io") == 0 ? "https://index.docker.io/v1/" : host;
	const char *argv[] = { program, "get", NULL };
	ix_auto_secret_buf output = IX_BUF_INIT(IX_TOKEN_MAX);
	ix_auto_secret_buf errors = IX_BUF_INIT(IX_TOKEN_MAX);
	int status;

	if (!is_helper_name(helper)) {
		ix_auto_free char *shown = ix_printable(helper, 60);

		return ix_err_set(err, IX_EARG, "'%s' is not the name of a credential helper", shown);
	}
	if (ix_proc_run(&(struct ix_proc_opts){ .argv = argv,
						.input = server,
						.input_len = strlen(server),
						.output = &output,
						.errors = &errors,
						.timeout_ms = HELPER_TIMEOUT_MS },
			&status, err) < 0) {
		if (err->code == IX_ENOTFOUND)
			err->code = IX_EFAIL; /* the program is missing, not what it was wanted for */
		return ix_err_wrap(err, "credential helper for %s", host);
	}
	if (status == 0)
		return parse_answer(&output, program, ret_creds, err);
	/* helpers say on standard output, in words, that they know nothing: that is an answer, not a failure */
	if (strstr(ix_buf_str(&output), "credentials not found") || strstr(ix_buf_str(&errors), "credentials not found"))
		return 0;
	ix_auto_free char *words = ix_printable(output.len > 0 ? ix_buf_str(&output) : ix_buf_str(&errors), 200);
	return ix_err_set(err, IX_EFAIL, "%s get for %s: exit status %d: %s", program, host, status, words);
}
