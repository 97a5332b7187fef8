#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/redact.h"
#include "base/str.h"
#include "builder/builder.h"
#include "graph/graph.h"
#include "image/image.h"
#include "jail/jail.h"
#include "local_int.h"
#include "report/report.h"
#include "sandbox/sandbox.h"
#include "store/store.h"

/* What a step prints, on its way from a pipe to the sink. One thread reads each stream. */
struct pump {
	struct ix_sink *sink;
	struct ix_step_log *log;
	const char *stage;
	unsigned step;
	int stream;
	struct ix_redact_stream redact;
	int fd; /* read end */
	pthread_t thread;
	bool started;
};

static void pump_show(struct pump *pump, const struct ix_buf *text)
{
	if (text->len == 0)
		return;
	ix_step_log_put(pump->log, text->data, text->len);
	ix_report(pump->sink, &(struct ix_event){ .kind = IX_EVENT_LOG,
						  .stage = pump->stage,
						  .step = pump->step,
						  .stream = pump->stream,
						  .data = text->data,
						  .len = text->len });
}

static void *pump_main(void *data)
{
	struct pump *pump = data;
	ix_auto_buf text = { 0 };
	char chunk[8192];
	ssize_t n;

	while ((n = read(pump->fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		if (n <= 0)
			continue;
		ix_buf_reset(&text);
		ix_redact_piece(&pump->redact, chunk, (size_t)n, &text);
		pump_show(pump, &text);
	}
	ix_buf_reset(&text);
	ix_redact_end(&pump->redact, &text);
	pump_show(pump, &text);
	return NULL;
}

static int pump_start(struct pump *pump, int *ret_write_end, struct ix_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return ix_err_sys(err, "pipe");
	pump->fd = ends[0];
	*ret_write_end = ends[1];
	if (pthread_create(&pump->thread, NULL, pump_main, pump) != 0) {
		close(ends[0]);
		close(ends[1]);
		*ret_write_end = -1;
		return ix_err_set(err, IX_EFAIL, "cannot start a thread");
	}
	pump->started = true;
	return 0;
}

static void pump_stop(struct pump *pump)
{
	if (!pump->started)
		return;
	pthread_join(pump->thread, NULL);
	close(pump->fd);
}

static void step_env(const struct task *task, const struct ix_strv *secrets, struct ix_strv *env)
{
	ix_strv_copy(env, &task->operation->env);
	for (size_t i = 0; i < secrets->count; i++)
		ix_strv_add(env, secrets->items[i]);
	host_env(&task->local->host, task->operation->step->run.image_tls, env);
	ix_strv_add(env, ""); /* room for the terminator even when there is nothing */
	free(env->items[--env->count]);
	env->items[env->count] = NULL;
}

/* A heredoc that names its own interpreter becomes a program. */
static int mount_script(const struct task *task, struct step_mounts *mounts, struct ix_err *err)
{
	const struct ix_operation *operation = task->operation;
	ix_auto_free char *dir = NULL;
	ix_auto_free char *path = NULL;
	ix_auto_close int fd = -1;
	int r = ix_store_tmpdir(task->image.store, &dir, err);

	if (r < 0)
		return r;
	ix_strv_add(&mounts->trees, dir);
	path = ix_asprintf("%s/script", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return ix_err_sys(err, "create %s", path);
	r = ix_write_all(fd, operation->file->body, strlen(operation->file->body), err);
	if (r < 0)
		return r;
	mounts_add(mounts,
		   &(struct ix_jail_mount){ .kind = IX_JAIL_BIND, .source = path, .target = operation->argv.items[0], .read_only = true });
	ix_strv_take(&mounts->strings, ix_steal(&path));
	return 0;
}

static int step_limits(const struct ix_run_spec *spec, struct ix_jail_limit *limits, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < spec->nlimits; i++) {
		ix_auto_free char *text = ix_run_limit_text(&spec->limits[i]);

		r = ix_jail_limit_parse(text, &limits[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void pumps_init(const struct task *task, struct pump *out, struct pump *errs)
{
	*out = (struct pump){ .sink = task->local->opts.sink,
			      .log = task->build->log,
			      .stage = task->build->stage->name,
			      .step = (unsigned)task->operation->index + 1,
			      .stream = 1,
			      .redact.redactor = task->local->opts.redactor };
	*errs = *out;
	errs->stream = 2;
}

/* The command, with what it prints on its way to the log and the sink. */
static int run_piped(const struct task *task, struct ix_jail_plan *plan, int *ret_status, struct ix_err *err)
{
	struct pump out, errs;
	int r;

	pumps_init(task, &out, &errs);
	plan->stdout_fd = plan->stderr_fd = -1;
	r = pump_start(&out, &plan->stdout_fd, err);
	if (r == 0)
		r = pump_start(&errs, &plan->stderr_fd, err);
	if (r == 0)
		r = ix_sandbox_run(plan, task->build->cancel, ret_status, err);
	ix_closep(&plan->stdout_fd);
	ix_closep(&plan->stderr_fd);
	pump_stop(&out);
	pump_stop(&errs);
	return r;
}

static int run_command(const struct task *task, const struct ix_scratch *scratch, struct step_mounts *mounts, int *ret_status,
		       struct ix_err *err)
{
	const struct ix_operation *operation = task->operation;
	const struct ix_run_spec *spec = &operation->step->run;
	ix_auto_free struct ix_jail_limit *limits = ix_calloc(spec->nlimits, sizeof(*limits));
	ix_auto_free char *hosts = host_hosts_file(spec);
	ix_auto_strv env = { 0 };
	struct ix_jail_mount certificates;
	struct ix_jail_plan plan = {
		.root_fd = scratch->root_fd,
		.argv = (const char *const *)operation->argv.items,
		.cwd = operation->workdir,
		.user = operation->user,
		.hostname = spec->hostname ? spec->hostname : STEP_HOSTNAME,
		.hosts_file = hosts,
		.resolv_file = task->local->host.resolv_conf,
		.no_network = spec->network == IX_NETWORK_NONE,
		.insecure = spec->insecure,
		.limits = limits,
		.nlimits = spec->nlimits,
		.shm_size = spec->shm_size,
		.stdin_fd = -1,
	};
	int r = step_limits(spec, limits, err);

	if (r < 0)
		return r;
	if (host_ca_mount(&task->local->host, spec->image_tls, &certificates))
		mounts_add(mounts, &certificates);
	if (operation->file && (r = mount_script(task, mounts, err)) < 0)
		return r;
	step_env(task, &mounts->env, &env);
	plan.env = (const char *const *)env.items;
	plan.mounts = mounts->items;
	plan.nmounts = mounts->count;
	if (task->image.perturbed) {
		plan.hostname = "another-host";
		plan.first_pid = 4321;
		plan.boot_offset_s = 11 * 24 * 3600;
	}
	return run_piped(task, &plan, ret_status, err);
}

int run_operation(struct task *task, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_build *build = task->build;
	ix_auto_scratch scratch = { .root_fd = -1 };
	auto_mounts mounts = { 0 };
	int status, r;

	if ((r = ix_scratch_open(&task->image, build->image, build->stage->name, &scratch, err)) < 0 ||
	    (r = mounts_prepare(task, &mounts, err)) < 0)
		return r;
	r = run_command(task, &scratch, &mounts, &status, err);
	mounts_release(&mounts);
	if (r < 0)
		return r;
	if (status != 0) {
		ix_auto_free char *shown = ix_printable(task->operation->step->text, 200);

		ix_err_set(err, IX_ESTEP, "%s: did not complete successfully: exit code: %d", shown, status);
		err->sys = status;
		return -IX_ESTEP;
	}
	return ix_scratch_commit(&task->image, &scratch, build->image, build->stage->name, build->stage->epoch, ret_result, err);
}
