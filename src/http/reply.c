/* What a reply's status and headers mean. */
#include <string.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/str.h"
#include "http/http.h"

const char *ix_http_header(const struct ix_http_reply *reply, const char *name, size_t nth)
{
	for (size_t i = 0; i + 1 < reply->fields.count; i += 2)
		if (ix_strcaseeq(reply->fields.items[i], name) && nth-- == 0)
			return reply->fields.items[i + 1];
	return NULL;
}

bool ix_http_date(const char *value, int64_t *ret_s)
{
	time_t at = strlen(value) <= 64 && strchr(value, ' ') ? curl_getdate(value, NULL) : -1;

	if (at == -1)
		return false;
	*ret_s = at;
	return true;
}

const char *ix_http_status_words(long status)
{
	static const struct {
		long status;
		const char *words;
	} names[] = {
		{ 400, "bad request" },
		{ 401, "unauthorized" },
		{ 403, "forbidden" },
		{ 404, "not found" },
		{ 405, "method not allowed" },
		{ 406, "not acceptable" },
		{ 408, "request timeout" },
		{ 409, "conflict" },
		{ 410, "gone" },
		{ 411, "length required" },
		{ 412, "precondition failed" },
		{ 413, "too large" },
		{ 415, "unsupported media type" },
		{ 416, "range not satisfiable" },
		{ 429, "too many requests" },
		{ 500, "server error" },
		{ 501, "not implemented" },
		{ 502, "bad gateway" },
		{ 503, "unavailable" },
		{ 504, "gateway timeout" },
	};

	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++)
		if (names[i].status == status)
			return names[i].words;
	return "unexpected answer";
}

bool ix_http_content_range(const char *value, uint64_t *ret_first, uint64_t *ret_total)
{
	ix_auto_free char *copy = ix_strdup(value);
	char *dash, *slash;
	uint64_t last;

	if (!copy || !ix_starts(copy, "bytes "))
		return false;
	dash = strchr(copy, '-');
	slash = strchr(copy, '/');
	if (!dash || !slash || slash < dash)
		return false;
	*dash = *slash = '\0';
	*ret_total = UINT64_MAX;
	if (strcmp(slash + 1, "*") != 0 && !ix_parse_u64(slash + 1, UINT64_MAX - 1, ret_total))
		return false;
	return ix_parse_u64(copy + 6, UINT64_MAX - 1, ret_first) && ix_parse_u64(dash + 1, UINT64_MAX - 1, &last) && *ret_first <= last;
}

bool ix_http_received_range(const char *value, uint64_t *ret_count)
{
	uint64_t last;

	if (ix_starts(value, "bytes="))
		value += strlen("bytes=");
	if (!ix_starts(value, "0-") || !ix_parse_u64(value + 2, UINT64_MAX - 1, &last))
		return false;
	*ret_count = last + 1;
	return true;
}

char *ix_http_next_link(const char *value)
{
	const char *at = value;

	while ((at = strchr(at, '<')) != NULL) {
		const char *end = strchr(at, '>');
		const char *params_end;

		if (!end)
			return NULL;
		params_end = end + 1 + strcspn(end + 1, ",");
		for (const char *rel = strcasestr(end, "rel="); rel && rel < params_end; rel = strcasestr(rel + 4, "rel="))
			if (strncasecmp(rel + 4 + (rel[4] == '"'), "next", 4) == 0)
				return ix_strndup(at + 1, (size_t)(end - at) - 1);
		at = end;
	}
	return NULL;
}

char *ix_http_warning(const char *value)
{
	ix_auto_buf text = { 0 };
	const char *at = strchr(value, '"');

	if (!ix_starts(value, "299 ") || !at)
		return NULL;
	for (at++; *at != '"'; at++) {
		if (*at == '\\')
			at++;
		if (!*at)
			return NULL;
		ix_buf_putc(&text, *at);
	}
	return text.len > 0 ? ix_buf_steal(&text) : NULL;
}
