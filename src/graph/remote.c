#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "graph/graph.h"

/*
 * What in an ADD source or a context's name is a URL, and which of the two kinds (Dockerfile reference, "ADD"; docker build's URL contexts):
 *
 *	https://host/path/file                a file
 *	https://host/path/repo.git[#ref[:dir]]  a repository; also ssh://, git://, user@host:path, and github.com/owner/repo
 *	https://host/path/repo.git?tag=...      the same in query form
 */

struct parse {
	struct ix_arena *arena;
	const char *text;
	struct ix_remote *out;
	struct ix_err *err;
};

static bool name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* user@host:path, as scp and git take it. */
static bool is_scp(const char *text)
{
	const char *at = text;

	while (name_byte(*at))
		at++;
	if (at == text || *at++ != '@')
		return false;
	text = at;
	while (name_byte(*at) || *at == '.')
		at++;
	return at > text && *at == ':';
}

static bool is_http(const char *text)
{
	return ix_starts(text, "http://") || ix_starts(text, "https://");
}

/* The part of a URL before query and fragment. */
static size_t bare_length(const char *text)
{
	return strcspn(text, "?#");
}

static bool is_git(const char *text)
{
	if (ix_starts(text, "git://") || ix_starts(text, "ssh://") || is_scp(text) || ix_starts(text, "github.com/"))
		return true;
	return is_http(text) && bare_length(text) > 4 && strncmp(text + bare_length(text) - 4, ".git", 4) == 0;
}

static int set_once(struct parse *self, const char **field, const char *name, const char *value)
{
	if (*field && strcmp(*field, value) != 0)
		return ix_err_set(self->err, IX_EARG, "%s: %s conflicts: '%s' and '%s'", self->text, name, *field, value);
	*field = value;
	return 0;
}

static int set_bool(struct parse *self, bool *field, const char *name, const char *value, bool negate)
{
	bool yes = !value || !*value || strcmp(value, "1") == 0 || ix_strcaseeq(value, "true");

	if (!yes && strcmp(value, "0") != 0 && !ix_strcaseeq(value, "false"))
		return ix_err_set(self->err, IX_EARG, "%s: %s=%s: true or false", self->text, name, value);
	*field = yes != negate;
	return 0;
}

static int query_field(struct parse *self, const char *name, const char *value)
{
	static const char *const names[] = { "ref",    "tag",        "branch", "subdir",       "checksum",
					     "commit", "submodules", "mtime",  "keep-git-dir", "fetch-by-commit" };
	struct ix_remote *out = self->out;
	const char *text = value ? value : "";
	const char *near;

	if (strcmp(name, "ref") == 0)
		return set_once(self, &out->ref, "ref", text);
	if (strcmp(name, "tag") == 0)
		return set_once(self, &out->ref, "ref", ix_arena_printf(self->arena, "refs/tags/%s", text));
	if (strcmp(name, "branch") == 0)
		return set_once(self, &out->ref, "ref", ix_arena_printf(self->arena, "refs/heads/%s", text));
	if (strcmp(name, "subdir") == 0)
		return set_once(self, &out->subdir, "subdir", text);
	if (strcmp(name, "checksum") == 0 || strcmp(name, "commit") == 0)
		return set_once(self, &out->checksum, "checksum", text);
	if (strcmp(name, "submodules") == 0)
		return set_bool(self, &out->no_submodules, name, value, true);
	if (strcmp(name, "keep-git-dir") == 0)
		return set_bool(self, &out->keep_git_dir, name, value, false);
	if (strcmp(name, "fetch-by-commit") == 0)
		return set_bool(self, &out->fetch_by_commit, name, value, false);
	/* Layers are deterministic here: files of a repository have the commit's time either way. */
	if (strcmp(name, "mtime") == 0)
		return strcmp(text, "checkout") == 0 || strcmp(text, "commit") == 0
			       ? 0
			       : ix_err_set(self->err, IX_EARG, "%s: mtime=%s: checkout or commit", self->text, text);
	near = ix_nearest(name, names, IX_ARRAY_LEN(names));
	return ix_err_set(self->err, IX_EARG, near ? "%s: unexpected query '%s' (did you mean %s?)" : "%s: unexpected query '%s'",
			  self->text, name, near);
}

static int parse_query(struct parse *self, const char *query, size_t len)
{
	ix_auto_free char *copy = ix_strndup(query, len);
	char *rest = copy, *field;

	while ((field = strsep(&rest, "&")) != NULL) {
		char *equals = strchr(field, '=');

		if (equals)
			*equals++ = '\0';
		if (*field && query_field(self, field, equals ? ix_arena_strdup(self->arena, equals) : NULL) < 0)
			return ix_err_code(self->err);
	}
	return 0;
}

static int parse_fragment(struct parse *self, const char *fragment)
{
	const char *colon = strchr(fragment, ':');
	size_t len = colon ? (size_t)(colon - fragment) : strlen(fragment);

	if (len > 0 && set_once(self, &self->out->ref, "ref", ix_arena_strndup(self->arena, fragment, len)) < 0)
		return ix_err_code(self->err);
	return colon && colon[1] ? set_once(self, &self->out->subdir, "subdir", ix_arena_strdup(self->arena, colon + 1)) : 0;
}

static bool is_commit(const char *text)
{
	size_t len = strspn(text, "0123456789abcdef");

	return !text[len] && len >= 7 && len <= 64;
}

/* Words that git would take for options, and directories that climb. */
static int check_git(struct parse *self)
{
	struct ix_remote *out = self->out;
	ix_auto_free char *rooted = NULL;

	if (out->url[0] == '-' || (out->ref && (out->ref[0] == '-' || strpbrk(out->ref, " \t\n~^:?*[\\"))))
		return ix_err_set(self->err, IX_EARG, "%s: bad repository or ref", self->text);
	if (out->checksum && !is_commit(out->checksum))
		return ix_err_set(self->err, IX_EARG, "%s: '%s' is not a commit", self->text, out->checksum);
	rooted = ix_asprintf("/%s", out->subdir ? out->subdir : "");
	{
		ix_auto_free char *clean = ix_path_clean(rooted);

		out->subdir = ix_arena_strdup(self->arena, clean + 1);
	}
	return 0;
}

static int parse_git(struct parse *self)
{
	const char *text = self->text;
	size_t len = bare_length(text);
	const char *query = text[len] == '?' ? text + len + 1 : NULL;
	const char *fragment = strchr(text + len, '#');

	self->out->kind = IX_REMOTE_GIT;
	self->out->url = ix_starts(text, "github.com/") ? ix_arena_printf(self->arena, "https://%.*s", (int)len, text)
							: ix_arena_strndup(self->arena, text, len);
	if (query && parse_query(self, query, fragment ? (size_t)(fragment - query) : strlen(query)) < 0)
		return ix_err_code(self->err);
	if (fragment && parse_fragment(self, fragment + 1) < 0)
		return ix_err_code(self->err);
	return check_git(self);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
}

/* %XX undone; false for what is malformed or holds a NUL. */
static bool decode(const char *text, struct ix_buf *out)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '%') {
			const char digits[3] = { lower(text[1]), text[1] ? lower(text[2]) : '\0', '\0' };

			if (!ix_unhex(digits, &byte, 1) || byte == 0)
				return false;
			text += 2;
		}
		ix_buf_putc(out, (char)byte);
	}
	return true;
}

/* The last element of the URL's path, slashes at its end apart; a file needs a name even where the URL gives none. */
static const char *http_name(struct ix_arena *arena, const char *path)
{
	ix_auto_buf plain = { 0 };
	ix_auto_free char *trimmed = NULL;
	const char *slash, *base;
	size_t len;

	if (!decode(path, &plain))
		return "__unnamed__";
	len = plain.len;
	while (len > 0 && plain.data[len - 1] == '/')
		len--;
	trimmed = ix_strndup(ix_buf_str(&plain), len);
	slash = strrchr(trimmed, '/');
	base = slash ? slash + 1 : trimmed;
	if (strcmp(base, "..") == 0)
		return "download";
	return *base && strcmp(base, ".") != 0 ? ix_arena_strdup(arena, base) : "__unnamed__";
}

static void parse_http(struct parse *self)
{
	const char *path = strstr(self->text, "://") + 3;
	ix_auto_free char *bare = NULL;

	path += strcspn(path, "/?#");
	bare = ix_strndup(path, strcspn(path, "?#"));
	self->out->kind = IX_REMOTE_HTTP;
	self->out->url = ix_arena_strdup(self->arena, self->text);
	self->out->name = http_name(self->arena, bare);
}

int ix_remote_parse(struct ix_arena *arena, const char *text, struct ix_remote *ret_remote, struct ix_err *err)
{
	struct parse self = { .arena = arena, .text = text, .out = ret_remote, .err = err };

	*ret_remote = (struct ix_remote){ 0 };
	if (is_git(text))
		return parse_git(&self);
	if (is_http(text))
		parse_http(&self);
	return 0;
}

char *ix_remote_git_text(const struct ix_remote *remote)
{
	return ix_asprintf("%s%s%s", remote->url, remote->ref ? "#" : "", remote->ref ? remote->ref : "");
}
