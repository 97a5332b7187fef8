/*
 * Jobs, readiness, budgets and cancellation on a few threads. It knows nothing of images.
 *
 * A job is ready when everything it comes after has succeeded. Of the ready ones the job with the longest way still to go is started first.
 */
#ifndef IX_SCHED_SCHED_H
#define IX_SCHED_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/scope.h"

enum ix_job_state {
	IX_JOB_WAITING,
	IX_JOB_READY,
	IX_JOB_RUNNING,
	IX_JOB_DONE,
	IX_JOB_FAILED,
	IX_JOB_SKIPPED,  /* never started: something it comes after did not succeed, or the run was stopped */
	IX_JOB_CANCELED, /* it ran, and ended with -IX_ECANCELED */
};

struct ix_sched;
struct ix_job; /* belongs to its sched */

/* parallel: how many jobs run at once, at least 1. cancel is borrowed; it is raised when a job fails. */
struct ix_sched *ix_sched_new(unsigned parallel, struct ix_cancel *cancel);
void ix_sched_free(struct ix_sched *sched);
IX_DEFINE_FREEP(struct ix_sched, ix_sched_free)
/* From now on a failure only skips what comes after it, cancel is not raised, and the rest goes on. */
void ix_sched_keep_going(struct ix_sched *sched);

/*
 * cost: any unit, used to find the longest way; run is called once, on a thread of the sched, with a stack of 2 MiB. A running job may add
 * jobs: those come after it, so what else they come after can be said before it returns.
 */
struct ix_job *ix_sched_add(struct ix_sched *sched, uint64_t cost, int (*run)(void *data, struct ix_err *err), void *data);
/*
 * A job beside the others: it runs on threads of its own (ix_sched_beside), and whether it succeeds is nobody else's business: its failure
 * stops nothing and is not the run's, and the run's failure does not stop it. Who wants to cancel it does so from outside.
 */
struct ix_job *ix_sched_add_beside(struct ix_sched *sched, int (*run)(void *data, struct ix_err *err), void *data);
/* How many jobs run at once beside the others; before the run. */
void ix_sched_beside(struct ix_sched *sched, unsigned parallel);
/* job starts only after earlier succeeded. Both are jobs of one sched; job has not become ready yet: before the run, or added by the running
 * job that calls this. A cycle is a bug, found when the sched runs. */
void ix_job_after(struct ix_job *job, struct ix_job *earlier);
enum ix_job_state ix_job_state(const struct ix_job *job);

/*
 * Run all jobs; once. When one that is not beside fails, running ones see the raised cancel, and nothing more is started: those jobs end SKIPPED. Returns the
 * first failure that was not itself a cancellation, or -IX_ECANCELED when somebody else raised cancel.
 */
int ix_sched_run(struct ix_sched *sched, struct ix_err *err);

#endif
