/* Signals of the terminal and of whoever runs us: the first asks to end, the second does not ask. */
#ifndef IX_CLI_SIGNALS_INT_H
#define IX_CLI_SIGNALS_INT_H

struct ix_cancel;
/* Once, before any command runs. */
void signals_catch(void);
void signals_release(void);
/* Raised by the first of them. */
struct ix_cancel *signals_cancel(void);
/* From now on the terminal's are for the child in front of it. */
void signals_leave_to_child(void);

#endif
