/* WWW-Authenticate: what a registry asks for (RFC 9110 section 11, RFC 6750, distribution's token specification). */
#ifndef IX_REGISTRY_CHALLENGE_INT_H
#define IX_REGISTRY_CHALLENGE_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/scope.h"

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER, CHALLENGE_OTHER };

struct challenge {
	enum challenge_kind kind;
	char *scheme; /* as sent */
	char *realm;  /* these are NULL when absent */
	char *service;
	char *scope;
};

struct challenges {
	struct challenge *items;
	size_t count;
	size_t cap;
};

/* Append the challenges of one header value; one value may hold several. Lenient: what cannot be read is skipped. */
void challenges_parse(struct challenges *list, const char *value);
void challenges_release(struct challenges *list);
#define auto_challenges ix_scoped(challenges_release) struct challenges

void challenge_copy(struct challenge *to, const struct challenge *from);
void challenge_release(struct challenge *challenge);
/* The one to answer: Bearer with a realm, else Basic, else the first. NULL for an empty list. */
const struct challenge *challenges_best(const struct challenges *list);

/* Scopes are blank-separated "type:name:action,action". Does have cover all of want? NULL and "" are covered by anything. */
bool scope_covers(const char *have, const char *want);
/* Both, without repeating what is covered. Caller frees. */
char *scope_join(const char *a, const char *b);

#endif
