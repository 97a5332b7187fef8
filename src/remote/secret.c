/* Secrets of the user that are for one host: who fetches something there says so with them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "remote_int.h"

char *remote_host(const char *url)
{
	const char *start = strstr(url, "://"), *at;
	size_t len;

	start = start ? start + 3 : url;
	at = strchr(start, '@');
	if (at && (size_t)(at - start) < strcspn(start, "/"))
		start = at + 1;
	len = strcspn(start, ":/?#");
	return ix_strndup(start, len);
}

int remote_secret(const struct ix_remotes *remotes, const char *id, char separator, const char *host, bool alone, struct ix_buf *ret_value,
		  struct ix_err *err)
{
	ix_auto_free char *particular = ix_asprintf("%s%c%s", id, separator, host);
	int r;

	if (!remotes->opts.secret)
		return -IX_ENOTFOUND;
	r = remotes->opts.secret(remotes->opts.data, particular, ret_value, err);
	if (r == -IX_ENOTFOUND && alone)
		r = remotes->opts.secret(remotes->opts.data, id, ret_value, err);
	/* A secret in a file often ends in a newline, which is no part of it. */
	while (r == 0 && ret_value->len > 0 && strchr("\r\n", ret_value->data[ret_value->len - 1]))
		ret_value->data[--ret_value->len] = '\0';
	if (r == 0 && ret_value->len > 0 && strpbrk(ret_value->data, "\r\n"))
		return ix_err_set(err, IX_EARG, "secret %s holds a line break", id);
	return r;
}
