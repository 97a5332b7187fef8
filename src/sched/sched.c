#include "sched/sched.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { STACK = 2 << 20 };

struct ix_job {
	struct ix_sched *sched;
	int (*run)(void *data, struct ix_err *err);
	void *data;
	uint64_t cost;
	uint64_t way;          /* cost of the longest chain that begins here */
	enum ix_job_state state;
	unsigned unmet;        /* jobs it still waits for; 0: ready */
	struct ix_job **users;
	size_t nusers, users_cap;
};

struct ix_sched {
	unsigned parallel;
	struct ix_cancel *cancel;
	struct ix_job **jobs;
	size_t njobs, cap;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t left;    /* jobs not ended */
	unsigned running;
	bool stop;      /* a job failed, or somebody canceled: start nothing more */
	bool failed;
	struct ix_err err;
};

struct ix_sched *ix_sched_new(unsigned parallel, struct ix_cancel *cancel)
{
	struct ix_sched *sched = ix_calloc(1, sizeof(*sched));

	sched->parallel = parallel ? parallel : 1;
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

struct ix_job *ix_sched_add(struct ix_sched *sched, uint64_t cost, int (*run)(void *data, struct ix_err *err), void *data)
{
	struct ix_job *job = ix_calloc(1, sizeof(*job));

	job->sched = sched;
	job->run = run;
	job->data = data;
	job->cost = cost;
	IX_GROW(&sched->jobs, sched->njobs, &sched->cap);
	sched->jobs[sched->njobs++] = job;
	return job;
}

void ix_job_after(struct ix_job *job, struct ix_job *earlier)
{
	if (job->sched != earlier->sched)
		ix_bug("jobs of different scheds");
	IX_GROW(&earlier->users, earlier->nusers, &earlier->users_cap);
	earlier->users[earlier->nusers++] = job;
	job->unmet++;
}

enum ix_job_state ix_job_state(const struct ix_job *job)
{
	return job->state;
}

/* Ways from the ends backwards: jobs in an order where users come later, walked from its end. */
static void compute_ways(struct ix_sched *sched)
{
	ix_auto_free struct ix_job **order = ix_calloc(sched->njobs, sizeof(struct ix_job *));
	size_t n = 0;

	for (size_t i = 0; i < sched->njobs; i++)
		if (sched->jobs[i]->unmet == 0)
			order[n++] = sched->jobs[i];
	for (size_t i = 0; i < sched->njobs; i++)
		sched->jobs[i]->way = sched->jobs[i]->unmet; /* borrowed as a counter */
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < order[i]->nusers; j++)
			if (--order[i]->users[j]->way == 0)
				order[n++] = order[i]->users[j];
	if (n != sched->njobs)
		ix_bug("jobs wait for each other");
	while (n-- > 0) {
		uint64_t longest = 0;

		for (size_t j = 0; j < order[n]->nusers; j++)
			if (order[n]->users[j]->way > longest)
				longest = order[n]->users[j]->way;
		order[n]->way = order[n]->cost + longest;
	}
}

static struct ix_job *next_ready(const struct ix_sched *sched)
{
	struct ix_job *best = NULL;

	for (size_t i = 0; i < sched->njobs; i++) {
		struct ix_job *job = sched->jobs[i];

		if (job->state == IX_JOB_READY && (!best || job->way > best->way))
			best = job;
	}
	return best;
}

static void skip_rest(struct ix_sched *sched)
{
	for (size_t i = 0; i < sched->njobs; i++) {
		if (sched->jobs[i]->state == IX_JOB_WAITING || sched->jobs[i]->state == IX_JOB_READY) {
			sched->jobs[i]->state = IX_JOB_SKIPPED;
			sched->left--;
		}
	}
}

static void job_ended(struct ix_sched *sched, struct ix_job *job, int r, const struct ix_err *err)
{
	sched->left--;
	job->state = r < 0 ? IX_JOB_FAILED : IX_JOB_DONE;
	for (size_t i = 0; r >= 0 && i < job->nusers; i++)
		if (--job->users[i]->unmet == 0 && job->users[i]->state == IX_JOB_WAITING)
			job->users[i]->state = IX_JOB_READY;
	if (r >= 0)
		return;
	/* The first real failure counts, not the cancellations it brings about. */
	if (!sched->failed || (sched->err.code == IX_ECANCELED && err->code != IX_ECANCELED))
		sched->err = *err;
	sched->failed = true;
	sched->stop = true;
	ix_cancel_raise(sched->cancel);
}

static void *worker(void *data)
{
	struct ix_sched *sched = data;

	pthread_mutex_lock(&sched->lock);
	for (;;) {
		struct ix_err err = { 0 };
		struct ix_job *job;
		int r;

		if (!sched->stop && ix_cancel_raised(sched->cancel))
			sched->stop = true;
		if (sched->stop)
			skip_rest(sched);
		if (sched->left == 0 || (sched->stop && sched->running == 0))
			break;
		job = sched->stop ? NULL : next_ready(sched);
		if (!job) {
			if (sched->stop)
				break; /* the others end what they run */
			pthread_cond_wait(&sched->changed, &sched->lock);
			continue;
		}
		job->state = IX_JOB_RUNNING;
		sched->running++;
		pthread_mutex_unlock(&sched->lock);
		r = job->run(job->data, &err);
		pthread_mutex_lock(&sched->lock);
		sched->running--;
		job_ended(sched, job, r, &err);
		pthread_cond_broadcast(&sched->changed);
	}
	pthread_cond_broadcast(&sched->changed);
	pthread_mutex_unlock(&sched->lock);
	return NULL;
}

int ix_sched_run(struct ix_sched *sched, struct ix_err *err)
{
	unsigned want = sched->parallel < sched->njobs ? sched->parallel : (unsigned)sched->njobs;
	ix_auto_free pthread_t *threads = ix_calloc(want, sizeof(*threads));
	pthread_attr_t attr;
	unsigned n = 0;

	compute_ways(sched);
	sched->left = sched->njobs;
	for (size_t i = 0; i < sched->njobs; i++)
		sched->jobs[i]->state = sched->jobs[i]->unmet == 0 ? IX_JOB_READY : IX_JOB_WAITING;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	while (n < want && pthread_create(&threads[n], &attr, worker, sched) == 0)
		n++;
	pthread_attr_destroy(&attr);
	if (n == 0 && want > 0)
		return ix_err_set(err, IX_EFAIL, "cannot start a thread");
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (sched->failed) {
		*err = sched->err;
		return -(int)err->code;
	}
	return ix_cancel_check(sched->cancel, err);
}
