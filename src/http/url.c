#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "base/str.h"
#include "http/http.h"

enum { URL_MAX = 16 << 10 };

static void curlup(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_text_freep(char **text)
{
	curl_free(*text);
}
#define auto_curlu     ix_scoped(curlup) CURLU
#define auto_curl_text ix_scoped(curl_text_freep) char

static int bad_url(struct ix_err *err, const char *url, const char *why)
{
	ix_auto_free char *shown = ix_url_shown(url);

	return ix_err_set(err, IX_EFAIL, "bad URL '%s': %s", shown, why);
}

/* curl takes and drops some control bytes; a server that sends them has no business with us. */
static bool is_clean(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= 0x20 || (unsigned char)*text == 0x7f)
			return false;
	return true;
}

static int parse(const char *text, CURLU *url, struct ix_err *err)
{
	auto_curl_text *user = NULL;
	const char *start = strstr(text, "://");
	CURLUcode code;

	if (strlen(text) > URL_MAX || !is_clean(text))
		return bad_url(err, text, "too long or with blanks in it");
	/* curl forgives other numbers of slashes; ix_url_authority does not, and the two must agree on the host */
	if (!start || start[3] == '/')
		return bad_url(err, text, "it is not an http or https URL");
	code = curl_url_set(url, CURLUPART_URL, text, 0);
	if (code != CURLUE_OK)
		return bad_url(err, text, curl_url_strerror(code));
	if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
		return bad_url(err, text, "it holds a user name");
	return 0;
}

static void lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text - 'A' + 'a');
}

int ix_url_origin(const char *text, char **ret_origin, struct ix_err *err)
{
	auto_curlu *url = curl_url();
	auto_curl_text *scheme = NULL, *host = NULL, *port = NULL;
	int r = parse(text, url, err);

	if (r < 0)
		return r;
	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    !*host || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return bad_url(err, text, "it is not an http or https URL");
	if (curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return bad_url(err, text, "it has no usable port");
	*ret_origin = ix_asprintf("%s://%s:%s", scheme, host, port);
	lower(*ret_origin);
	return 0;
}

char *ix_url_authority(const char *url)
{
	const char *start = strstr(url, "://");

	start = start ? start + 3 : url;
	return ix_strndup(start, strcspn(start, "/?#"));
}

bool ix_url_is_https(const char *url)
{
	return ix_starts(url, "https://");
}

bool ix_url_is_loopback(const char *authority)
{
	ix_auto_free char *host = ix_strdup(authority);
	struct in_addr four;
	struct in6_addr six;
	char *end;

	lower(host);
	if (host[0] == '[') {
		end = strchr(host, ']');
		if (!end)
			return false;
		*end = '\0';
		return inet_pton(AF_INET6, host + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
	}
	host[strcspn(host, ":")] = '\0';
	if (strcmp(host, "localhost") == 0 || ix_ends(host, ".localhost"))
		return true;
	return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

int ix_url_resolve(const char *page, const char *location, char **ret_url, struct ix_err *err)
{
	auto_curlu *url = curl_url();
	auto_curl_text *whole = NULL;
	CURLUcode code;

	if (strlen(location) > URL_MAX || !is_clean(location))
		return bad_url(err, location, "too long or with blanks in it");
	if (ix_starts(location, "https://") || ix_starts(location, "http://")) {
		*ret_url = ix_strdup(location);
		return 0;
	}
	if (location[0] == '/' && location[1] != '/') {
		const char *path = strstr(page, "://");

		if (!path)
			return bad_url(err, page, "it is not absolute");
		path += 3;
		path += strcspn(path, "/?#");
		*ret_url = ix_asprintf("%.*s%s", (int)(path - page), page, location);
		return 0;
	}
	int r = parse(page, url, err);
	if (r < 0)
		return r;
	code = curl_url_set(url, CURLUPART_URL, location, 0);
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &whole, 0);
	if (code != CURLUE_OK)
		return bad_url(err, location, curl_url_strerror(code));
	*ret_url = ix_strdup(whole);
	return 0;
}

static void encode(struct ix_buf *url, const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, (int)strlen(text));

	if (!escaped)
		ix_bug("curl_easy_escape failed");
	ix_buf_puts(url, escaped);
	explicit_bzero(escaped, strlen(escaped));
	curl_free(escaped);
}

void ix_url_add_query(struct ix_buf *url, const char *key, const char *value)
{
	ix_buf_putc(url, strchr(ix_buf_str(url), '?') ? '&' : '?');
	ix_buf_printf(url, "%s=", key);
	encode(url, value);
}

void ix_url_add_form(struct ix_buf *form, const char *key, const char *value)
{
	ix_buf_printf(form, "%s%s=", form->len > 0 ? "&" : "", key);
	encode(form, value);
}

/* Where the authority's "user:password@" ends; start when there is none. */
static const char *behind_user(const char *start)
{
	const char *at = memrchr(start, '@', strcspn(start, "/?#"));

	return at ? at + 1 : start;
}

int ix_url_split_user(const char *url, char **ret_url, struct ix_secret *ret_basic, struct ix_err *err)
{
	const char *start = strstr(url, "://"), *host = start ? behind_user(start + 3) : url;
	auto_curlu *parsed = curl_url();
	auto_curl_text *user = NULL, *password = NULL;
	CURLUcode code;

	if (!start || host == start + 3) {
		*ret_url = ix_strdup(url);
		return 0;
	}
	if ((code = curl_url_set(parsed, CURLUPART_URL, url, 0)) != CURLUE_OK ||
	    (code = curl_url_get(parsed, CURLUPART_USER, &user, CURLU_URLDECODE)) != CURLUE_OK)
		return bad_url(err, url, curl_url_strerror(code));
	(void)curl_url_get(parsed, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
	ix_secret_take(ret_basic, ix_secret_basic(user, password ? password : ""));
	*ret_url = ix_asprintf("%.*s%s", (int)(start + 3 - url), url, host);
	return 0;
}

char *ix_url_shown(const char *url)
{
	const char *start = strstr(url, "://"), *host = start ? behind_user(start + 3) : url;
	ix_auto_free char *bare = ix_asprintf("%.*s%.*s", start ? (int)(start + 3 - url) : 0, url, (int)strcspn(host, "?#"), host);

	return ix_printable(bare, 300);
}
