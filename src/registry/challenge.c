#include "registry/challenge_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/str.h"

enum { CHALLENGES_MAX = 16, VALUE_MAX = 16 << 10 };

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

static const char *skip_token(const char *at)
{
	while (is_token(*at))
		at++;
	return at;
}

/* A quoted-string with backslash escapes, or whatever stands up to the next comma or blank: realms come unquoted too. */
static const char *take_value(const char *at, char **ret_value)
{
	ix_auto_buf value = { 0 };

	if (*at != '"') {
		size_t n = strcspn(at, ", \t");

		*ret_value = ix_strndup(at, n);
		return at + n;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		ix_buf_putc(&value, *at);
	}
	*ret_value = ix_strdup(ix_buf_str(&value));
	return *at ? at + 1 : at;
}

static void set_param(struct challenge *challenge, const char *name, size_t len, char *value)
{
	const struct {
		const char *name;
		char **field;
	} params[] = {
		{ "realm", &challenge->realm },
		{ "scope", &challenge->scope },
		{ "service", &challenge->service },
	};

	for (size_t i = 0; i < IX_ARRAY_LEN(params); i++) {
		if (strlen(params[i].name) != len || strncasecmp(params[i].name, name, len) != 0 || *params[i].field)
			continue;
		*params[i].field = value;
		return;
	}
	free(value);
}

static struct challenge *add(struct challenges *list, const char *scheme, size_t len)
{
	struct challenge *challenge;

	if (list->count == CHALLENGES_MAX)
		return NULL;
	IX_GROW(&list->items, list->count, &list->cap);
	challenge = &list->items[list->count++];
	*challenge = (struct challenge){ .kind = CHALLENGE_OTHER, .scheme = ix_strndup(scheme, len) };
	if (ix_strcaseeq(challenge->scheme, "basic"))
		challenge->kind = CHALLENGE_BASIC;
	else if (ix_strcaseeq(challenge->scheme, "bearer"))
		challenge->kind = CHALLENGE_BEARER;
	return challenge;
}

/*
 * challenge = scheme [ 1*SP ( token68 / #auth-param ) ], and the commas between challenges look like those between parameters: a token is
 * a parameter's name when '=' and a value follow, otherwise it is the next scheme.
 */
void challenges_parse(struct challenges *list, const char *value)
{
	struct challenge *current = NULL;
	const char *at = value;

	if (strlen(value) > VALUE_MAX)
		return;
	for (;;) {
		const char *name, *end, *next;
		char *text;

		at += strspn(at, ", \t");
		if (!*at)
			return;
		name = at;
		end = skip_token(at);
		next = skip_blanks(end);
		if (end > name && *next == '=' && next[1] != '=' && current) {
			at = take_value(skip_blanks(next + 1), &text);
			set_param(current, name, (size_t)(end - name), text);
		} else if (end > name && (next > end || *end == ',' || !*end)) {
			current = add(list, name, (size_t)(end - name));
			at = next;
			if (!current)
				return;
		} else {
			at += strcspn(at, ",") > 0 ? strcspn(at, ",") : 1; /* token68 or noise */
		}
	}
}

void challenge_release(struct challenge *challenge)
{
	free(challenge->scheme);
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	*challenge = (struct challenge){ 0 };
}

void challenge_copy(struct challenge *to, const struct challenge *from)
{
	struct challenge copy = {
		.kind = from->kind,
		.scheme = ix_strdup(from->scheme),
		.realm = ix_strdup(from->realm),
		.service = ix_strdup(from->service),
		.scope = ix_strdup(from->scope),
	};

	challenge_release(to);
	*to = copy;
}

void challenges_release(struct challenges *list)
{
	for (size_t i = 0; i < list->count; i++)
		challenge_release(&list->items[i]);
	free(list->items);
	*list = (struct challenges){ 0 };
}

const struct challenge *challenges_best(const struct challenges *list)
{
	const struct challenge *basic = NULL;

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].kind == CHALLENGE_BEARER && list->items[i].realm)
			return &list->items[i];
		if (list->items[i].kind == CHALLENGE_BASIC && !basic)
			basic = &list->items[i];
	}
	return basic ? basic : list->count > 0 ? &list->items[0] : NULL;
}

/* --- scopes --- */

struct part {
	const char *name; /* "type:name" */
	size_t name_len;
	const char *actions;
	size_t actions_len;
};

/* The next blank-separated part, false at the end. A part without a colon is a name with no actions. */
static bool next_part(const char **at, struct part *ret_part)
{
	const char *start = *at + strspn(*at, " ");
	size_t len = strcspn(start, " ");
	const char *colon = memrchr(start, ':', len);

	if (len == 0)
		return false;
	*ret_part = (struct part){ start, len, start + len, 0 };
	if (colon) {
		ret_part->name_len = (size_t)(colon - start);
		ret_part->actions = colon + 1;
		ret_part->actions_len = len - ret_part->name_len - 1;
	}
	*at = start + len;
	return true;
}

static bool has_action(const struct part *have, const char *action, size_t len)
{
	const char *at = have->actions, *end = have->actions + have->actions_len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = comma ? (size_t)(comma - at) : (size_t)(end - at);

		if ((n == len && memcmp(at, action, n) == 0) || (n == 1 && *at == '*'))
			return true;
		at += n + 1;
	}
	return false;
}

static bool part_covers(const struct part *have, const struct part *want)
{
	const char *at = want->actions, *end = want->actions + want->actions_len;

	if (have->name_len != want->name_len || memcmp(have->name, want->name, want->name_len) != 0)
		return false;
	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = comma ? (size_t)(comma - at) : (size_t)(end - at);

		if (!has_action(have, at, n))
			return false;
		at += n + 1;
	}
	return true;
}

static bool covers_part(const char *have, const struct part *want)
{
	struct part part;

	while (have && next_part(&have, &part))
		if (part_covers(&part, want))
			return true;
	return false;
}

bool scope_covers(const char *have, const char *want)
{
	struct part part;

	while (want && next_part(&want, &part))
		if (!covers_part(have, &part))
			return false;
	return true;
}

char *scope_join(const char *a, const char *b)
{
	ix_auto_buf both = { 0 };
	struct part part;

	ix_buf_puts(&both, a ? a : "");
	while (b && next_part(&b, &part)) {
		const char *end = part.actions + part.actions_len;

		if (covers_part(ix_buf_str(&both), &part))
			continue;
		if (both.len > 0)
			ix_buf_putc(&both, ' ');
		ix_buf_put(&both, part.name, (size_t)(end - part.name));
	}
	return ix_strdup(ix_buf_str(&both));
}
