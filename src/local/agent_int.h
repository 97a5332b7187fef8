/* SSH agents for RUN --mount=type=ssh. */
#ifndef IX_LOCAL_AGENT_INT_H
#define IX_LOCAL_AGENT_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct agent_mode {
	uint32_t mode, uid, gid;
};
struct agent;
/* A socket by that name in the directory, where it must not exist, that leads to the agent listening at target. */
int agent_start(const char *target, int dir_fd, const char *name, const struct agent_mode *mode, struct agent **ret_agent,
		struct ix_err *err);
void agent_stop(struct agent *agent); /* NULL is fine */

#endif
