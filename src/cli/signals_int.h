/* The one cancellation of the program. */
#ifndef IX_CLI_SIGNALS_INT_H
#define IX_CLI_SIGNALS_INT_H

#include "cli_int.h"

/* Raised by SIGINT, SIGTERM and SIGHUP. A second one ends the program at once. */
struct ix_cancel *signals_cancel(void);
/* While a command of the user's has the terminal, Ctrl-C is its business. */
void signals_leave_to_child(void);

#endif
