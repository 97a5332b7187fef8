/*
 * Cancellation: one flag that any thread may raise and every long operation looks at. The descriptor becomes readable when it is raised, so
 * poll(2) and epoll(7) wake too.
 */
#ifndef IX_BASE_CANCEL_H
#define IX_BASE_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/scope.h"

struct ix_cancel;

/* Not raised; it stays raised once it is. */
struct ix_cancel *ix_cancel_new(void);
/* One that is raised with parent (borrowed; may be NULL) too, but does not raise it: for work that may be stopped by itself. */
struct ix_cancel *ix_cancel_new_below(const struct ix_cancel *parent);
void ix_cancel_free(struct ix_cancel *cancel);
IX_DEFINE_FREEP(struct ix_cancel, ix_cancel_free)
void ix_cancel_raise(struct ix_cancel *cancel);        /* async-signal-safe, thread-safe */
bool ix_cancel_raised(const struct ix_cancel *cancel); /* NULL is never raised */
int ix_cancel_fd(const struct ix_cancel *cancel);      /* borrowed; -1 for NULL */
/* 0, or -IX_ECANCELED with err set. */
int ix_cancel_check(const struct ix_cancel *cancel, struct ix_err *err);
/* Sleep, but not through a cancellation: then -IX_ECANCELED. */
int ix_cancel_sleep(const struct ix_cancel *cancel, uint64_t ms, struct ix_err *err);

#endif
