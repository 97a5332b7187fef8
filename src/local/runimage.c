#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "image/image.h"
#include "local_int.h"
#include "sandbox/sandbox.h"

/* "host:target[:ro]" */
static int add_volume(const char *spec, struct ix_jail_mount *mount, struct ix_strv *texts, struct ix_err *err)
{
	const char *first = strchr(spec, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;
	ix_auto_free char *host = first ? ix_strndup(spec, (size_t)(first - spec)) : NULL;
	char *absolute, *target;

	if (!first || !first[1] || first[1] != '/' || (second && strcmp(second, ":ro") != 0 && strcmp(second, ":rw") != 0))
		return ix_err_set(err, IX_EARG, "--volume %s: write HOST:/TARGET[:ro]", spec);
	absolute = realpath(host, NULL);
	if (!absolute)
		return ix_err_sys(err, "--volume %s", host);
	target = ix_strndup(first + 1, second ? (size_t)(second - first - 1) : strlen(first + 1));
	ix_strv_take(texts, absolute);
	ix_strv_take(texts, target);
	*mount = (struct ix_jail_mount){
		.kind = IX_JAIL_BIND, .source = absolute, .target = target, .read_only = second && strcmp(second, ":ro") == 0
	};
	return 0;
}

/* Docker's rules: --entrypoint replaces the entrypoint and drops the command; words replace the command. */
static int command_words(const struct ix_image_config *config, const struct ix_run_opts *run, struct ix_strv *words, struct ix_err *err)
{
	if (!run->entrypoint)
		ix_strv_copy(words, &config->entrypoint);
	else if (*run->entrypoint)
		ix_strv_add(words, run->entrypoint);
	if (run->argv && run->argv[0])
		for (const char *const *word = run->argv; *word; word++)
			ix_strv_add(words, *word);
	else if (!run->entrypoint)
		ix_strv_copy(words, &config->cmd);
	return words->count > 0 ? 0 : ix_err_set(err, IX_EARG, "the image names no command: write one behind --");
}

static void run_env(const struct host *host, const struct ix_image_config *config, const struct ix_run_opts *run, struct ix_strv *env)
{
	const char *term = getenv("TERM");

	ix_strv_copy(env, &config->env);
	for (const char *const *pair = run->env; pair && *pair; pair++) {
		const char *equals = strchr(*pair, '=');
		ix_auto_free char *key = equals ? ix_strndup(*pair, (size_t)(equals - *pair)) : NULL;

		if (equals)
			ix_env_set(env, key, equals + 1);
		else if (getenv(*pair))
			ix_env_set(env, *pair, getenv(*pair));
	}
	if (term && isatty(STDIN_FILENO) && !ix_env_get(env, "TERM"))
		ix_env_set(env, "TERM", term);
	host_env(host, run->image_tls, env);
}

static int run_in(const struct ix_local_opts *opts, const struct host *host, const struct ix_image *image, const struct ix_run_opts *run,
		  int *ret_status, struct ix_err *err)
{
	const struct ix_run_spec spec = IX_RUN_SPEC_INIT;
	ix_auto_free char *hosts = host_hosts_file(&spec);
	ix_auto_strv words = { 0 }, env = { 0 }, texts = { 0 };
	ix_auto_free struct ix_jail_mount *mounts = NULL;
	ix_auto_scratch scratch = { .root_fd = -1 };
	struct ix_jail_plan plan = { .hosts_file = hosts,
				     .resolv_file = host->resolv_conf,
				     .no_network = run->no_network,
				     .interactive = true,
				     .stdin_fd = STDIN_FILENO,
				     .stdout_fd = STDOUT_FILENO,
				     .stderr_fd = STDERR_FILENO };
	size_t nvolumes = 0;
	int r;

	while (run->volumes && run->volumes[nvolumes])
		nvolumes++;
	mounts = ix_calloc(nvolumes + 1, sizeof(*mounts));
	for (; plan.nmounts < nvolumes; plan.nmounts++)
		if ((r = add_volume(run->volumes[plan.nmounts], &mounts[plan.nmounts], &texts, err)) < 0)
			return r;
	if (host_ca_mount(host, run->image_tls, &mounts[plan.nmounts]))
		plan.nmounts++;
	run_env(host, &image->config, run, &env);
	if ((r = command_words(&image->config, run, &words, err)) < 0 ||
	    (r = ix_scratch_open(&opts->image, image, NULL, &scratch, err)) < 0)
		return r;
	plan.root_fd = scratch.root_fd;
	plan.argv = (const char *const *)words.items;
	plan.env = (const char *const *)env.items;
	plan.mounts = mounts;
	plan.cwd = run->workdir ? run->workdir : image->config.working_dir && *image->config.working_dir ? image->config.working_dir : "/";
	plan.user = run->user ? run->user : image->config.user;
	return ix_sandbox_run(&plan, opts->image.cancel, ret_status, err);
}

int ix_local_run_image(const struct ix_local_opts *opts, const struct ix_digest *manifest, const char *image, const struct ix_run_opts *run,
		       int *ret_status, struct ix_err *err)
{
	ix_auto_image loaded = { 0 };
	struct host host;
	int r;

	host_init(&host, opts->build_args);
	r = ix_image_load(&opts->image, image, manifest, &loaded, err);
	if (r == 0)
		r = run_in(opts, &host, &loaded, run, ret_status, err);
	host_release(&host);
	return r;
}
