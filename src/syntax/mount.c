#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/str.h"
#include "syntax_int.h"

struct parse {
	const struct ix_dockerfile *file;
	const struct ix_df_flag *flag;
	const struct ix_df_expander *expander;
	struct ix_df_mount *out;
	bool has_type, has_size, has_sharing, has_access;
};

static int bad(struct parse *self, struct ix_err *err, const char *key, const char *value)
{
	return ix_df_err(self->file, err, &self->flag->pos, "invalid value for '%s': %s", key, value ? value : "(none)");
}

/* As Go reads booleans; the key alone says yes. */
static bool truth(const char *value, bool *ret_value)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < IX_ARRAY_LEN(yes); i++) {
		if (!value || strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*ret_value = !value || strcmp(value, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static bool octal(const char *value, uint32_t *ret_mode)
{
	uint32_t mode = 0;

	if (!value || !*value || strlen(value) > 6)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '7')
			return false;
		mode = mode * 8 + (uint32_t)(*value - '0');
	}
	*ret_mode = mode & 0777; /* docker leaves the special ones out */
	return mode <= 07777;
}

static const struct {
	const char *name;
	enum ix_mount_kind kind;
} kinds[] = { { "bind", IX_MOUNT_BIND },
	      { "cache", IX_MOUNT_CACHE },
	      { "tmpfs", IX_MOUNT_TMPFS },
	      { "secret", IX_MOUNT_SECRET },
	      { "ssh", IX_MOUNT_SSH } };

static int set_type(struct parse *self, const char *value, struct ix_err *err)
{
	const char *names[IX_ARRAY_LEN(kinds)], *near;

	for (size_t i = 0; i < IX_ARRAY_LEN(kinds); i++) {
		names[i] = kinds[i].name;
		if (value && ix_strcaseeq(value, kinds[i].name)) {
			self->out->mount.kind = kinds[i].kind;
			self->has_type = true;
			return 0;
		}
	}
	near = ix_nearest(value ? value : "", names, IX_ARRAY_LEN(kinds));
	return ix_df_err(self->file, err, &self->flag->pos,
			 near ? "unsupported mount type \"%s\" (did you mean %s?)" : "unsupported mount type \"%s\"", value ? value : "",
			 near);
}

static int set_sharing(struct parse *self, const char *value, struct ix_err *err)
{
	static const char *const names[] = { "shared", "private", "locked" };

	for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
		if (value && ix_strcaseeq(value, names[i])) {
			self->out->mount.sharing = (enum ix_sharing)i;
			self->has_sharing = true;
			return 0;
		}
	}
	return ix_df_err(self->file, err, &self->flag->pos, "unsupported sharing value \"%s\": shared, private or locked",
			 value ? value : "");
}

static int set_number(struct parse *self, const char *key, const char *value, bool *has, uint32_t *number, struct ix_err *err)
{
	uint64_t n;

	if (!value || !ix_parse_u64(value, UINT32_MAX - 1, &n))
		return bad(self, err, key, value);
	*has = true;
	*number = (uint32_t)n;
	return 0;
}

static int set_access(struct parse *self, const char *key, const char *value, bool means_read_only, struct ix_err *err)
{
	bool yes;

	if (!truth(value, &yes))
		return bad(self, err, key, value);
	self->has_access = true;
	self->out->mount.read_only = yes == means_read_only;
	return 0;
}

static const char *const keys[] = { "type", "from", "source",  "src",      "target", "dst",  "destination", "readonly", "ro", "readwrite",
				    "rw",   "id",   "sharing", "required", "size",   "mode", "uid",         "gid",      "env" };

static int set_key(struct parse *self, const char *key, const char *value, struct ix_err *err)
{
	struct ix_mount *mount = &self->out->mount;
	struct ix_arena *arena = self->file->arena;
	const char *near;

	if (strcmp(key, "type") == 0)
		return set_type(self, value, err);
	if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0)
		return set_access(self, key, value, true, err);
	if (strcmp(key, "readwrite") == 0 || strcmp(key, "rw") == 0)
		return set_access(self, key, value, false, err);
	if (strcmp(key, "required") == 0)
		return truth(value, &mount->required) ? 0 : bad(self, err, key, value);
	near = ix_nearest(key, keys, IX_ARRAY_LEN(keys));
	if (!near || strcmp(near, key) != 0)
		return ix_df_err(self->file, err, &self->flag->pos,
				 near ? "unexpected key '%s' in '--mount' (did you mean %s?)" : "unexpected key '%s' in '--mount'", key,
				 near);
	if (!value)
		return ix_df_err(self->file, err, &self->flag->pos, "invalid field '%s' must be a key=value pair", key);
	if (strcmp(key, "from") == 0)
		self->out->from = ix_arena_strdup(arena, value);
	else if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0)
		mount->source = ix_arena_strdup(arena, value);
	else if (strcmp(key, "target") == 0 || strcmp(key, "dst") == 0 || strcmp(key, "destination") == 0)
		mount->target = ix_arena_strdup(arena, value);
	else if (strcmp(key, "id") == 0)
		mount->id = ix_arena_strdup(arena, value);
	else if (strcmp(key, "env") == 0)
		mount->env = ix_arena_strdup(arena, value);
	else if (strcmp(key, "sharing") == 0)
		return set_sharing(self, value, err);
	else if (strcmp(key, "uid") == 0)
		return set_number(self, key, value, &mount->has_uid, &mount->uid, err);
	else if (strcmp(key, "gid") == 0)
		return set_number(self, key, value, &mount->has_gid, &mount->gid, err);
	else if (strcmp(key, "mode") == 0)
		return (mount->has_mode = octal(value, &mount->mode)) ? 0 : bad(self, err, key, value);
	else if (strcmp(key, "size") == 0)
		return (self->has_size = (value && ix_parse_size(value, &mount->size))) ? 0 : bad(self, err, key, value);
	return 0;
}

/* Which keys go with which type. */
static int check(struct parse *self, struct ix_err *err)
{
	struct ix_mount *mount = &self->out->mount;
	const char *wrong = NULL;

	if ((mount->has_mode || mount->has_uid || mount->has_gid) && (mount->kind == IX_MOUNT_BIND || mount->kind == IX_MOUNT_TMPFS))
		wrong = mount->has_mode ? "mode" : mount->has_uid ? "uid" : "gid";
	else if (self->has_size && mount->kind != IX_MOUNT_TMPFS)
		wrong = "size";
	else if (self->has_sharing && mount->kind != IX_MOUNT_CACHE)
		wrong = "sharing";
	else if (self->out->from && mount->kind != IX_MOUNT_BIND && mount->kind != IX_MOUNT_CACHE)
		wrong = "from";
	else if (mount->env && mount->kind != IX_MOUNT_SECRET)
		wrong = "env";
	else if (mount->required && mount->kind != IX_MOUNT_SECRET && mount->kind != IX_MOUNT_SSH)
		wrong = "required";
	if (wrong)
		return ix_df_err(self->file, err, &self->flag->pos, "unexpected key '%s' for mount type '%s'", wrong,
				 kinds[mount->kind].name);
	if (mount->kind == IX_MOUNT_SECRET) {
		/* src is an old spelling of id. */
		if (!mount->id && mount->source)
			mount->id = mount->source;
		mount->source = NULL;
		if (mount->id && !*mount->id)
			mount->id = NULL;
		if (mount->target && !*mount->target)
			mount->target = NULL;
		if (!mount->id && !mount->target)
			return ix_df_err(self->file, err, &self->flag->pos, "invalid secret mount. one of source, target required");
		return 0;
	}
	if (mount->kind == IX_MOUNT_SSH) {
		if (mount->target && !*mount->target)
			mount->target = NULL;
		if (mount->source)
			return ix_df_err(self->file, err, &self->flag->pos, "unexpected key 'source' for mount type 'ssh'");
		return 0;
	}
	/* The working directory, unless it says another. */
	if (!mount->target)
		mount->target = "";
	if (!self->has_access)
		mount->read_only = mount->kind == IX_MOUNT_BIND;
	return 0;
}

static bool is_text(const char *key)
{
	static const char *const texts[] = { "from", "source", "src", "target", "dst", "destination", "id", "env" };

	for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++)
		if (strcmp(key, texts[i]) == 0)
			return true;
	return false;
}

/* One "key=value" or "key". */
static int take_field(struct parse *self, char *field, struct ix_err *err)
{
	char *equals = strchr(field, '=');
	const char *value = equals ? equals + 1 : NULL;

	if (equals)
		*equals = '\0';
	for (char *c = field; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	if (value && !self->expander && strchr(value, '$') && !is_text(field))
		return 0;
	if (value && self->expander) {
		int r = self->expander->expand(self->expander->data, value, &self->flag->pos, &value);

		if (r < 0)
			return r;
	}
	return set_key(self, field, value, err);
}

/* The next field of a line of CSV, which may stand in double quotes, with a quote written twice. Written over text; *text moves behind it. */
static char *next_field(char **text)
{
	char *at = *text, *out = at, *start = at;

	if (!at)
		return NULL;
	if (*at != '"') {
		strsep(text, ",");
		return start;
	}
	for (at++; *at && !(*at == '"' && at[1] != '"'); at++) {
		at += *at == '"';
		*out++ = *at;
	}
	at += *at == '"';
	*text = *at == ',' ? at + 1 : NULL;
	*out = '\0';
	return start;
}

int ix_df_parse_mount(const struct ix_dockerfile *file, const struct ix_df_flag *flag, const struct ix_df_expander *expander,
		      struct ix_df_mount *ret_mount, struct ix_err *err)
{
	struct parse self = { .file = file, .flag = flag, .expander = expander, .out = ret_mount };
	ix_auto_free char *copy = ix_strdup(flag->value);
	char *rest = copy, *field;

	*ret_mount = (struct ix_df_mount){ .mount.kind = IX_MOUNT_BIND };
	while ((field = next_field(&rest)) != NULL) {
		int r = take_field(&self, field, err);

		if (r < 0)
			return r;
	}
	return check(&self, err);
}
