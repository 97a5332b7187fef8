#include "registry/auth_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "credentials/credentials.h"
#include "http/http.h"
#include "registry/message_int.h"
#include "registry/token_int.h"

enum { BASIC_FRESH_MS = 5 * 60 * 1000, FAILURE_MS = 5000, PREFETCH_THREADS = 8, REFUSALS_MAX = 3, WARNINGS_MAX = 20 };

/* The server answered without asking who we are. */
static void note_open(struct endpoint *ep)
{
	pthread_mutex_lock(&ep->lock);
	ep->auth_known = true;
	pthread_mutex_unlock(&ep->lock);
}

bool auth_is_known(struct endpoint *ep)
{
	bool known;

	pthread_mutex_lock(&ep->lock);
	known = ep->auth_known;
	pthread_mutex_unlock(&ep->lock);
	return known;
}

static void set_challenge(struct endpoint *ep, const struct challenge *challenge)
{
	pthread_mutex_lock(&ep->lock);
	challenge_copy(&ep->challenge, challenge);
	ep->auth_known = true;
	pthread_mutex_unlock(&ep->lock);
}

static void get_challenge(struct endpoint *ep, struct challenge *ret_challenge)
{
	pthread_mutex_lock(&ep->lock);
	challenge_copy(ret_challenge, &ep->challenge);
	pthread_mutex_unlock(&ep->lock);
}
#define auto_challenge ix_scoped(challenge_release) struct challenge

bool auth_wants_token(struct endpoint *ep)
{
	bool wants;

	pthread_mutex_lock(&ep->lock);
	wants = ep->challenge.kind == CHALLENGE_BEARER;
	pthread_mutex_unlock(&ep->lock);
	return wants;
}

/* --- how the server wants to be spoken to --- */

static bool learn(struct endpoint *ep, const struct ix_http_reply *reply)
{
	auto_challenges list = { 0 };
	const char *value;

	for (size_t i = 0; (value = ix_http_header(reply, "WWW-Authenticate", i)) != NULL; i++)
		challenges_parse(&list, value);
	if (!challenges_best(&list))
		return false;
	set_challenge(ep, challenges_best(&list));
	return true;
}

/* GET /v2/ over one scheme. *ret_answers: something that speaks HTTP with it was there. */
static int probe(struct ix_registry *registry, struct endpoint *ep, const char *scheme, bool *ret_answers, struct ix_err *err)
{
	ix_auto_http_request req = { 0 };
	const struct ix_http_reply *reply = &req.reply;

	ix_http_request_init(&req, registry->http, &ep->site, "GET", ix_asprintf("%s://%s/v2/", scheme, ep->authority));
	req.probe = true;
	int r = ix_http_run(&req, err);
	if (r < 0)
		return r;
	if (strcmp(scheme, "http") == 0 && reply->status == 400 && strstr(ix_buf_str(&reply->text), "HTTPS")) {
		*ret_answers = false;
		return reply_error(&req, err);
	}
	*ret_answers = true;
	if (reply->status == 401)
		(void)learn(ep, reply);
	else if (reply->status == 200)
		note_open(ep);
	return 0;
}

static void set_scheme(struct endpoint *ep, const char *scheme)
{
	pthread_mutex_lock(&ep->lock);
	ep->scheme = scheme;
	pthread_mutex_unlock(&ep->lock);
}

static bool is_settled(struct endpoint *ep)
{
	bool settled;

	pthread_mutex_lock(&ep->lock);
	settled = ep->scheme != NULL;
	pthread_mutex_unlock(&ep->lock);
	return settled;
}

static int try_schemes(struct ix_registry *registry, struct endpoint *ep, const char *const *schemes, struct ix_err *err)
{
	struct ix_err first = { 0 };

	for (size_t i = 0; schemes[i]; i++) {
		bool answers = false;

		if (probe(registry, ep, schemes[i], &answers, err) == 0 && answers) {
			set_scheme(ep, schemes[i]);
			return 0;
		}
		if (err->code == IX_ECANCELED)
			return -IX_ECANCELED;
		if (i == 0)
			first = *err;
	}
	return ix_err_copy(err, &first);
}

int endpoint_settle(struct ix_registry *registry, struct endpoint *ep, struct ix_err *err)
{
	const char *schemes[3];
	int r;

	if (is_settled(ep))
		return 0;
	endpoint_schemes(ep, schemes);
	if (!schemes[1]) {
		set_scheme(ep, schemes[0]);
		return 0;
	}
	pthread_mutex_lock(&ep->settle_lock);
	if (is_settled(ep)) {
		r = 0;
	} else if (ix_now_ms() < ep->unsettled_until_ms) {
		r = ix_err_copy(err, &ep->unsettled);
	} else {
		r = try_schemes(registry, ep, schemes, err);
		if (r < 0 && r != -IX_ECANCELED) {
			ep->unsettled = *err;
			ep->unsettled_until_ms = ix_now_ms() + FAILURE_MS;
		}
	}
	pthread_mutex_unlock(&ep->settle_lock);
	return r;
}

/* --- headers --- */

static int find_creds(struct ix_registry *registry, const struct endpoint *ep, const char *repository, struct ix_creds *creds,
		      struct ix_err *err)
{
	if (!ep->username)
		return ix_credentials_find(registry->credentials, ep->host, repository, creds, err);
	creds->username = ix_strdup(ep->username);
	ix_secret_copy(&creds->password, &ep->password);
	creds->source = ix_strdup("the configuration");
	return 0;
}

static int get_token(struct ix_registry *registry, struct endpoint *ep, const struct challenge *challenge, const struct ix_creds *creds,
		     struct grant *grant, struct ix_err *err)
{
	ix_auto_secret token = { 0 }, refresh = { 0 };
	ix_auto_free char *scope = scope_join(grant->scope, grant->extra_scope);
	uint64_t lifetime;

	pthread_mutex_lock(&ep->lock);
	ix_secret_copy(&refresh, &ep->refresh);
	pthread_mutex_unlock(&ep->lock);
	int r = token_fetch(registry, ep, challenge, scope, creds, &token, &refresh, &lifetime, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&ep->lock);
	ix_secret_copy(&ep->refresh, &refresh);
	pthread_mutex_unlock(&ep->lock);
	ix_secret_take(&grant->header, ix_asprintf("Bearer %s", token.value));
	grant->fresh_until_ms = ix_now_ms() + lifetime;
	return 0;
}

static int make_header(struct ix_registry *registry, struct endpoint *ep, const char *repository, const struct challenge *challenge,
		       struct grant *grant, struct ix_err *err)
{
	ix_auto_creds creds = { 0 };

	ix_secret_release(&grant->header);
	int r = find_creds(registry, ep, repository, &creds, err);
	if (r < 0)
		return r;
	grant->had_credentials = ix_creds_known(&creds);
	grant->fresh_until_ms = ix_now_ms() + BASIC_FRESH_MS;
	if (challenge->kind == CHALLENGE_BEARER && creds.registry.value) {
		ix_secret_take(&grant->header, ix_asprintf("Bearer %s", creds.registry.value));
		return 0;
	}
	if (challenge->kind == CHALLENGE_BEARER)
		return get_token(registry, ep, challenge, &creds, grant, err);
	if (creds.username && creds.password.value)
		ix_secret_take(&grant->header, ix_secret_basic(creds.username, creds.password.value));
	return 0;
}

/* The Authorization header for scope, made or fetched as needed; an empty secret when none is asked for or nothing is known to answer. */
static int get_header(struct ix_registry *registry, struct endpoint *ep, const char *repository, const char *scope,
		      struct ix_secret *ret_header, struct ix_err *err)
{
	auto_challenge challenge = { 0 };
	struct grant *grant = endpoint_grant(ep, scope);
	uint64_t now;
	int r = 0;

	get_challenge(ep, &challenge);
	if (challenge.kind != CHALLENGE_BASIC && challenge.kind != CHALLENGE_BEARER) {
		ix_secret_release(ret_header);
		return 0;
	}
	pthread_mutex_lock(&grant->lock);
	now = ix_now_ms();
	if (now < grant->failed_until_ms) {
		r = ix_err_copy(err, &grant->failure);
	} else if (!grant->header.value || now >= grant->fresh_until_ms) {
		r = make_header(registry, ep, repository, &challenge, grant, err);
		if (r < 0 && r != -IX_ECANCELED) {
			grant->failure = *err;
			grant->failed_until_ms = ix_now_ms() + FAILURE_MS;
		}
	}
	if (r == 0)
		ix_secret_copy(ret_header, &grant->header);
	pthread_mutex_unlock(&grant->lock);
	return r;
}

/* --- refusals --- */

/* Forget a header that was refused, and take in what the challenge asks for beyond our scope. True when it asks for more than before. */
static bool revise(const struct asked *asked, const struct challenge *challenge)
{
	struct grant *grant = endpoint_grant(asked->ep, asked->scope);
	const struct ix_secret *used = &asked->req.auth;
	bool widened = false;

	pthread_mutex_lock(&grant->lock);
	if (challenge->kind == CHALLENGE_BEARER && challenge->scope) {
		char *have = scope_join(asked->scope, grant->extra_scope);

		widened = !scope_covers(have, challenge->scope);
		if (widened) {
			char *extra = scope_join(grant->extra_scope, challenge->scope);

			free(grant->extra_scope);
			grant->extra_scope = extra;
		}
		free(have);
	}
	if (widened || (used->value && ix_secret_eq(used, &grant->header))) {
		ix_secret_release(&grant->header);
		grant->failed_until_ms = 0;
		ix_credentials_refused(asked->registry->credentials, asked->ep->host);
	}
	pthread_mutex_unlock(&grant->lock);
	return widened;
}

static int site_refused(struct ix_http_request *req, struct ix_err *err)
{
	const struct asked *asked = req->user;
	struct endpoint *ep = asked->ep;
	auto_challenge before = { 0 }, challenge = { 0 };
	bool changed;

	get_challenge(ep, &before);
	/* some servers challenge only at /v2/ */
	if (!learn(ep, &req->reply) && before.kind == CHALLENGE_NONE) {
		ix_auto_free char *base = endpoint_base(ep);
		ix_auto_free char *scheme = ix_strndup(base, strcspn(base, ":"));
		bool answers;

		if (probe(asked->registry, ep, scheme, &answers, err) < 0)
			return err->code == IX_ECANCELED ? -IX_ECANCELED : -IX_EAUTH;
	}
	get_challenge(ep, &challenge);
	if (challenge.kind == CHALLENGE_NONE)
		return -IX_EAUTH;
	if (challenge.kind == CHALLENGE_OTHER || (challenge.kind == CHALLENGE_BEARER && !challenge.realm)) {
		ix_auto_free char *shown = ix_printable(challenge.scheme, 60);

		return ix_err_set(err, IX_EFAIL, "401 unauthorized: it asks for '%s' authentication in a way ix does not speak", shown);
	}
	changed = challenge.kind != before.kind;
	if (revise(asked, &challenge))
		changed = true;
	return req->refusals >= REFUSALS_MAX || (req->refusals > 1 && !changed) ? -IX_EAUTH : 0;
}

/* --- as a site --- */

static int site_authorize(struct ix_http_request *req, struct ix_err *err)
{
	const struct asked *asked = req->user;

	return get_header(asked->registry, asked->ep, asked->repository, asked->scope, &req->auth, err);
}

/* Once for each text, and not without end. */
static void tell(struct ix_registry *registry, const char *host, const char *text)
{
	ix_auto_free char *name = ix_asprintf("%s %s", host, text);
	bool news;

	pthread_mutex_lock(&registry->told_lock);
	news = registry->told.count < WARNINGS_MAX && !ix_map_get(&registry->told, name);
	if (news)
		ix_map_set(&registry->told, name, registry);
	pthread_mutex_unlock(&registry->told_lock);
	if (news)
		registry->warn(registry->warn_data, host, text);
}

static void site_answered(struct ix_http_request *req)
{
	const struct asked *asked = req->user;
	const char *value;

	for (size_t i = 0; asked->registry->warn && (value = ix_http_header(&req->reply, "Warning", i)) != NULL; i++) {
		ix_auto_free char *text = ix_http_warning(value);

		if (text)
			tell(asked->registry, asked->ep->host, text);
	}
	if ((req->reply.status / 100 == 2 || req->reply.status == 404) && !req->auth.value)
		note_open(asked->ep);
}

const struct ix_http_site_ops auth_site_ops = {
	.authorize = site_authorize,
	.refused = site_refused,
	.answered = site_answered,
	.unreachable = endpoint_unreachable,
	.allows_plain = endpoint_allows_plain,
	.trust_at = endpoint_trust_at,
};

/* --- many at once --- */

struct prefetch {
	struct ix_registry *registry;
	const struct auth_want *wants;
	size_t count;
	atomic_size_t next;
};

static void *prefetch_some(void *data)
{
	struct prefetch *prefetch = data;
	size_t i;

	while ((i = atomic_fetch_add(&prefetch->next, 1)) < prefetch->count) {
		const struct auth_want *want = &prefetch->wants[i];
		ix_auto_secret header = { 0 };
		struct ix_err ignored;

		(void)get_header(prefetch->registry, want->ep, want->repository, want->scope, &header, &ignored);
	}
	return NULL;
}

void auth_prefetch(struct ix_registry *registry, const struct auth_want *wants, size_t n)
{
	struct prefetch prefetch = { .registry = registry, .wants = wants, .count = n };
	pthread_t threads[PREFETCH_THREADS];
	size_t nthreads = 0;

	while (nthreads < PREFETCH_THREADS && nthreads + 1 < n && pthread_create(&threads[nthreads], NULL, prefetch_some, &prefetch) == 0)
		nthreads++;
	prefetch_some(&prefetch);
	for (size_t i = 0; i < nthreads; i++)
		pthread_join(threads[i], NULL);
}
