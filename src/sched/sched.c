#include "sched/sched.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/err.h"

enum { STACK = 2 << 20, THREADS_MAX = 1024 };

struct ix_job {
	struct ix_sched *sched;
	int (*run)(void *data, struct ix_err *err);
	void *data;
	uint64_t cost;
	uint64_t way; /* cost of the longest chain that begins here */
	enum ix_job_state state;
	bool beside;
	unsigned unmet; /* jobs it still waits for; 0: ready */
	struct ix_job **users;
	size_t nusers, users_cap;
};

struct ix_sched {
	unsigned parallel, parallel_beside;
	struct ix_cancel *cancel;

	pthread_mutex_t lock; /* everything below, and the jobs' state, unmet, way and users */
	pthread_cond_t changed;
	struct ix_job **jobs;
	size_t njobs, cap;
	size_t left; /* jobs not ended */
	unsigned running;
	bool started;
	bool keep_going;
	bool ways_known;
	bool stop; /* a job failed, or somebody canceled: start nothing more */
	bool failed;
	struct ix_err err;
};

/* The job this thread runs. */
static _Thread_local struct ix_job *current;

struct ix_sched *ix_sched_new(unsigned parallel, struct ix_cancel *cancel)
{
	struct ix_sched *sched = ix_calloc(1, sizeof(*sched));

	sched->parallel = parallel == 0 ? 1 : parallel > THREADS_MAX ? THREADS_MAX : parallel;
	sched->cancel = cancel;
	pthread_mutex_init(&sched->lock, NULL);
	pthread_cond_init(&sched->changed, NULL);
	return sched;
}

void ix_sched_free(struct ix_sched *sched)
{
	if (!sched)
		return;
	for (size_t i = 0; i < sched->njobs; i++) {
		free(sched->jobs[i]->users);
		free(sched->jobs[i]);
	}
	free(sched->jobs);
	pthread_mutex_destroy(&sched->lock);
	pthread_cond_destroy(&sched->changed);
	free(sched);
}

void ix_sched_keep_going(struct ix_sched *sched)
{
	pthread_mutex_lock(&sched->lock);
	sched->keep_going = true;
	pthread_mutex_unlock(&sched->lock);
}

/* --- the graph; under the lock --- */

static bool has_ended(const struct ix_job *job)
{
	return job->state != IX_JOB_WAITING && job->state != IX_JOB_READY && job->state != IX_JOB_RUNNING;
}

static void skip(struct ix_job *job)
{
	job->state = IX_JOB_SKIPPED;
	job->sched->left--;
}

/* Skip job and all that comes after it. Each is queued once, when it is skipped, so the queue holds every job at most once. */
static void skip_with_users(struct ix_job *job)
{
	ix_auto_free struct ix_job **queue = ix_calloc(job->sched->njobs, sizeof(struct ix_job *));
	size_t n = 0;

	skip(job);
	queue[n++] = job;
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < queue[i]->nusers; j++) {
			struct ix_job *user = queue[i]->users[j];

			if (has_ended(user))
				continue;
			skip(user);
			queue[n++] = user;
		}
	}
}

static void put_after(struct ix_job *job, struct ix_job *earlier)
{
	if (job->state != IX_JOB_WAITING && job->state != IX_JOB_SKIPPED)
		ix_bug("a job that may have started is put after another one");
	job->sched->ways_known = false;
	if (earlier->state == IX_JOB_DONE || job->state == IX_JOB_SKIPPED)
		return;
	if (has_ended(earlier)) {
		skip_with_users(job);
		return;
	}
	IX_GROW(&earlier->users, earlier->nusers, &earlier->users_cap);
	earlier->users[earlier->nusers++] = job;
	job->unmet++;
}

static struct ix_job *add(struct ix_sched *sched, const struct ix_job *what)
{
	struct ix_job *job = ix_calloc(1, sizeof(*job));

	*job = *what;
	job->sched = sched;
	pthread_mutex_lock(&sched->lock);
	if (sched->started && (!current || current->sched != sched))
		ix_bug("a job is added to a running sched from outside");
	IX_GROW(&sched->jobs, sched->njobs, &sched->cap);
	sched->jobs[sched->njobs++] = job;
	sched->left++;
	sched->ways_known = false;
	if (sched->started)
		put_after(job, current);
	pthread_mutex_unlock(&sched->lock);
	return job;
}

struct ix_job *ix_sched_add(struct ix_sched *sched, uint64_t cost, int (*run)(void *data, struct ix_err *err), void *data)
{
	return add(sched, &(struct ix_job){ .run = run, .data = data, .cost = cost });
}

void ix_sched_beside(struct ix_sched *sched, unsigned parallel)
{
	sched->parallel_beside = parallel > THREADS_MAX ? THREADS_MAX : parallel;
}

struct ix_job *ix_sched_add_beside(struct ix_sched *sched, int (*run)(void *data, struct ix_err *err), void *data)
{
	if (sched->parallel_beside == 0)
		ix_bug("nobody runs jobs beside");
	return add(sched, &(struct ix_job){ .run = run, .data = data, .beside = true });
}

void ix_job_after(struct ix_job *job, struct ix_job *earlier)
{
	if (job->sched != earlier->sched || job == earlier)
		ix_bug("a job comes after itself or a stranger");
	pthread_mutex_lock(&job->sched->lock);
	put_after(job, earlier);
	pthread_mutex_unlock(&job->sched->lock);
}

enum ix_job_state ix_job_state(const struct ix_job *job)
{
	enum ix_job_state state;

	pthread_mutex_lock(&job->sched->lock);
	state = job->state;
	pthread_mutex_unlock(&job->sched->lock);
	return state;
}

/*
 * Ways from the ends backwards, over the jobs that have not ended: in an order where users come later, walked from its end. A job that is in
 * no such order waits for itself.
 */
static void compute_ways(struct ix_sched *sched)
{
	ix_auto_free struct ix_job **order = ix_calloc(sched->njobs, sizeof(struct ix_job *));
	size_t n = 0;

	for (size_t i = 0; i < sched->njobs; i++) {
		sched->jobs[i]->way = sched->jobs[i]->unmet; /* borrowed as a counter */
		if (sched->jobs[i]->unmet == 0 && !has_ended(sched->jobs[i]))
			order[n++] = sched->jobs[i];
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < order[i]->nusers; j++)
			if (!has_ended(order[i]->users[j]) && --order[i]->users[j]->way == 0)
				order[n++] = order[i]->users[j];
	if (n != sched->left)
		ix_bug("jobs wait for each other");
	while (n-- > 0) {
		uint64_t longest = 0;

		for (size_t j = 0; j < order[n]->nusers; j++)
			if (!has_ended(order[n]->users[j]) && order[n]->users[j]->way > longest)
				longest = order[n]->users[j]->way;
		if (__builtin_add_overflow(order[n]->cost, longest, &order[n]->way))
			order[n]->way = UINT64_MAX;
	}
	sched->ways_known = true;
}

static struct ix_job *next_ready(struct ix_sched *sched, bool beside)
{
	struct ix_job *best = NULL;

	if (!sched->ways_known)
		compute_ways(sched);
	for (size_t i = 0; i < sched->njobs; i++) {
		struct ix_job *job = sched->jobs[i];

		if (job->state == IX_JOB_READY && job->beside == beside && (!best || job->way > best->way))
			best = job;
	}
	return best;
}

/* --- running; under the lock, except in a job --- */

/* What is beside goes with what it comes after, and only then. */
static bool skip_rest(struct ix_sched *sched)
{
	size_t before = sched->left;

	for (size_t i = 0; i < sched->njobs; i++) {
		struct ix_job *job = sched->jobs[i];

		if (!job->beside && (job->state == IX_JOB_WAITING || job->state == IX_JOB_READY))
			skip_with_users(job);
	}
	return sched->left < before;
}

static void note_failure(struct ix_sched *sched, const struct ix_err *err)
{
	/* The first real failure counts, not the cancellations it brings about. */
	if (!sched->failed || (sched->err.code == IX_ECANCELED && err->code != IX_ECANCELED))
		sched->err = *err;
	sched->failed = true;
	if (sched->keep_going)
		return;
	sched->stop = true;
	if (sched->cancel)
		ix_cancel_raise(sched->cancel);
}

static void job_ended(struct ix_job *job, int r, const struct ix_err *err)
{
	struct ix_sched *sched = job->sched;

	sched->running--;
	sched->left--;
	job->state = r >= 0 ? IX_JOB_DONE : err->code == IX_ECANCELED ? IX_JOB_CANCELED : IX_JOB_FAILED;
	for (size_t i = 0; i < job->nusers; i++) {
		struct ix_job *user = job->users[i];

		if (user->state != IX_JOB_WAITING)
			continue;
		if (r < 0)
			skip_with_users(user);
		else if (--user->unmet == 0)
			user->state = IX_JOB_READY;
	}
	if (r < 0 && !job->beside)
		note_failure(sched, err);
}

static void run_job(struct ix_job *job)
{
	struct ix_sched *sched = job->sched;
	struct ix_err err = { 0 };
	int r;

	job->state = IX_JOB_RUNNING;
	sched->running++;
	pthread_mutex_unlock(&sched->lock);
	current = job;
	r = job->run(job->data, &err);
	current = NULL;
	pthread_mutex_lock(&sched->lock);
	job_ended(job, r, &err);
	pthread_cond_broadcast(&sched->changed);
}

static void work(struct ix_sched *sched, bool beside)
{
	pthread_mutex_lock(&sched->lock);
	while (sched->left > 0) {
		struct ix_job *job;

		if (ix_cancel_raised(sched->cancel))
			sched->stop = true;
		if (sched->stop && skip_rest(sched))
			pthread_cond_broadcast(&sched->changed);
		if (sched->stop && (!beside || sched->left == 0))
			break; /* the others end what they run */
		job = next_ready(sched, beside);
		if (job)
			run_job(job);
		else
			pthread_cond_wait(&sched->changed, &sched->lock); /* something runs, or nothing would be left */
	}
	pthread_cond_broadcast(&sched->changed);
	pthread_mutex_unlock(&sched->lock);
}

static void *worker(void *data)
{
	work(data, false);
	return NULL;
}

static void *worker_beside(void *data)
{
	work(data, true);
	return NULL;
}

static void begin(struct ix_sched *sched)
{
	pthread_mutex_lock(&sched->lock);
	if (sched->started)
		ix_bug("a sched runs once");
	sched->started = true;
	for (size_t i = 0; i < sched->njobs; i++)
		if (sched->jobs[i]->unmet == 0)
			sched->jobs[i]->state = IX_JOB_READY;
	compute_ways(sched);
	pthread_mutex_unlock(&sched->lock);
}

/* Nobody is there to run anything. */
static void abandon(struct ix_sched *sched)
{
	pthread_mutex_lock(&sched->lock);
	sched->stop = true;
	pthread_cond_broadcast(&sched->changed);
	pthread_mutex_unlock(&sched->lock);
}

/* What a job that outlived the stop added is still waiting when the last worker is gone. */
static void finish(struct ix_sched *sched)
{
	pthread_mutex_lock(&sched->lock);
	(void)skip_rest(sched);
	pthread_mutex_unlock(&sched->lock);
}

/* So many threads that work; how many could be started. */
static unsigned start(void *(*work_on)(void *data), struct ix_sched *sched, pthread_t *threads, unsigned count, int *ret_error)
{
	pthread_attr_t attr;
	unsigned n = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	while (n < count && (*ret_error = pthread_create(&threads[n], &attr, work_on, sched)) == 0)
		n++;
	pthread_attr_destroy(&attr);
	return n;
}

int ix_sched_run(struct ix_sched *sched, struct ix_err *err)
{
	ix_auto_free pthread_t *threads = ix_calloc(sched->parallel, sizeof(*threads));
	ix_auto_free pthread_t *beside = ix_calloc(sched->parallel_beside, sizeof(*beside));
	unsigned n, nbeside;
	int r = 0;

	begin(sched);
	nbeside = start(worker_beside, sched, beside, sched->parallel_beside, &r);
	n = sched->parallel_beside == 0 || nbeside > 0 ? start(worker, sched, threads, sched->parallel, &r) : 0;
	if (n == 0)
		abandon(sched);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < nbeside; i++)
		pthread_join(beside[i], NULL);
	finish(sched);
	if (n == 0) {
		errno = r;
		return ix_err_sys(err, "start a thread");
	}
	if (sched->failed && sched->err.code != IX_ECANCELED) {
		return ix_err_copy(err, &sched->err);
	}
	if (sched->failed)
		return ix_err_set(err, IX_ECANCELED, "%s", sched->err.msg);
	return ix_cancel_check(sched->cancel, err);
}
