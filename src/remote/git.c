#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/proc.h"
#include "base/str.h"
#include "io/base64.h"
#include "remote_int.h"

/*
 * Repositories through the git program, cut off from the user's own git configuration except for ssh (keys, known hosts, the agent). Secrets go
 * through the environment, where other users cannot read them.
 */
enum { OUTPUT_MAX = 16 << 20, ERRORS_MAX = 1 << 20 };

/* The value of an Authorization header, NULL for none. */
static int authorization(struct ix_remotes *remotes, const char *url, char **ret_value, struct ix_err *err)
{
	ix_auto_free char *host = remote_host(url);
	ix_auto_buf value = IX_BUF_INIT(IX_TOKEN_MAX);
	int r;

	*ret_value = NULL;
	if (!ix_starts(url, "http"))
		return 0;
	r = remote_secret(remotes, "GIT_AUTH_HEADER", '.', host, true, &value, err);
	if (r == 0)
		*ret_value = ix_strdup(ix_buf_str(&value));
	if (r == -IX_ENOTFOUND) {
		r = remote_secret(remotes, "GIT_AUTH_TOKEN", '.', host, true, &value, err);
		if (r == 0) {
			ix_auto_free char *pair = ix_asprintf("x-access-token:%s", ix_buf_str(&value));
			ix_auto_free char *coded = ix_base64_encode(pair, strlen(pair));

			*ret_value = ix_asprintf("basic %s", coded);
			explicit_bzero(pair, strlen(pair));
		}
	}
	if (value.data)
		explicit_bzero(value.data, value.len);
	return r == -IX_ENOTFOUND ? 0 : r;
}

static int make_env(struct ix_remotes *remotes, const char *url, struct ix_strv *env, struct ix_err *err)
{
	static const char *const kept[] = { "PATH",          "SSH_AUTH_SOCK",  "http_proxy",  "https_proxy", "no_proxy",
					    "all_proxy",     "HTTP_PROXY",     "HTTPS_PROXY", "NO_PROXY",    "ALL_PROXY",
					    "SSL_CERT_FILE", "GIT_SSL_CAINFO", "TMPDIR" };
	const char *home = getenv("HOME"), *ssh = getenv("GIT_SSH_COMMAND");
	ix_auto_free char *header = NULL;
	int r = authorization(remotes, url, &header, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < IX_ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value)
			ix_env_set(env, kept[i], value);
	}
	ix_env_set(env, "HOME", home ? home : "/");
	ix_env_set(env, "GIT_CONFIG_NOSYSTEM", "1");
	ix_env_set(env, "GIT_CONFIG_GLOBAL", "/dev/null");
	ix_env_set(env, "GIT_TERMINAL_PROMPT", "0");
	ix_env_set(env, "GIT_ALLOW_PROTOCOL", "http:https:git:ssh");
	ix_env_set(env, "GIT_SSH_COMMAND", ssh ? ssh : "ssh -oBatchMode=yes");
	ix_env_set(env, "LC_ALL", "C");
	if (header) {
		ix_auto_free char *key = NULL;
		ix_auto_free char *line = ix_asprintf("Authorization: %s", header);
		const char *path = strstr(url, "://");

		/* Only for this host: submodules and redirects may lead elsewhere. */
		path = path ? path + 3 + strcspn(path + 3, "/") : url;
		key = ix_asprintf("http.%.*s/.extraHeader", (int)(path - url), url);
		ix_env_set(env, "GIT_CONFIG_COUNT", "1");
		ix_env_set(env, "GIT_CONFIG_KEY_0", key);
		ix_env_set(env, "GIT_CONFIG_VALUE_0", line);
		explicit_bzero(line, strlen(line));
		explicit_bzero(header, strlen(header));
	}
	return 0;
}

/* The last thing git said. */
static char *complaint(const struct ix_buf *errors)
{
	const char *text = ix_buf_str(errors), *last = text;
	ix_auto_free char *line = NULL;

	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (strcspn(at, "\n") > 0 && (ix_starts(at, "fatal:") || ix_starts(at, "error:") || !ix_starts(last, "fatal:")))
			last = at;
	line = ix_strndup(last, strcspn(last, "\n"));
	return ix_printable(line, 300);
}

/* git with words ending in NULL, in dir when it is not NULL. */
static int git(struct ix_remotes *remotes, const char *url, const char *dir, const char *const *words, struct ix_buf *output,
	       struct ix_err *err)
{
	/* A umask of ours, so that files are 644 and 755 whatever the user's is. */
	const char *argv[24] = { "/bin/sh", "-c", "umask 022; exec \"$@\"", "sh", "git" };
	ix_auto_buf errors = IX_BUF_INIT(ERRORS_MAX);
	ix_auto_strv env = { 0 };
	size_t n = 5;
	int status;

	if (dir) {
		argv[n++] = "-C";
		argv[n++] = dir;
	}
	while (*words && n + 1 < IX_ARRAY_LEN(argv))
		argv[n++] = *words++;
	int r = make_env(remotes, url, &env, err);
	if (r < 0)
		return r;
	r = ix_proc_run(&(struct ix_proc_opts){ .argv = argv,
						.env = (const char *const *)env.items,
						.output = output,
						.errors = &errors,
						.cancel = remotes->opts.cancel },
			&status, err);
	if (r < 0)
		return r;
	if (status == 127)
		return ix_err_set(err, IX_EFAIL, "git is not installed: it is needed for %s", url);
	if (status != 0) {
		ix_auto_free char *said = complaint(&errors);

		return ix_err_set(err, IX_EFAIL, "git: %s", said);
	}
	return 0;
}

/* --- which commit --- */

static bool is_commit(const char *text)
{
	size_t len = strlen(text);

	return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

/* Of what ls-remote lists: the branch, the tag (what an annotated one points to), or the ref itself. */
static char *pick(char *list, const char *ref)
{
	const char *found[5] = { NULL };
	const char *bare = ix_starts(ref, "refs/") ? ref + 5 : ref;
	ix_auto_free char *names[5] = { ix_asprintf("refs/heads/%s", ref), ix_asprintf("refs/tags/%s^{}", ref),
					ix_asprintf("refs/tags/%s", ref), ix_asprintf("refs/%s^{}", bare), ix_asprintf("refs/%s", bare) };
	char *rest = list, *line;
	const char *best = NULL;

	while ((line = strsep(&rest, "\n")) != NULL) {
		char *tab = strchr(line, '\t');

		if (!tab)
			continue;
		*tab++ = '\0';
		if (!is_commit(line))
			continue;
		if (strcmp(tab, ref) == 0 && strcmp(ref, "HEAD") == 0)
			found[4] = line;
		for (size_t i = 0; i < IX_ARRAY_LEN(found); i++)
			if (strcmp(tab, names[i]) == 0)
				found[i] = line;
	}
	for (size_t i = 0; i < IX_ARRAY_LEN(found); i++) {
		best = best ? best : found[i];
		if (i > 0)
			free(names[i]);
	}
	return ix_strdup(best);
}

int git_resolve(struct ix_remotes *remotes, const struct ix_remote *remote, char **ret_commit, struct ix_err *err)
{
	const char *ref = remote->ref ? remote->ref : remote->checksum && remote->fetch_by_commit ? remote->checksum : "HEAD";
	ix_auto_free char *peeled = ix_asprintf("%s^{}", ref);
	const char *const words[] = { "ls-remote", "--", remote->url, ref, peeled, NULL };
	ix_auto_buf list = IX_BUF_INIT(OUTPUT_MAX);
	ix_auto_free char *commit = NULL;

	if (is_commit(ref)) {
		commit = ix_strdup(ref);
	} else {
		if (remotes->opts.offline)
			return ix_err_set(err, IX_EFAIL, "repository %s cannot be asked for %s with --offline: pin it with ix lock",
					  remote->url, ref);
		if (git(remotes, remote->url, NULL, words, &list, err) < 0)
			return ix_err_wrap(err, "%s", remote->url);
		commit = list.data ? pick(list.data, ref) : NULL;
		if (!commit)
			return ix_err_set(err, IX_ENOTFOUND, "repository %s does not contain ref %s", remote->url, ref);
	}
	if (remote->checksum && !ix_starts(commit, remote->checksum))
		return ix_err_set(err, IX_ECORRUPT, "%s: expected checksum to match %s, got %s", remote->url, remote->checksum, commit);
	*ret_commit = ix_steal(&commit);
	return 0;
}

/* --- its files --- */

/* All files get the commit's time, so that layers made of them are the same tomorrow. */
static int set_times(const char *dir, int64_t time_s, struct ix_err *err)
{
	const struct timespec times[2] = { { .tv_sec = time_s }, { .tv_sec = time_s } };
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	if (!fts)
		return ix_err_sys(err, "read %s", dir);
	while ((entry = fts_read(fts)) != NULL)
		if (entry->fts_info != FTS_D)
			(void)utimensat(AT_FDCWD, entry->fts_accpath, times, AT_SYMLINK_NOFOLLOW);
	fts_close(fts);
	return 0;
}

/* .git directories, and the files of that name that submodules have. */
static int strip_git(const char *dir, struct ix_err *err)
{
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int r = 0;

	if (!fts)
		return ix_err_sys(err, "read %s", dir);
	while (r == 0 && (entry = fts_read(fts)) != NULL) {
		if (entry->fts_level == 0 || entry->fts_info == FTS_DP || strcmp(entry->fts_name, ".git") != 0)
			continue;
		fts_set(fts, entry, FTS_SKIP);
		r = ix_remove_tree(AT_FDCWD, entry->fts_accpath, err);
	}
	fts_close(fts);
	return r;
}

static int fetch(struct ix_remotes *remotes, const struct ix_remote *remote, const char *commit, const char *dir, struct ix_err *err)
{
	int r;

	const char *const init[] = { "-c", "init.defaultBranch=main", "init", "-q", NULL };
	const char *const origin[] = { "remote", "add", "origin", "--", remote->url, NULL };
	const char *const exact[] = { "fetch", "-q", "--depth=1", "--no-tags", "origin", commit, NULL };
	const char *const everything[] = { "fetch", "-q", "--tags", "origin", "+refs/*:refs/remotes/origin/*", NULL };

	if ((r = git(remotes, remote->url, dir, init, NULL, err)) < 0 || (r = git(remotes, remote->url, dir, origin, NULL, err)) < 0)
		return r;
	/* Not every server gives a commit by its id. */
	if (git(remotes, remote->url, dir, exact, NULL, err) == 0)
		return 0;
	if (err->code == IX_ECANCELED)
		return -IX_ECANCELED;
	return git(remotes, remote->url, dir, everything, NULL, err);
}

static int check_out(struct ix_remotes *remotes, const struct ix_remote *remote, const char *commit, const char *dir, struct ix_err *err)
{
	int r;

	const char *const checkout[] = { "-c", "advice.detachedHead=false", "checkout", "-q", "--force", "--detach", commit, NULL };
	const char *const modules[] = { "submodule", "-q", "update", "--init", "--recursive", "--depth=1", NULL };
	const char *const time[] = { "show", "-s", "--format=%ct", commit, NULL };
	ix_auto_buf stamp = IX_BUF_INIT(4096);
	ix_auto_free char *gitmodules = ix_asprintf("%s/.gitmodules", dir);
	uint64_t seconds;

	if ((r = fetch(remotes, remote, commit, dir, err)) < 0 || (r = git(remotes, remote->url, dir, checkout, NULL, err)) < 0)
		return r;
	if (!remote->no_submodules && ix_path_exists(AT_FDCWD, gitmodules) && git(remotes, remote->url, dir, modules, NULL, err) < 0)
		return ix_err_wrap(err, "submodules");
	r = git(remotes, remote->url, dir, time, &stamp, err);
	if (r < 0)
		return r;
	if (stamp.len > 0 && stamp.data[stamp.len - 1] == '\n')
		stamp.data[--stamp.len] = '\0';
	if (!ix_parse_u64(ix_buf_str(&stamp), INT64_MAX, &seconds))
		seconds = 0;
	if (!remote->keep_git_dir && (r = strip_git(dir, err)) < 0)
		return r;
	return set_times(dir, (int64_t)seconds, err);
}

int git_checkout(struct ix_remotes *remotes, const struct ix_remote *remote, const char *commit, char **ret_dir, struct ix_err *err)
{
	ix_auto_free char *dir = NULL;

	if (remotes->opts.offline)
		return ix_err_set(err, IX_EFAIL, "%s: commit %s is not in the store, and --offline asks nobody for it", remote->url,
				  commit);
	int r = ix_store_tmpdir(remotes->opts.store, &dir, err);
	if (r < 0)
		return r;
	ix_strv_add(&remotes->dirs, dir);
	if (chmod(dir, 0755) < 0)
		return ix_err_sys(err, "mode of %s", dir);
	if (check_out(remotes, remote, commit, dir, err) < 0)
		return err->code == IX_ECANCELED ? -IX_ECANCELED : ix_err_wrap(err, "%s", remote->url);
	*ret_dir = ix_steal(&dir);
	return 0;
}
