#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sched/sched.h"

/* A fake job: notes when it ran, then does as told. */
struct fake {
	int fails; /* 0, or the code it fails with */
	unsigned sleep_us;
	int until_beside;  /* works until so many ran at once */
	bool until_cancel; /* works until somebody raises cancel */
	int at;            /* its place in the order of starts; -1: did not run */
	struct ix_cancel *cancel;
	struct ix_sched *sched;
	struct fake *add, *add_after; /* jobs to add while running; the second comes after the first */
	struct ix_job *added, *added_after;
};

static atomic_int turn;
static atomic_int running, most;

static int run_fake(void *data, struct ix_err *err)
{
	struct fake *fake = data;
	int now = atomic_fetch_add(&running, 1) + 1, before = atomic_load(&most);

	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		;
	fake->at = atomic_fetch_add(&turn, 1);
	if (fake->add)
		fake->added = ix_sched_add(fake->sched, 1, run_fake, fake->add);
	if (fake->add_after) {
		fake->added_after = ix_sched_add(fake->sched, 1, run_fake, fake->add_after);
		ix_job_after(fake->added_after, fake->added);
	}
	if (fake->sleep_us)
		usleep(fake->sleep_us);
	for (int i = 0; i < 10000 && atomic_load(&most) < fake->until_beside; i++)
		usleep(1000);
	for (int i = 0; fake->until_cancel && i < 4000 && !ix_cancel_raised(fake->cancel); i++)
		usleep(1000);
	atomic_fetch_sub(&running, 1);
	if (fake->until_cancel)
		return ix_err_set(err, IX_ECANCELED, "canceled");
	return fake->fails ? ix_err_set(err, (enum ix_errc)fake->fails, "job %d failed", fake->at) : 0;
}

static struct ix_sched *new_sched(unsigned parallel, struct ix_cancel *cancel)
{
	atomic_store(&turn, 0);
	atomic_store(&running, 0);
	atomic_store(&most, 0);
	return ix_sched_new(parallel, cancel);
}

static struct ix_job *add(struct ix_sched *sched, uint64_t cost, struct fake *fake)
{
	fake->at = -1;
	fake->sched = sched;
	return ix_sched_add(sched, cost, run_fake, fake);
}

static void nothing_to_do_is_success(void **state)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(4, NULL);
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_sched_run(sched, &err), 0);
}

static void diamond_runs_in_order(void **state)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(4, NULL);
	struct fake f[4] = { 0 };
	struct ix_job *top = add(sched, 1, &f[0]), *left = add(sched, 1, &f[1]), *right = add(sched, 1, &f[2]),
		      *bottom = add(sched, 1, &f[3]);
	struct ix_err err;

	(void)state;
	ix_job_after(bottom, left);
	ix_job_after(bottom, right);
	ix_job_after(left, top);
	ix_job_after(right, top);
	assert_int_equal(ix_sched_run(sched, &err), 0);
	assert_int_equal(f[0].at, 0);
	assert_int_equal(f[3].at, 3);
	assert_int_equal(ix_job_state(bottom), IX_JOB_DONE);
}

static void longest_way_is_started_first(void **state)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(1, NULL);
	struct fake f[5] = { 0 };
	struct ix_job *jobs[5];
	struct ix_err err;

	(void)state;
	/* 0: cost 5 alone; 1: cost 1, then 2: cost 10; 3: cost 3, then 4: cost 3 */
	for (size_t i = 0; i < 5; i++)
		jobs[i] = add(sched, ((const uint64_t[]){ 5, 1, 10, 3, 3 })[i], &f[i]);
	ix_job_after(jobs[2], jobs[1]);
	ix_job_after(jobs[4], jobs[3]);
	assert_int_equal(ix_sched_run(sched, &err), 0);
	assert_int_equal(f[1].at, 0);
	assert_int_equal(f[2].at, 1);
	assert_int_equal(f[3].at, 2);
	assert_int_equal(f[0].at, 3);
	assert_int_equal(f[4].at, 4);
}

static void no_more_than_parallel_run_at_once(void **state)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(3, NULL);
	struct fake f[12] = { 0 };
	struct ix_err err;

	(void)state;
	for (size_t i = 0; i < 12; i++) {
		f[i].sleep_us = 1000;
		f[i].until_beside = 3;
		add(sched, 1, &f[i]);
	}
	assert_int_equal(ix_sched_run(sched, &err), 0);
	assert_int_equal(atomic_load(&most), 3);
}

static void failure_skips_the_rest_and_raises_cancel(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	struct ix_sched *sched = new_sched(2, cancel);
	struct fake f[4] = { { .until_cancel = true, .cancel = cancel }, { .fails = IX_EARG, .sleep_us = 20000 }, { 0 }, { 0 } };
	struct ix_job *jobs[4];
	struct ix_err err;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		jobs[i] = add(sched, 10 - i, &f[i]);
	ix_job_after(jobs[3], jobs[1]);
	ix_job_after(jobs[2], jobs[0]);
	/* The cancellation of the first is not the error that counts. */
	assert_int_equal(ix_sched_run(sched, &err), -IX_EARG);
	assert_string_equal(err.msg, "job 1 failed");
	assert_true(ix_cancel_raised(cancel));
	assert_int_equal(ix_job_state(jobs[0]), IX_JOB_CANCELED);
	assert_int_equal(ix_job_state(jobs[1]), IX_JOB_FAILED);
	assert_int_equal(ix_job_state(jobs[2]), IX_JOB_SKIPPED);
	assert_int_equal(ix_job_state(jobs[3]), IX_JOB_SKIPPED);
	assert_int_equal(f[2].at, -1);
	ix_sched_free(sched);
	ix_cancel_free(cancel);
}

static void keep_going_skips_only_dependents(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	struct ix_sched *sched = new_sched(1, cancel);
	struct fake f[6] = { { .fails = IX_EARG }, { 0 }, { 0 }, { 0 }, { .fails = IX_EFAIL }, { 0 } };
	struct ix_job *jobs[6];
	struct ix_err err;

	(void)state;
	ix_sched_keep_going(sched);
	for (size_t i = 0; i < 6; i++)
		jobs[i] = add(sched, 10 - i, &f[i]);
	ix_job_after(jobs[1], jobs[0]);
	ix_job_after(jobs[2], jobs[1]);
	ix_job_after(jobs[2], jobs[3]);
	ix_job_after(jobs[4], jobs[3]);
	assert_int_equal(ix_sched_run(sched, &err), -IX_EARG);
	assert_string_equal(err.msg, "job 0 failed");
	assert_false(ix_cancel_raised(cancel));
	assert_int_equal(ix_job_state(jobs[1]), IX_JOB_SKIPPED);
	assert_int_equal(ix_job_state(jobs[2]), IX_JOB_SKIPPED);
	assert_int_equal(ix_job_state(jobs[3]), IX_JOB_DONE);
	assert_int_equal(ix_job_state(jobs[4]), IX_JOB_FAILED);
	assert_int_equal(ix_job_state(jobs[5]), IX_JOB_DONE);
	ix_sched_free(sched);
	ix_cancel_free(cancel);
}

static void *raise_soon(void *data)
{
	usleep(20000);
	ix_cancel_raise(data);
	return NULL;
}

static void cancel_from_outside_ends_the_run(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	struct ix_sched *sched = new_sched(4, cancel);
	struct fake f[2] = { { .until_cancel = true, .cancel = cancel }, { 0 } };
	struct ix_job *first = add(sched, 1, &f[0]), *second = add(sched, 1, &f[1]);
	struct ix_err err;
	pthread_t thread;

	(void)state;
	ix_job_after(second, first);
	assert_int_equal(pthread_create(&thread, NULL, raise_soon, cancel), 0);
	assert_int_equal(ix_sched_run(sched, &err), -IX_ECANCELED);
	assert_string_equal(err.msg, "canceled");
	assert_int_equal(ix_job_state(first), IX_JOB_CANCELED);
	assert_int_equal(ix_job_state(second), IX_JOB_SKIPPED);
	pthread_join(thread, NULL);
	ix_sched_free(sched);
	ix_cancel_free(cancel);
}

static void cancel_raised_before_starts_nothing(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	struct ix_sched *sched = new_sched(4, cancel);
	struct fake f = { 0 };
	struct ix_job *job = add(sched, 1, &f);
	struct ix_err err;

	(void)state;
	ix_cancel_raise(cancel);
	assert_int_equal(ix_sched_run(sched, &err), -IX_ECANCELED);
	assert_int_equal(f.at, -1);
	assert_int_equal(ix_job_state(job), IX_JOB_SKIPPED);
	ix_sched_free(sched);
	ix_cancel_free(cancel);
}

static void jobs_added_by_a_job_come_after_it(void **state)
{
	for (int fails = 0; fails < 2; fails++) {
		struct ix_sched *sched = new_sched(4, NULL);
		struct fake second = { .at = -1 }, third = { .at = -1 };
		struct fake first = { .add = &second, .add_after = &third, .sleep_us = 20000, .fails = fails ? IX_EFAIL : 0 };
		struct ix_err err;

		add(sched, 1, &first);
		assert_int_equal(ix_sched_run(sched, &err), fails ? -IX_EFAIL : 0);
		assert_int_equal(second.at, fails ? -1 : 1);
		assert_int_equal(third.at, fails ? -1 : 2);
		assert_int_equal(ix_job_state(first.added_after), fails ? IX_JOB_SKIPPED : IX_JOB_DONE);
		ix_sched_free(sched);
	}
	(void)state;
}

static void three_hundred_jobs_keep_their_order(void **state)
{
	enum { COUNT = 300 };
	static struct fake f[COUNT];
	struct ix_job *jobs[COUNT];
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(8, NULL);
	uint32_t seed = 12345;
	struct ix_err err;

	(void)state;
	memset(f, 0, sizeof(f));
	for (size_t i = 0; i < COUNT; i++) {
		jobs[i] = add(sched, i % 7, &f[i]);
		for (int k = 0; i > 0 && k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			ix_job_after(jobs[i], jobs[(seed >> 8) % i]);
		}
	}
	assert_int_equal(ix_sched_run(sched, &err), 0);
	seed = 12345;
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(ix_job_state(jobs[i]), IX_JOB_DONE);
		for (int k = 0; i > 0 && k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			assert_true(f[(seed >> 8) % i].at < f[i].at);
		}
	}
}

static int use_stack(void *data, struct ix_err *err)
{
	volatile char big[1 << 20];

	(void)err;
	for (size_t i = 0; i < sizeof(big); i += 4096)
		big[i] = 1;
	*(int *)data = big[4096];
	return 0;
}

static void threads_have_a_mebibyte_of_stack(void **state)
{
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(1, NULL);
	struct ix_err err;
	int done = 0;

	(void)state;
	ix_sched_add(sched, 1, use_stack, &done);
	assert_int_equal(ix_sched_run(sched, &err), 0);
	assert_int_equal(done, 1);
}

static void what_is_beside_takes_no_place_and_fails_alone(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(1, cancel);
	struct fake f[3] = { { .fails = IX_EFAIL, .until_beside = 2 }, { .until_beside = 2 }, { 0 } };
	struct ix_job *jobs[3];
	struct ix_err err;

	(void)state;
	ix_sched_beside(sched, 1);
	f[0].at = -1;
	jobs[0] = ix_sched_add_beside(sched, run_fake, &f[0]);
	jobs[1] = add(sched, 1, &f[1]);
	jobs[2] = add(sched, 1, &f[2]);
	ix_job_after(jobs[2], jobs[1]);
	assert_int_equal(ix_sched_run(sched, &err), 0);
	assert_int_equal(ix_job_state(jobs[0]), IX_JOB_FAILED);
	assert_int_equal(ix_job_state(jobs[2]), IX_JOB_DONE);
	assert_int_equal(atomic_load(&most), 2);
	assert_false(ix_cancel_raised(cancel));
	ix_cancel_free(cancel);
}

static void a_failure_leaves_what_is_beside_alone(void **state)
{
	struct ix_cancel *cancel = ix_cancel_new();
	ix_scoped(ix_sched_freep) struct ix_sched *sched = new_sched(2, cancel);
	struct fake f[4] = { { .sleep_us = 1000 }, { .fails = IX_EFAIL, .sleep_us = 10000 }, { .sleep_us = 30000 }, { 0 } };
	struct ix_job *done, *failing, *after_done, *after_failing;
	struct ix_err err;

	(void)state;
	ix_sched_beside(sched, 1);
	done = add(sched, 1, &f[0]);
	failing = add(sched, 1, &f[1]);
	after_done = ix_sched_add_beside(sched, run_fake, &f[2]);
	after_failing = ix_sched_add_beside(sched, run_fake, &f[3]);
	ix_job_after(after_done, done);
	ix_job_after(after_failing, failing);
	assert_int_equal(ix_sched_run(sched, &err), -IX_EFAIL);
	assert_int_equal(ix_job_state(after_done), IX_JOB_DONE);
	assert_int_equal(ix_job_state(after_failing), IX_JOB_SKIPPED);
	ix_cancel_free(cancel);
}

static void a_cancel_below_another_follows_it_and_does_not_raise_it(void **state)
{
	struct ix_cancel *above = ix_cancel_new(), *below = ix_cancel_new_below(above), *other = ix_cancel_new_below(above);
	struct pollfd fd = { .fd = ix_cancel_fd(other), .events = POLLIN };

	(void)state;
	ix_cancel_raise(below);
	assert_true(ix_cancel_raised(below));
	assert_false(ix_cancel_raised(above));
	assert_false(ix_cancel_raised(other));
	assert_int_equal(poll(&fd, 1, 0), 0);
	ix_cancel_raise(above);
	assert_true(ix_cancel_raised(other));
	assert_int_equal(poll(&fd, 1, 0), 1);
	ix_cancel_free(below);
	ix_cancel_free(other);
	ix_cancel_free(above);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_do_is_success),
		cmocka_unit_test(diamond_runs_in_order),
		cmocka_unit_test(longest_way_is_started_first),
		cmocka_unit_test(no_more_than_parallel_run_at_once),
		cmocka_unit_test(failure_skips_the_rest_and_raises_cancel),
		cmocka_unit_test(keep_going_skips_only_dependents),
		cmocka_unit_test(cancel_from_outside_ends_the_run),
		cmocka_unit_test(cancel_raised_before_starts_nothing),
		cmocka_unit_test(jobs_added_by_a_job_come_after_it),
		cmocka_unit_test(three_hundred_jobs_keep_their_order),
		cmocka_unit_test(what_is_beside_takes_no_place_and_fails_alone),
		cmocka_unit_test(a_failure_leaves_what_is_beside_alone),
		cmocka_unit_test(a_cancel_below_another_follows_it_and_does_not_raise_it),
		cmocka_unit_test(threads_have_a_mebibyte_of_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
