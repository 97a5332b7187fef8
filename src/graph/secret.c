#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "graph/graph.h"

static bool word_in(const char *name, size_t len, const char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++)
		if (strlen(words[i]) == len && strncasecmp(name, words[i], len) == 0)
			return true;
	return false;
}

/* A word of the list stands between underscores, or at an end. */
static bool has_word(const char *name, const char *const *words, size_t nwords)
{
	while (*name) {
		size_t len = strcspn(name, "_");

		if (word_in(name, len, words, nwords))
			return true;
		name += len + (name[len] == '_');
	}
	return false;
}

bool ix_names_secret(const char *name)
{
	static const char *const secret[] = { "apikey",   "auth",  "credential", "credentials", "key",
					      "password", "pword", "passwd",     "secret",      "token" };
	static const char *const harmless[] = { "public", "file", "version" };

	return has_word(name, secret, IX_ARRAY_LEN(secret)) && !has_word(name, harmless, IX_ARRAY_LEN(harmless));
}
