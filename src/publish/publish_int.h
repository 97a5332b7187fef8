#ifndef IX_PUBLISH_PUBLISH_INT_H
#define IX_PUBLISH_PUBLISH_INT_H

#include "publish/publish.h"

/* A record for an image that the registry has without one: what the key is made of, but not the layers of its steps. */
int record_of_found(const struct ix_publish_opts *opts, const struct ix_plan_stage *planned, struct ix_digest *ret_record,
		    struct ix_err *err);

#endif
