/*
 * Bearer tokens: GET with Basic or anonymous (distribution's token specification), POST with OAuth2 grants (its oauth specification). Servers
 * differ in which of the two they speak, so each falls back to the other.
 */
#include "registry/token_int.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "registry/message_int.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { LIFETIME_DEFAULT_S = 60, LIFETIME_MAX_S = 86400, MARGIN_MS = 10000 };

struct talk {
	struct ix_registry *registry;
	struct endpoint *ep;
	const struct challenge *challenge;
	const char *scope;
	const struct ix_creds *creds;
	long status; /* of the last answer */
	struct ix_buf answer;

	struct ix_secret token;
	struct ix_secret refresh; /* what the server gave to come back with */
	bool refresh_refused;
	uint64_t lifetime_ms;
};

/* It becomes part of a header line. */
static bool is_header_safe(const char *token)
{
	for (const char *at = token; *at; at++)
		if (*at <= 0x20 || *at == 0x7f)
			return false;
	return *token != '\0';
}

static int parse_answer(struct talk *talk, struct ix_err *err)
{
	auto_json *json = json_loadb(ix_buf_str(&talk->answer), talk->answer.len, 0, NULL);
	const char *token = json_string_value(json_object_get(json, "token"));
	const char *refresh = json_string_value(json_object_get(json, "refresh_token"));
	json_int_t seconds = (json_int_t)json_number_value(json_object_get(json, "expires_in"));

	if (!token || !*token)
		token = json_string_value(json_object_get(json, "access_token"));
	if (!token || !is_header_safe(token))
		return ix_err_set(err, IX_EFAIL, "the token server's answer holds no usable token");
	if (seconds <= 0)
		seconds = LIFETIME_DEFAULT_S;
	if (seconds > LIFETIME_MAX_S)
		seconds = LIFETIME_MAX_S;
	talk->lifetime_ms = (uint64_t)seconds * 1000;
	talk->lifetime_ms -= talk->lifetime_ms / 5 < MARGIN_MS ? talk->lifetime_ms / 5 : MARGIN_MS;
	ix_secret_set(&talk->token, token);
	if (refresh && *refresh)
		ix_secret_set(&talk->refresh, refresh);
	return 0;
}

static int ask(struct talk *talk, struct ix_http_request *req, struct ix_err *err)
{
	req->into = &talk->answer;
	req->idempotent_body = true;
	talk->status = 0;
	ix_strv_add(&req->headers, "Accept: application/json");
	int r = ix_http_run(req, err);
	if (r < 0)
		return r;
	talk->status = req->reply.status;
	if (talk->status != 200) {
		reply_error(req, err);
		if (err->code == IX_ENOTFOUND)
			err->code = IX_EAUTH; /* the token server's 404 says nothing about the image */
		return ix_err_code(err);
	}
	if (parse_answer(talk, err) < 0)
		return ix_http_error(req, err);
	return 0;
}

/* name and password NULL: anonymous. */
static int ask_get(struct talk *talk, const char *name, const char *password, struct ix_err *err)
{
	ix_auto_buf url = { 0 };
	ix_auto_free char *scopes = ix_strdup(talk->scope);
	ix_auto_http_request req = { 0 };
	char *rest = scopes;
	const char *scope;

	ix_buf_puts(&url, talk->challenge->realm);
	if (talk->challenge->service)
		ix_url_add_query(&url, "service", talk->challenge->service);
	while ((scope = strsep(&rest, " ")) != NULL)
		if (*scope)
			ix_url_add_query(&url, "scope", scope);
	if (name)
		ix_url_add_query(&url, "account", name);
	ix_http_request_init(&req, talk->registry->http, &talk->ep->site, "GET", ix_strdup(ix_buf_str(&url)));
	if (name && password)
		ix_secret_take(&req.auth, ix_secret_basic(name, password));
	return ask(talk, &req, err);
}

/* grant: "password" or "refresh_token". */
static int ask_post(struct talk *talk, const char *grant, const char *secret, struct ix_err *err)
{
	ix_auto_secret_buf form = { 0 };
	ix_auto_http_request req = { 0 };
	struct ix_http_body body;
	bool password = strcmp(grant, "password") == 0;

	ix_url_add_form(&form, "grant_type", grant);
	ix_url_add_form(&form, "service", talk->challenge->service ? talk->challenge->service : "");
	ix_url_add_form(&form, "client_id", "ix");
	ix_url_add_form(&form, "scope", talk->scope);
	if (password) {
		ix_url_add_form(&form, "access_type", "offline");
		ix_url_add_form(&form, "username", talk->creds->username);
	}
	ix_url_add_form(&form, password ? "password" : "refresh_token", secret);
	body = (struct ix_http_body){ .bytes = form.data, .size = form.len };
	ix_http_request_init(&req, talk->registry->http, &talk->ep->site, "POST", ix_strdup(talk->challenge->realm));
	req.body = &body;
	ix_strv_add(&req.headers, "Content-Type: application/x-www-form-urlencoded");
	return ask(talk, &req, err);
}

/* The server may simply not speak this way (404, 405), or not for these credentials (some say 401 or 400 to a POST). */
static bool other_way(const struct talk *talk, bool posted)
{
	return talk->status == 404 || talk->status == 405 || talk->status == 501 ||
	       (posted && (talk->status == 400 || talk->status == 401));
}

static int ask_with_password(struct talk *talk, struct ix_err *err)
{
	const struct ix_creds *creds = talk->creds;
	struct ix_err posted;
	int r = ask_get(talk, creds->username, creds->password.value, err);

	if (r == 0 || !other_way(talk, false))
		return r;
	if (ask_post(talk, "password", creds->password.value, &posted) == 0)
		return 0;
	if (!other_way(talk, false))
		*err = posted; /* it does speak POST: this is the real answer */
	return ix_err_code(err);
}

static int ask_with_refresh(struct talk *talk, const char *refresh, struct ix_err *err)
{
	const struct ix_creds *creds = talk->creds;
	struct ix_err second;
	int r = ask_post(talk, "refresh_token", refresh, err);

	if (r == 0 || !other_way(talk, true))
		return r;
	talk->refresh_refused = true;
	if (creds->password.value)
		return ask_with_password(talk, err);
	if (creds->username && ask_get(talk, creds->username, refresh, &second) == 0)
		return 0;
	return r;
}

static int ask_any(struct talk *talk, const char *refresh, struct ix_err *err)
{
	if (refresh)
		return ask_with_refresh(talk, refresh, err);
	if (talk->creds->identity.value)
		return ask_with_refresh(talk, talk->creds->identity.value, err);
	if (talk->creds->username && talk->creds->password.value)
		return ask_with_password(talk, err);
	return ask_get(talk, NULL, NULL, err);
}

int token_fetch(struct ix_registry *registry, struct endpoint *ep, const struct challenge *challenge, const char *scope,
		const struct ix_creds *creds, struct ix_secret *ret_token, struct ix_secret *refresh, uint64_t *ret_lifetime_ms,
		struct ix_err *err)
{
	struct talk talk = {
		.registry = registry,
		.ep = ep,
		.challenge = challenge,
		.scope = scope,
		.creds = creds,
		.answer = IX_BUF_INIT(IX_TOKEN_MAX),
	};
	int r;

	if (ix_http_check_plain(&ep->site, challenge->realm, err) < 0)
		return ix_err_wrap(err, "token server of %s", ep->host);
	r = ask_any(&talk, refresh->value, err);
	if (r == 0) {
		ix_secret_copy(ret_token, &talk.token);
		if (talk.refresh.value || talk.refresh_refused)
			ix_secret_copy(refresh, &talk.refresh);
		*ret_lifetime_ms = talk.lifetime_ms;
	} else if (talk.status == 401 && creds->source) {
		ix_err_wrap(err, "the login for %s from %s", ep->host, creds->source);
	}
	ix_secret_release(&talk.token);
	ix_secret_release(&talk.refresh);
	ix_secret_buf_release(&talk.answer);
	return r;
}
