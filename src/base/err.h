/*
 * The error every fallible call reports through.
 *
 * A function returns 0 (or a documented count) or a negative code, and fills err exactly when it fails. The struct is a plain value: nothing
 * to free, so it needs no memory when memory is short, and a sandboxed child can send it through a pipe.
 *
 * Messages are lower case, without a full stop, name the thing that failed and what to do; positions ("Dockerfile:12:3: ") come first.
 */
#ifndef IX_BASE_ERR_H
#define IX_BASE_ERR_H

#include "base/compiler.h"

/* What a caller can act on. Returned negated: -IX_ENOTFOUND. */
enum ix_errc {
	IX_OK = 0,
	IX_EFAIL,     /* it did not work, and no caller needs to know more */
	IX_EARG,      /* the user's input is wrong: files, options, names */
	IX_ESYS,      /* a system call failed; err.sys holds errno */
	IX_ENOTFOUND, /* the thing asked for does not exist */
	IX_EEXIST,    /* it exists already */
	IX_ECORRUPT,  /* bytes do not match their digest or format */
	IX_ELIMIT,    /* larger than the limit set for it */
	IX_ECANCELED, /* stopped on request (Ctrl-C, or a sibling failed) */
	IX_EAUTH,     /* credentials missing or refused */
	IX_ESTEP,     /* a build step's command failed; err.sys holds its exit status */
	IX_EGONE,     /* it is known to be there, and nobody who should have it gives it */
	IX_EFACTS,    /* a value depends on a base image's config that has not been read yet */
};

struct ix_err {
	enum ix_errc code;
	int sys;          /* errno for IX_ESYS, exit status for IX_ESTEP, else 0 */
	char msg[700];    /* one line, outermost context first */
	char detail[900]; /* optional further lines: an excerpt with a caret; "" when there is none */
};

/* Fill err and return -code. */
int ix_err_set(struct ix_err *err, enum ix_errc code, const char *fmt, ...) ix_printf(3, 4) ix_cold;
/* Fill err from errno: "<text>: No such file or directory". EEXIST becomes IX_EEXIST, everything else is IX_ESYS. Returns -code. */
int ix_err_sys(struct ix_err *err, const char *fmt, ...) ix_printf(2, 3) ix_cold;
/* The same of a lookup, of something by its name: ENOENT is an answer, IX_ENOTFOUND. A file that is missing on the way to something else is none. */
int ix_err_lookup(struct ix_err *err, const char *fmt, ...) ix_printf(2, 3) ix_cold;
/* Put context in front of what is already there: "<text>: <old message>". Returns -code. */
int ix_err_wrap(struct ix_err *err, const char *fmt, ...) ix_printf(2, 3) ix_cold;
/* Append text to the detail lines, cut at the limit of the field. Returns -code. */
int ix_err_detail(struct ix_err *err, const char *fmt, ...) ix_printf(2, 3) ix_cold;
/* Excerpt for an error at a position of a text file: the line with its number and a caret below column (1-based bytes; 0: no caret).
 * text is the whole file. Sets detail; returns -code. */
int ix_err_excerpt(struct ix_err *err, const char *text, unsigned line, unsigned column);
/* Take over an error that was kept. Returns -code. */
int ix_err_copy(struct ix_err *err, const struct ix_err *kept) ix_cold;
/* The code that err holds, negated: for who gave context or a reason to an error and returns it again. */
static inline int ix_err_code(const struct ix_err *err)
{
	return -(int)err->code;
}
/* A broken invariant: prints and aborts. Never for bad input. */
void ix_bug(const char *fmt, ...) ix_printf(1, 2) ix_noreturn ix_cold;

#endif
