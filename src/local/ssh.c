/* The agents that RUN --mount=type=ssh can be given: the user's own, others by their socket, and those that are started here for key files. */
#include <fcntl.h>
#include <signal.h>
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
#include "local/local.h"

static const char *keep(struct ix_agents *agents, char *text_take)
{
	ix_strv_take(&agents->texts, text_take);
	return text_take;
}

static int run(const char *const *argv, const char *const *env, struct ix_buf *output, struct ix_err *err)
{
	ix_auto_buf errors = IX_BUF_INIT(64 << 10);
	int status;
	int r = ix_proc_run(&(struct ix_proc_opts){ .argv = argv, .env = env, .output = output, .errors = &errors }, &status, err);

	if (r < 0)
		return r;
	if (status == 0)
		return 0;
	{
		ix_auto_free char *said = ix_printable(ix_buf_str(&errors), 200);

		return ix_err_set(err, IX_EFAIL, "%s: %s", argv[0], said);
	}
}

/* "SSH_AGENT_PID=123;" in what ssh-agent prints. */
static int agent_pid(const char *text)
{
	const char *at = strstr(text, "SSH_AGENT_PID=");
	ix_auto_free char *number = at ? ix_strndup(at + 14, strspn(at + 14, "0123456789")) : NULL;
	uint64_t pid;

	return number && ix_parse_u64(number, INT32_MAX, &pid) ? (int)pid : -1;
}

static int start_agent(struct ix_agents *agents, const char *keys, const char **ret_socket, struct ix_err *err)
{
	char *path;
	ix_auto_buf said = IX_BUF_INIT(64 << 10);
	ix_auto_free char *copy = ix_strdup(keys);
	char *rest = copy, *key;
	int r;

	if (!agents->dir) {
		agents->dir = ix_strdup("/tmp/ix-agent-XXXXXX");
		if (!mkdtemp(agents->dir))
			return ix_err_sys(err, "create %s", agents->dir);
	}
	path = ix_asprintf("%s/%zu", agents->dir, agents->count);
	*ret_socket = keep(agents, path);
	if (run((const char *const[]){ "ssh-agent", "-s", "-a", path, NULL }, NULL, &said, err) < 0)
		return ix_err_wrap(err, "key files need ssh-agent and ssh-add (openssh-client)");
	agents->pids = ix_realloc_array(agents->pids, agents->npids + 1, sizeof(*agents->pids));
	agents->pids[agents->npids++] = agent_pid(ix_buf_str(&said));
	while ((key = strsep(&rest, ",")) != NULL) {
		ix_auto_free char *where = ix_asprintf("SSH_AUTH_SOCK=%s", path);
		ix_auto_free char *search = ix_asprintf("PATH=%s", getenv("PATH"));

		r = run((const char *const[]){ "ssh-add", "-q", key, NULL }, (const char *const[]){ where, search, "DISPLAY=", NULL }, NULL,
			err);
		if (r < 0)
			return r;
	}
	return 0;
}

int ix_agents_add(struct ix_agents *agents, const char *spec, struct ix_err *err)
{
	const char *equals = strchr(spec, '='), *value = equals ? equals + 1 : getenv("SSH_AUTH_SOCK");
	struct ix_build_ssh ssh = { .id = keep(agents, equals ? ix_strndup(spec, (size_t)(equals - spec)) : ix_strdup(spec)) };
	struct stat st;
	int r;

	if (!value || !*value)
		return ix_err_set(err, IX_EARG, "no SSH agent: SSH_AUTH_SOCK is not set");
	if (!strchr(value, ',') && stat(value, &st) == 0 && S_ISSOCK(st.st_mode)) {
		char *real = realpath(value, NULL);

		ssh.socket = keep(agents, real ? real : ix_strdup(value));
	} else if ((r = start_agent(agents, value, &ssh.socket, err)) < 0) {
		return r;
	}
	agents->items = ix_realloc_array(agents->items, agents->count + 1, sizeof(*agents->items));
	agents->items[agents->count++] = ssh;
	return 0;
}

void ix_agents_release(struct ix_agents *agents)
{
	struct ix_err ignored;

	for (size_t i = 0; i < agents->npids; i++)
		if (agents->pids[i] > 0)
			kill(agents->pids[i], SIGTERM);
	if (agents->dir)
		(void)ix_remove_tree(AT_FDCWD, agents->dir, &ignored);
	free(agents->dir);
	free(agents->pids);
	free(agents->items);
	ix_strv_release(&agents->texts);
	*agents = (struct ix_agents){ 0 };
}
