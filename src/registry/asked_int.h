/* Asking a registry about a repository. */
#ifndef IX_REGISTRY_ASKED_INT_H
#define IX_REGISTRY_ASKED_INT_H

#include "registry/client_int.h"

/* "<base>/v2/<repository>/<rest>" at ep, settled first. repository is the upstream's; the endpoint's prefix is added. */
int asked_init(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
	       const char *method, const char *rest, struct ix_err *err);
/* A URL that the registry gave, used as it is. */
void asked_init_at(struct asked *asked, struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *actions,
		   const char *method, const char *url);
void asked_release(struct asked *asked);
#define auto_asked ix_scoped(asked_release) struct asked
/* Ask for these actions on another repository too. */
void asked_widen(struct asked *asked, const char *repository, const char *actions);

/* The next mirror or the registry itself may know better than this answer (or lack of one). */
bool asked_falls_through(const struct ix_http_request *req);
extern const char asked_accept[];
/* Content-Type without parameters; "" when it is absent or unreasonable. */
void reply_media_type(const struct ix_http_reply *reply, char media_type[static 128]);
/* Docker-Content-Digest. False when there is none that can be read. */
bool reply_digest(const struct ix_http_reply *reply, struct ix_digest *ret_digest);
/* It must be want, when it is there. */
int reply_check_digest(const struct ix_http_reply *reply, const struct ix_digest *want, const char *what, struct ix_err *err);

#endif
