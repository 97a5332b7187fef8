/* Running another program and talking to it. Children are made with posix_spawn only, so threads in ix are harmless. */
#ifndef IX_BASE_PROC_H
#define IX_BASE_PROC_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

struct ix_proc_opts {
	const char *const *argv; /* NULL terminated; argv[0] is looked up in PATH */
	const char *const *env;  /* NULL: inherit */
	const void *input;       /* fed to standard input; NULL: /dev/null */
	size_t input_len;
	struct ix_buf *output;          /* standard output, up to its limit; NULL: discarded */
	struct ix_buf *errors;          /* standard error; NULL: inherited */
	unsigned timeout_ms;            /* 0: none; the child is killed when it passes */
	const struct ix_cancel *cancel; /* kills the child: -IX_ECANCELED; NULL: none */
};

/* Run to the end. 0 with *ret_status the exit status (128+n for a signal), or a negative code when it could not be run. */
int ix_proc_run(const struct ix_proc_opts *opts, int *ret_status, struct ix_err *err) ix_must_use;

#endif
