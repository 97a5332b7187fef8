/* URLs, and the parts of them that decide whom to trust. */
#ifndef IX_REGISTRY_URL_INT_H
#define IX_REGISTRY_URL_INT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* "https://host:port" in lower case with the port spelled out: two URLs that differ here are different servers. IX_EFAIL for what is not an
 * http or https URL, or carries a user name. */
int url_origin(const char *url, char **ret_origin, struct ix_err *err);
/* host[:port] of an origin or URL, as it stands there. Caller frees. */
char *url_authority(const char *url);
bool url_is_https(const char *url);
/* localhost, *.localhost, 127.0.0.0/8 and [::1], with or without a port. */
bool url_is_loopback(const char *authority);
/* What a Location or Link means on a page: absolute ones and queries stay byte for byte as they were sent. */
int url_resolve(const char *page, const char *location, char **ret_url, struct ix_err *err);
/* "?key=value" or "&key=value", percent-encoded, appended to a URL being built. */
void url_add_query(struct ix_buf *url, const char *key, const char *value);
/* "key=value" or "&key=value", percent-encoded, appended to a form. */
void url_add_form(struct ix_buf *form, const char *key, const char *value);
/* For messages: without query and fragment, which may be signatures, and printable. Caller frees. */
char *url_shown(const char *url);

#endif
