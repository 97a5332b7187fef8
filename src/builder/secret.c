#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "builder/builder.h"

static int read_secret(const struct ix_build_secret *secret, struct ix_buf *value, struct ix_err *err)
{
	const char *text;

	if (secret->file)
		return ix_read_file(AT_FDCWD, secret->file, value, err);
	text = getenv(secret->env);
	if (!text)
		return ix_err_set(err, IX_ENOTFOUND, "environment variable %s is not set", secret->env);
	return ix_buf_append(value, text, strlen(text), err);
}

/* It was given, so it is not one that is not there. */
static int given_badly(const char *id, struct ix_err *err)
{
	if (err->code == IX_ENOTFOUND)
		err->code = IX_EFAIL;
	return ix_err_wrap(err, "secret %s", id);
}

int ix_build_secret_read(const struct ix_build_secret *secrets, size_t count, const char *id, struct ix_buf *ret_value, struct ix_err *err)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(secrets[i].id, id) == 0)
			return read_secret(&secrets[i], ret_value, err) < 0 ? given_badly(id, err) : 0;
	return ix_err_set(err, IX_ENOTFOUND, "secret %s: not found", id);
}
