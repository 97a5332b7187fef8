/* What went wrong, in the words of the registry and with what to do about it. */
#include "registry/message_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "registry/client_int.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { WORDS_MAX = 300, ERRORS_SHOWN = 3 };

/* {"errors":[{"code":"DENIED","message":"..."}]}, the distribution-spec's form. */
static void words_of_errors(const json_t *errors, struct ix_buf *words)
{
	json_t *item;
	size_t i;

	json_array_foreach(errors, i, item)
	{
		const char *code = json_string_value(json_object_get(item, "code"));
		const char *message = json_string_value(json_object_get(item, "message"));

		if (i == ERRORS_SHOWN)
			return;
		if (words->len > 0 && (code || message))
			ix_buf_puts(words, "; ");
		ix_buf_printf(words, "%s%s%s", code ? code : "", code && message && *message ? ": " : "", message ? message : "");
	}
}

/* Token servers and proxies have their own ways to say it; HTML says nothing. */
static void words_of_text(const struct ix_http_reply *reply, struct ix_buf *words)
{
	const char *text = ix_buf_str(&reply->text);
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strcspn(text, "\r\n");
	if (*text != '<' && *text != '{' && len < WORDS_MAX && !memchr(reply->text.data ? reply->text.data : "", '\0', reply->text.len))
		ix_buf_put(words, text, len);
}

static char *reply_words(const struct ix_http_reply *reply)
{
	static const char *const members[] = { "details", "error_description", "message", "error" };
	auto_json *json = json_loadb(ix_buf_str(&reply->text), reply->text.len, 0, NULL);
	ix_auto_buf words = { 0 };

	words_of_errors(json_object_get(json, "errors"), &words);
	for (size_t i = 0; i < IX_ARRAY_LEN(members) && words.len == 0; i++) {
		const char *text = json_string_value(json_object_get(json, members[i]));

		ix_buf_puts(&words, text ? text : "");
	}
	if (words.len == 0 && !json)
		words_of_text(reply, &words);
	return ix_printable(ix_buf_str(&words), WORDS_MAX);
}

static char *login_advice(const struct ix_http_request *req)
{
	struct endpoint *ep = endpoint_of(req->site);
	const struct asked *asked = req->user;
	const char *host = ep->host;
	const char *hub = strcmp(host, "docker.io") == 0 ? "" : host;
	bool tried = req->auth.value && (!asked || grant_had_credentials(endpoint_grant(ep, asked->scope)));

	return ix_asprintf("%s%s (ix login%s%s, or registries: in ix.yaml)",
			   tried ? "the credentials for it were refused: log in again to " : "log in to ", host, *hub ? " " : "", hub);
}

static char *advice(const struct ix_http_request *req)
{
	const struct ix_http_reply *reply = &req->reply;
	const char *after = ix_http_header(reply, "Retry-After", 0);

	if (reply->status == 401)
		return login_advice(req);
	if (reply->status == 403)
		return ix_asprintf("%s does not allow this to %s", req->site->name,
				   req->auth.value ? "these credentials" : "anonymous users: log in (ix login, or registries: in ix.yaml)");
	if (reply->status == 429 && after) {
		ix_auto_free char *shown = ix_printable(after, 60);

		return ix_asprintf("it asks to wait (Retry-After: %s)%s", shown, req->auth.value ? "" : ", logging in may raise the limit");
	}
	if (reply->status == 400 && !ix_url_is_https(req->current_url) && strstr(ix_buf_str(&reply->text), "HTTPS"))
		return ix_strdup("it speaks https: give its CA file under registries: in ix.yaml");
	return ix_strdup("");
}

int reply_error(const struct ix_http_request *req, struct ix_err *err)
{
	ix_auto_free char *words = reply_words(&req->reply);
	ix_auto_free char *todo = advice(req);
	ix_auto_free char *tries = req->retry.tries > 1 ? ix_asprintf(" (%u times)", req->retry.tries) : ix_strdup("");
	long status = req->reply.status;
	enum ix_errc code = IX_EFAIL;

	/* 405 is how mirrors and read-only registries answer writers. */
	if (status == 401 || status == 403 || status == 405)
		code = IX_EAUTH;
	/* Only who looks something up is told that it does not exist. */
	else if (status == 404 && (strcmp(req->method, "GET") == 0 || strcmp(req->method, "HEAD") == 0))
		code = IX_ENOTFOUND;
	ix_err_set(err, code, "%ld %s%s%s%s%s%s", status, ix_http_status_words(status), tries, *words ? ": " : "", words, *todo ? ": " : "",
		   todo);
	return ix_http_error(req, err);
}
