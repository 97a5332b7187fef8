#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "engine_int.h"

/* What a step prints, on its way from a pipe to the sink. One thread reads each stream. */
struct pump {
	struct ix_sink *sink;
	struct steplog *log;
	const char *stage;
	unsigned step;
	int stream;
	int fd; /* read end */
	pthread_t thread;
	bool started;
};

static void *pump_main(void *data)
{
	struct pump *pump = data;
	char chunk[8192];
	ssize_t n;

	while ((n = read(pump->fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		if (n <= 0)
			continue;
		steplog_put(pump->log, chunk, (size_t)n);
		ix_report(pump->sink, &(struct ix_event){ .kind = IX_EVENT_LOG,
							  .stage = pump->stage,
							  .step = pump->step,
							  .stream = pump->stream,
							  .data = chunk,
							  .len = (size_t)n });
	}
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

/* Where a heredoc with an interpreter of its own is bound, by its name, as docker has it. */
#define SCRIPTS "/dev/pipes"

/* Heredocs as the reference defines them: alone on the line, the text is the script; with anything beside it, a shell reads it all. */
static bool is_script(const struct ix_step *step)
{
	const char *at = step->words[0] + strspn(step->words[0], "0123456789");
	char quote = 0;

	if (step->ndocs != 1 || !ix_starts(at, "<<"))
		return false;
	for (; *at; at++) {
		if (quote)
			quote = *at == quote ? 0 : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
		else if (*at == ' ' || *at == '\t')
			return false;
	}
	return true;
}

static bool has_interpreter(const struct ix_step *step)
{
	return !step->exec && is_script(step) && ix_starts(step->docs[0].body, "#!");
}

/* "cmd <<EOF" behind a shell: the shell itself reads the heredoc, so its text goes back to where it stood. */
static char *with_heredocs(const struct ix_step *step)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, step->words[0]);
	for (size_t i = 0; i < step->ndocs; i++)
		ix_buf_printf(&text, "\n%s%s", step->docs[i].raw, step->docs[i].name);
	return ix_buf_steal(&text);
}

static void command_words(const struct ix_image_config *config, const struct ix_step *step, struct ix_strv *words)
{
	if (step->exec) {
		for (size_t i = 0; i < step->nwords; i++)
			ix_strv_add(words, step->words[i]);
		return;
	}
	if (has_interpreter(step)) {
		ix_strv_addf(words, SCRIPTS "/%s", step->docs[0].name);
		return;
	}
	config_shell(config, words);
	ix_strv_take(words, is_script(step) ? ix_strdup(step->docs[0].body) : with_heredocs(step));
}

char *run_created_by(struct build *build, const struct ix_step *step)
{
	ix_auto_strv words = { 0 };
	ix_auto_buf text = { 0 }, args = { 0 };
	size_t nargs = 0;

	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = build_arg_value(build, &step->args[i]);
		const char *env = ix_env_get(&build->image.config.env, step->args[i].name);

		ix_buf_printf(&args, "%s=%s ", step->args[i].name, value ? value : env ? env : "");
		nargs++;
	}
	if (has_interpreter(step))
		config_shell(&build->image.config, &words); /* docker tells it so */
	command_words(&build->image.config, step, &words);
	ix_buf_puts(&text, "RUN ");
	if (nargs > 0)
		ix_buf_printf(&text, "|%zu %s", nargs, ix_buf_str(&args));
	for (size_t i = 0; i < words.count; i++)
		ix_buf_printf(&text, "%s%s", words.items[i], i + 1 < words.count ? " " : "");
	ix_buf_puts(&text, " # buildkit");
	return ix_buf_steal(&text);
}

static void step_env(struct build *build, const struct ix_step *step, const struct ix_strv *secrets, struct ix_strv *env)
{
	ix_strv_copy(env, &build->image.config.env);
	for (size_t i = 0; i < step->nargs; i++) {
		ix_auto_free char *value = build_arg_value(build, &step->args[i]);

		if (value)
			ix_env_set(env, step->args[i].name, value);
	}
	for (size_t i = 0; i < secrets->count; i++)
		ix_strv_add(env, secrets->items[i]);
	host_env(build->engine, step->run.image_tls, env);
	ix_strv_add(env, ""); /* room for the terminator even when there is nothing */
	free(env->items[--env->count]);
	env->items[env->count] = NULL;
}

/* Certificates and, for a heredoc with its own interpreter, the script. */
static int extra_mounts(struct build *build, const struct ix_step *step, const struct ix_strv *words, struct step_mounts *mounts,
			struct ix_err *err)
{
	struct ix_engine *engine = build->engine;
	ix_auto_free char *dir = NULL;
	ix_auto_free char *path = NULL;
	ix_auto_close int fd = -1;
	const char *body;

	mounts->items = ix_realloc_array(mounts->items, mounts->count + 2, sizeof(*mounts->items));
	if (engine->ca_bundle && !step->run.image_tls)
		mounts->items[mounts->count++] = (struct ix_sandbox_mount){
			.kind = IX_SANDBOX_BIND, .source = engine->ca_bundle, .target = HOST_CA_TARGET, .read_only = true
		};
	if (!has_interpreter(step))
		return 0;
	body = step->docs[0].body;
	int r = ix_store_tmpdir(engine->opts.store, &dir, err);
	if (r < 0)
		return r;
	ix_strv_add(&mounts->trees, dir);
	path = ix_asprintf("%s/script", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0 || fchmod(fd, 0755) < 0)
		return ix_err_sys(err, "create %s", path);
	r = ix_write_all(fd, body, strlen(body), err);
	if (r < 0)
		return r;
	mounts->items[mounts->count++] =
		(struct ix_sandbox_mount){ .kind = IX_SANDBOX_BIND, .source = path, .target = words->items[0], .read_only = true };
	ix_strv_take(&mounts->strings, ix_steal(&path));
	return 0;
}

static int step_limits(const struct ix_run_spec *spec, struct ix_sandbox_limit *limits, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < spec->nlimits; i++) {
		ix_auto_free char *text = ix_run_limit_text(&spec->limits[i]);

		r = ix_sandbox_limit_parse(text, &limits[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int run_command(struct build *build, const struct ix_step *step, struct scratch *scratch, struct step_mounts *mounts,
		       int *ret_status, struct ix_err *err)
{
	struct ix_engine *engine = build->engine;
	struct pump out = {
		.sink = engine->opts.sink, .log = build->log, .stage = build->stage->name, .step = (unsigned)build->step + 1, .stream = 1
	};
	struct pump errs = out;
	ix_auto_free char *hosts = host_hosts_file(&step->run);
	ix_auto_strv words = { 0 }, env = { 0 };
	struct ix_sandbox_plan plan = {
		.root_fd = scratch->root_fd, .hosts_file = hosts, .resolv_file = engine->resolv_conf, .stdin_fd = -1
	};
	ix_auto_free struct ix_sandbox_limit *limits = ix_calloc(step->run.nlimits, sizeof(*limits));
	int out_fd = -1, errs_fd = -1, r;

	r = step_limits(&step->run, limits, err);
	if (r < 0)
		return r;
	command_words(&build->image.config, step, &words);
	r = extra_mounts(build, step, &words, mounts, err);
	if (r < 0)
		return r;
	step_env(build, step, &mounts->env, &env);
	plan.argv = (const char *const *)words.items;
	plan.env = (const char *const *)env.items;
	plan.cwd = build->image.config.working_dir ? build->image.config.working_dir : "/";
	plan.user = build->image.config.user;
	plan.hostname = step->run.hostname ? step->run.hostname : STEP_HOSTNAME;
	if (engine->opts.perturbed) {
		plan.hostname = "another-host";
		plan.first_pid = 4321;
		plan.boot_offset_s = 11 * 24 * 3600;
	}
	plan.no_network = step->run.network == IX_NETWORK_NONE;
	plan.insecure = step->run.insecure;
	plan.limits = limits;
	plan.nlimits = step->run.nlimits;
	plan.shm_size = step->run.shm_size;
	plan.mounts = mounts->items;
	plan.nmounts = mounts->count;
	errs.stream = 2;
	r = pump_start(&out, &out_fd, err);
	if (r == 0)
		r = pump_start(&errs, &errs_fd, err);
	if (r == 0) {
		plan.stdout_fd = out_fd;
		plan.stderr_fd = errs_fd;
		r = ix_sandbox_run(&plan, engine->opts.cancel, ret_status, err);
	}
	ix_closep(&out_fd);
	ix_closep(&errs_fd);
	pump_stop(&out);
	pump_stop(&errs);
	return r;
}

int run_step(struct build *build, const struct ix_step *step, struct ix_step_result *ret_result, struct ix_err *err)
{
	const struct ix_engine_opts *opts = &build->engine->opts;
	auto_scratch scratch = { .root_fd = -1 };
	auto_mounts mounts = { 0 };
	int status, r;

	if ((r = scratch_open(opts, &build->image, build->stage->name, &scratch, err)) < 0 ||
	    (r = mounts_prepare(build, step, &mounts, err)) < 0)
		return r;
	r = run_command(build, step, &scratch, &mounts, &status, err);
	mounts_release(&mounts);
	if (r < 0)
		return r;
	if (status != 0) {
		ix_auto_free char *shown = ix_printable(step->text, 200);

		ix_err_set(err, IX_ESTEP, "%s: did not complete successfully: exit code: %d", shown, status);
		err->sys = status;
		return -IX_ESTEP;
	}
	return scratch_commit(opts, &scratch, &build->image, build->stage, ret_result, err);
}
