/* The client as the files of this room share it. */
#ifndef IX_HTTP_HTTP_INT_H
#define IX_HTTP_HTTP_INT_H

#include <stdatomic.h>

#include "http/http.h"
#include "http/lane_int.h"

struct ix_http {
	struct lanes lanes;
	const struct ix_cancel *cancel;
	unsigned timeout_s;
	unsigned retry_s;
	atomic_uint_fast64_t requests;
	atomic_uint_fast64_t bytes_down;
	atomic_uint_fast64_t bytes_up;
};

#endif
