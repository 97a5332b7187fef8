#include "oci/reference.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"

#define DEFAULT_HOST "docker.io"
#define OFFICIAL     "library/"

enum { NAME_MAX_BYTES = 255, TAG_MAX_BYTES = 128, HOST_MAX_BYTES = 255, TEXT_MAX_BYTES = 1024 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_upper(c);
}

static bool is_port(const char *text)
{
	uint64_t port;

	return ix_parse_u64(text, 65535, &port) && port > 0;
}

/* "[<IPv6>]", with rest on what follows the bracket. */
static bool is_bracketed(const char *host, const char **ret_rest)
{
	const char *end = strchr(host, ']');
	char address[INET6_ADDRSTRLEN];
	struct in6_addr binary;
	size_t len;

	if (!end)
		return false;
	len = (size_t)(end - host) - 1;
	if (len >= sizeof(address))
		return false;
	memcpy(address, host + 1, len);
	address[len] = '\0';
	*ret_rest = end + 1;
	return inet_pton(AF_INET6, address, &binary) == 1;
}

/* Labels of letters, digits and inner hyphens, separated by single dots. */
static bool is_host_name(const char *host, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool first = i == 0 || host[i - 1] == '.';
		bool last = i + 1 == len || host[i + 1] == '.';

		if (host[i] == '.' ? first : !is_alnum(host[i]) && (host[i] != '-' || first || last))
			return false;
	}
	return len > 0 && host[len - 1] != '.';
}

static int check_host(const char *host, struct ix_err *err)
{
	const char *rest = host + strcspn(host, ":");
	ix_auto_free char *shown = ix_printable(host, 120);
	bool named = host[0] == '[' ? is_bracketed(host, &rest) : is_host_name(host, (size_t)(rest - host));

	if (!named || strlen(host) > HOST_MAX_BYTES)
		return ix_err_set(err, IX_EARG, "'%s' is not a registry host", shown);
	if (*rest && (*rest != ':' || !is_port(rest + 1)))
		return ix_err_set(err, IX_EARG, "'%s' has a bad port: write host:1-65535", shown);
	return 0;
}

/* One path component: lower-case letters and digits, separated by one '.', one or two '_', or any number of '-'. */
static bool is_component(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t run = 0;
		char c = text[i];

		if (is_lower(c)) {
			i++;
			continue;
		}
		if (c != '.' && c != '_' && c != '-')
			return false;
		while (i + run < len && text[i + run] == c)
			run++;
		if ((c == '.' && run > 1) || (c == '_' && run > 2) || i == 0 || i + run == len || !is_lower(text[i + run]))
			return false;
		i += run;
	}
	return len > 0;
}

static int bad_component(const char *repository, const char *part, size_t len, struct ix_err *err)
{
	ix_auto_free char *shown = ix_printable(repository, 120);
	ix_auto_free char *copy = ix_strndup(part, len);
	ix_auto_free char *shown_part = ix_printable(copy, 60);

	if (len == 0)
		return ix_err_set(err, IX_EARG, "repository '%s' has an empty part", shown);
	return ix_err_set(err, IX_EARG, "repository '%s' has a bad part '%s': use a-z and 0-9, with single . _ or - between them", shown,
			  shown_part);
}

static int check_repository(const char *repository, struct ix_err *err)
{
	ix_auto_free char *shown = ix_printable(repository, 120);

	if (strlen(repository) > NAME_MAX_BYTES)
		return ix_err_set(err, IX_EARG, "the repository name is longer than %d bytes", NAME_MAX_BYTES);
	for (const char *at = repository; *at; at++)
		if (is_upper(*at))
			return ix_err_set(err, IX_EARG, "repository '%s' must be lower case", shown);
	for (const char *at = repository;; at++) {
		size_t len = strcspn(at, "/");

		if (!is_component(at, len))
			return bad_component(repository, at, len, err);
		at += len;
		if (!*at)
			return 0;
	}
}

static int check_tag(const char *tag, struct ix_err *err)
{
	ix_auto_free char *shown = ix_printable(tag, 140);

	if (!*tag)
		return ix_err_set(err, IX_EARG, "the tag after ':' is empty");
	if (strlen(tag) > TAG_MAX_BYTES)
		return ix_err_set(err, IX_EARG, "tag '%s' is longer than %d bytes", shown, TAG_MAX_BYTES);
	for (const char *at = tag; *at; at++)
		if (!is_alnum(*at) && *at != '_' && (at == tag || (*at != '.' && *at != '-')))
			return ix_err_set(err, IX_EARG, "tag '%s' has a bad character: use letters, digits, _ and, not first, . and -",
					  shown);
	return 0;
}

static int check_digest(const char *digest, struct ix_err *err)
{
	ix_auto_free char *shown = ix_printable(digest, 140);
	unsigned char bytes[32];

	if (ix_starts(digest, "sha512:") || ix_starts(digest, "sha384:") || ix_starts(digest, "blake3:"))
		return ix_err_set(err, IX_EARG, "digest '%s' is not sha256, the only algorithm ix reads", shown);
	if (!ix_starts(digest, "sha256:") || !ix_unhex(digest + 7, bytes, sizeof(bytes)))
		return ix_err_set(err, IX_EARG, "digest '%s' is not sha256: and 64 lower-case hex digits", shown);
	return 0;
}

/* docker's rule: what comes before the first slash is a host when it could not be part of a Docker Hub name. */
static bool is_host_part(const char *text, size_t len)
{
	if (len == strlen("localhost") && memcmp(text, "localhost", len) == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '.' || text[i] == ':' || text[i] == '[' || is_upper(text[i]))
			return true;
	return false;
}

static void split_host(const char *name, struct ix_ref *ref)
{
	const char *slash = strchr(name, '/');
	const char *path = name;

	if (slash && is_host_part(name, (size_t)(slash - name))) {
		ref->host = ix_strndup(name, (size_t)(slash - name));
		path = slash + 1;
	}
	if (!ref->host || strcmp(ref->host, "index.docker.io") == 0) {
		free(ref->host);
		ref->host = ix_strdup(DEFAULT_HOST);
	}
	if (strcmp(ref->host, DEFAULT_HOST) == 0 && *path && !strchr(path, '/'))
		ref->repository = ix_asprintf(OFFICIAL "%s", path);
	else
		ref->repository = ix_strdup(path);
}

static bool is_bare_id(const char *name)
{
	unsigned char bytes[32];

	return ix_unhex(name, bytes, sizeof(bytes));
}

static int parse(const char *text, struct ix_ref *ref, struct ix_err *err)
{
	ix_auto_free char *name = ix_strdup(text);
	char *at = strchr(name, '@');
	char *slash, *colon;
	int r;

	if (is_bare_id(text))
		return ix_err_set(err, IX_EARG, "64 hex digits are an image id, not a name");
	if (at) {
		*at = '\0';
		ref->digest = ix_strdup(at + 1);
		r = check_digest(ref->digest, err);
		if (r < 0)
			return r;
	}
	slash = strrchr(name, '/');
	colon = strrchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		ref->tag = ix_strdup(colon + 1);
		r = check_tag(ref->tag, err);
		if (r < 0)
			return r;
	} else if (!at) {
		ref->tag = ix_strdup("latest");
	}
	if (!*name)
		return ix_err_set(err, IX_EARG, "the name is empty");
	split_host(name, ref);
	r = check_host(ref->host, err);
	if (r < 0)
		return r;
	return check_repository(ref->repository, err);
}

int ix_ref_parse(const char *text, struct ix_ref *ret_ref, struct ix_err *err)
{
	ix_auto_ref ref = { 0 };
	ix_auto_free char *shown = ix_printable(text, 160);

	if (!*text)
		return ix_err_set(err, IX_EARG, "the image reference is empty");
	if (strlen(text) > TEXT_MAX_BYTES)
		return ix_err_set(err, IX_EARG, "image reference '%s' is longer than %d bytes", shown, TEXT_MAX_BYTES);
	if (strstr(text, "://"))
		return ix_err_set(err, IX_EARG, "image reference '%s': leave out the '%.*s://'", shown, (int)strcspn(shown, ":"), shown);
	if (parse(text, &ref, err) < 0)
		return ix_err_wrap(err, "image reference '%s'", shown);
	*ret_ref = ref;
	ref = (struct ix_ref){ 0 };
	return 0;
}

void ix_ref_copy(const struct ix_ref *from, struct ix_ref *ret_ref)
{
	*ret_ref = (struct ix_ref){
		.host = ix_strdup(from->host),
		.repository = ix_strdup(from->repository),
		.tag = ix_strdup(from->tag),
		.digest = ix_strdup(from->digest),
	};
}

void ix_ref_release(struct ix_ref *ref)
{
	free(ref->host);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct ix_ref){ 0 };
}

static char *text_of(const struct ix_ref *ref, const char *host, const char *repository)
{
	return ix_asprintf("%s%s%s%s%s%s%s", host, *host ? "/" : "", repository, ref->tag ? ":" : "", ref->tag ? ref->tag : "",
			   ref->digest ? "@" : "", ref->digest ? ref->digest : "");
}

char *ix_ref_text(const struct ix_ref *ref)
{
	return text_of(ref, ref->host, ref->repository);
}

char *ix_ref_familiar(const struct ix_ref *ref)
{
	const char *path = ref->repository;
	const char *slash = strchr(path, '/');

	if (strcmp(ref->host, DEFAULT_HOST) != 0)
		return ix_ref_text(ref);
	if (ix_starts(path, OFFICIAL) && !strchr(path + strlen(OFFICIAL), '/'))
		return text_of(ref, "", path + strlen(OFFICIAL));
	/* docker.io/foo.bar/x without its host would be read as a repository of the host foo.bar */
	if (slash && is_host_part(path, (size_t)(slash - path)))
		return ix_ref_text(ref);
	return text_of(ref, "", path);
}

const char *ix_ref_selector(const struct ix_ref *ref)
{
	return ref->digest ? ref->digest : ref->tag;
}
