#ifndef IX_HTTP_TRUST_INT_H
#define IX_HTTP_TRUST_INT_H

#include <curl/curl.h>

#include "http/http.h"

/* show: present the client certificate, if there is one. */
void trust_apply(const struct ix_http_trust *trust, bool show, CURL *easy);

#endif
