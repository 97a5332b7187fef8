/* One request sent once, and its reply, over curl. */
#ifndef IX_HTTP_EXCHANGE_INT_H
#define IX_HTTP_EXCHANGE_INT_H

#include "http/http.h"

enum { REPLY_HEADERS_MAX = 64 << 10, REPLY_BODY_MAX = 64 << 10 };

/* Make req->easy, ready to be run. */
int exchange_begin(struct ix_http_request *req, struct ix_err *err);
/* Take what has come and let go of it. */
void exchange_end(struct ix_http_request *req);
void reply_release(struct ix_http_reply *reply);

#endif
