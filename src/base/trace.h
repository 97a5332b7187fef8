/* Debug lines on standard error, off unless IX_TRACE names the topic: IX_TRACE=store,registry; IX_TRACE=all. Never give it a secret. */
#ifndef IX_BASE_TRACE_H
#define IX_BASE_TRACE_H

#include <stdbool.h>

#include "base/compiler.h"

/* Is the topic asked for? For what costs something to tell. */
bool ix_trace_on(const char *topic);
/* One line, "topic: text"; nothing when it is off. */
void ix_trace(const char *topic, const char *fmt, ...) ix_printf(2, 3);

#endif
