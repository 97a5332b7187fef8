#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/str.h"
#include "cli_int.h"
#include "io/stream.h"
#include "registry/registry.h"
#include "ui/ui.h"

enum { SECRET_MAX = 64 << 10 };

struct login_opts {
	const char *username;
	bool from_stdin;
};

/* The host of what people write: "https://ghcr.io/", "index.docker.io/v1/"; Docker Hub when nothing. Caller frees. */
static int host_of(const struct ix_strv *operands, char **ret_host, struct ix_err *err)
{
	const char *text = operands->count > 0 ? operands->items[0] : "docker.io", *rest;
	ix_auto_free char *host = NULL;

	if (ix_starts(text, "https://"))
		text += strlen("https://");
	rest = text + strcspn(text, "/");
	host = ix_strndup(text, (size_t)(rest - text));
	if (*rest && strcmp(rest, "/") != 0 && strcmp(rest, "/v1/") != 0 && strcmp(rest, "/v2/") != 0)
		return ix_err_set(err, IX_EARG, "'%s': logins are of hosts: write host[:port]", text);
	if (strcmp(host, "index.docker.io") == 0 || strcmp(host, "registry-1.docker.io") == 0) {
		free(host);
		host = ix_strdup("docker.io");
	}
	*ret_host = ix_steal(&host);
	return 0;
}

static int read_stdin(struct ix_buf *secret, struct ix_err *err)
{
	ix_scoped(ix_reader_freep) struct ix_reader *reader = ix_fd_reader_new_take(dup(STDIN_FILENO));
	int r = ix_read_all(reader, secret, err);

	while (r == 0 && secret->len > 0 && strchr("\r\n", secret->data[secret->len - 1]))
		secret->data[--secret->len] = '\0';
	return r;
}

static int ask_terminal(const char *prompt, bool hidden, struct ix_buf *answer, struct ix_err *err)
{
	if (!isatty(STDIN_FILENO))
		return ix_err_set(err, IX_EARG, "standard input is no terminal: give -u NAME and --password-stdin");
	if (hidden) {
		char *typed = getpass(prompt); /* NOLINT(concurrency-mt-unsafe): nobody else asks */

		if (!typed)
			return ix_err_sys(err, "read the password");
		ix_buf_puts(answer, typed);
		explicit_bzero(typed, strlen(typed));
		return 0;
	}
	char line[1024];

	fputs(prompt, stderr);
	if (!fgets(line, sizeof(line), stdin))
		return ix_err_set(err, IX_EARG, "no user name");
	ix_buf_put(answer, line, strcspn(line, "\r\n"));
	return 0;
}

static int read_login(const struct login_opts *opts, struct ix_buf *name, struct ix_buf *secret, struct ix_err *err)
{
	int r = 0;

	if (opts->username)
		ix_buf_puts(name, opts->username);
	else if (opts->from_stdin)
		return ix_err_set(err, IX_EARG, "--password-stdin needs -u NAME");
	else
		r = ask_terminal("user name: ", false, name, err);
	if (r == 0)
		r = opts->from_stdin ? read_stdin(secret, err) : ask_terminal("password: ", true, secret, err);
	if (r < 0)
		return r;
	if (name->len == 0 || strchr(name->data, ':'))
		return ix_err_set(err, IX_EARG, "a user name is not empty and has no colon");
	return secret->len > 0 ? 0 : ix_err_set(err, IX_EARG, "the password is empty");
}

static int login(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	ix_auto_buf name = IX_BUF_INIT(SECRET_MAX), secret = IX_BUF_INIT(SECRET_MAX);
	ix_auto_free char *host = NULL, *where = NULL;
	int r;

	ix_ui_finish(session->ui);
	if ((r = host_of(operands, &host, err)) == 0 && (r = read_login(data, &name, &secret, err)) == 0 &&
	    (r = ix_registry_log_in(session->ws->registry, host, name.data, secret.data, err)) == 0)
		r = ix_registry_keep_login(session->ws->registry, host, name.data, secret.data, &where, err);
	if (secret.data)
		explicit_bzero(secret.data, secret.cap);
	if (r < 0)
		return r;
	say("logged in to %s as %s, kept %s %s\n", host, name.data, where[0] == '/' ? "unencrypted in" : "by", where);
	return 0;
}

static int logout(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	ix_auto_free char *host = NULL, *left = NULL;
	int r;

	(void)data;
	ix_ui_finish(session->ui);
	if ((r = host_of(operands, &host, err)) < 0 || (r = ix_registry_forget_login(session->ws->registry, host, &left, err)) < 0)
		return r;
	say("logged out of %s\n", host);
	if (left)
		fprintf(stderr, "ix: %s still has a login for %s\n", left, host);
	return 0;
}

int cmd_login(int argc, char **argv)
{
	struct login_opts o = { 0 };
	const struct opt opts[] = { { 'u', "username", "NAME", OPT_TEXT, &o.username, "who logs in" },
				    { 0, "password-stdin", NULL, OPT_FLAG, &o.from_stdin, "read the password from standard input" } };

	return frame_run(
		&(struct command_frame){
			"login", "[HOST]",
			"Log in to a registry (Docker Hub when none is named): the registry is asked whether name and password are\n"
			"good, and they are kept where docker keeps them, with its credential helper if it has one.",
			opts, IX_ARRAY_LEN(opts), 0, 1, false, login, &o },
		argc, argv);
}

int cmd_logout(int argc, char **argv)
{
	return frame_run(&(struct command_frame){ "logout", "[HOST]", "Forget what ix login or docker login keeps for a registry.", NULL, 0,
						  0, 1, false, logout, NULL },
			 argc, argv);
}
