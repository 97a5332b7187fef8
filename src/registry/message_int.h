#ifndef IX_REGISTRY_MESSAGE_INT_H
#define IX_REGISTRY_MESSAGE_INT_H

#include "http/http.h"

/* The err of a reply that is not what was hoped for: "GET url: 404 not found: what the registry said". Returns its negative code. */
int reply_error(const struct ix_http_request *req, struct ix_err *err);

#endif
