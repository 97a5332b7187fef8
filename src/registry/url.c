#include "registry/url_int.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "base/str.h"

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
	ix_auto_free char *shown = url_shown(url);

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
	/* curl forgives other numbers of slashes; url_authority does not, and the two must agree on the host */
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

int url_origin(const char *text, char **ret_origin, struct ix_err *err)
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

char *url_authority(const char *url)
{
	const char *start = strstr(url, "://");

	start = start ? start + 3 : url;
	return ix_strndup(start, strcspn(start, "/?#"));
}

bool url_is_https(const char *url)
{
	return ix_starts(url, "https://");
}

bool url_is_loopback(const char *authority)
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

int url_resolve(const char *page, const char *location, char **ret_url, struct ix_err *err)
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
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
			ix_buf_putc(url, (char)c);
		else
			ix_buf_printf(url, "%%%02X", c);
	}
}

void url_add_query(struct ix_buf *url, const char *key, const char *value)
{
	ix_buf_putc(url, strchr(ix_buf_str(url), '?') ? '&' : '?');
	ix_buf_printf(url, "%s=", key);
	encode(url, value);
}

void url_add_form(struct ix_buf *form, const char *key, const char *value)
{
	ix_buf_printf(form, "%s%s=", form->len > 0 ? "&" : "", key);
	encode(form, value);
}

char *url_shown(const char *url)
{
	ix_auto_free char *bare = ix_strndup(url, strcspn(url, "?#"));

	return ix_printable(bare, 300);
}
