#include "project/project.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "yaml_int.h"

enum { FILE_MAX = 4 << 20 };

struct ix_lock {
	struct ix_arena *arena;
	struct ix_lock_entry *entries; /* sorted */
	size_t count;
};

static const char *const sections[] = { [IX_LOCK_IMAGE] = "images", [IX_LOCK_GIT] = "git", [IX_LOCK_HTTP] = "http" };

struct ix_lock *ix_lock_new(void)
{
	struct ix_lock *lock = ix_calloc(1, sizeof(*lock));

	lock->arena = ix_arena_new();
	return lock;
}

void ix_lock_free(struct ix_lock *lock)
{
	if (!lock)
		return;
	ix_arena_free(lock->arena);
	free(lock);
}

static int compare(const struct ix_lock_entry *entry, enum ix_lock_kind kind, const char *name, const char *platform)
{
	int r = entry->kind != kind ? (int)entry->kind - (int)kind : strcmp(entry->name, name);

	return r ? r : strcmp(entry->platform ? entry->platform : "", platform ? platform : "");
}

/* Where the entry is or belongs. */
static size_t place_of(const struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform, bool *ret_found)
{
	size_t low = 0, high = lock->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(&lock->entries[middle], kind, name, platform);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const char *ix_lock_get(const struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform)
{
	bool found;
	size_t at = place_of(lock, kind, name, platform, &found);

	return found ? lock->entries[at].pin : NULL;
}

void ix_lock_set(struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform, const char *pin)
{
	bool found;
	size_t at = place_of(lock, kind, name, platform, &found);

	if (!found) {
		(void)IX_ARENA_PUSH(lock->arena, lock->entries, lock->count);
		memmove(&lock->entries[at + 1], &lock->entries[at], (lock->count - 1 - at) * sizeof(*lock->entries));
		lock->entries[at] = (struct ix_lock_entry){ .kind = kind,
							    .name = ix_arena_strdup(lock->arena, name),
							    .platform = platform ? ix_arena_strdup(lock->arena, platform) : NULL };
	}
	lock->entries[at].pin = ix_arena_strdup(lock->arena, pin);
}

bool ix_lock_at(const struct ix_lock *lock, size_t i, struct ix_lock_entry *ret_entry)
{
	if (i >= lock->count)
		return false;
	*ret_entry = lock->entries[i];
	return true;
}

/* --- reading --- */

static bool is_hex(const char *text, size_t want)
{
	return strlen(text) == want && strspn(text, "0123456789abcdef") == want;
}

static bool good_pin(enum ix_lock_kind kind, const char *pin)
{
	if (kind == IX_LOCK_GIT)
		return is_hex(pin, 40) || is_hex(pin, 64);
	return ix_starts(pin, "sha256:") && is_hex(pin + 7, 64);
}

static int read_pin(const struct yaml *yaml, const struct member *member, struct ix_lock *lock, enum ix_lock_kind kind, const char *name,
		    const char *platform, struct ix_err *err)
{
	const char *pin;
	int r = yaml_text(yaml, member, false, &pin, err);

	if (r < 0)
		return r;
	if (!good_pin(kind, pin))
		return yaml_err(yaml, &member->place, err, "'%s' has to be %s", name,
				kind == IX_LOCK_GIT ? "a commit" : "sha256: and 64 hexadecimal digits");
	ix_lock_set(lock, kind, name, platform, pin);
	return 0;
}

static int read_section(const struct yaml *yaml, const struct member *section, struct ix_lock *lock, enum ix_lock_kind kind,
			struct ix_err *err)
{
	struct member member;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, section, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, section->value, &iter, &member, err)) > 0) {
		struct member platform;
		void *inner = NULL;

		if (kind != IX_LOCK_IMAGE) {
			r = read_pin(yaml, &member, lock, kind, member.key, NULL, err);
			if (r < 0)
				return r;
			continue;
		}
		r = yaml_need_mapping(yaml, &member, err);
		if (r < 0)
			return r;
		while ((r = yaml_next(yaml, member.value, &inner, &platform, err)) > 0)
			if ((r = read_pin(yaml, &platform, lock, kind, member.key, platform.key, err)) < 0)
				return r;
		if (r < 0)
			return r;
	}
	return r;
}

static int read_version(const struct yaml *yaml, const struct member *member, struct ix_err *err)
{
	const char *text;
	int r = yaml_text(yaml, member, false, &text, err);

	if (r < 0)
		return r;
	if (strcmp(text, "1") != 0)
		return yaml_err(yaml, &member->place, err, "version %s of ix.lock is not known to this ix", text);
	return 0;
}

static int read_root(const struct yaml *yaml, struct ix_lock *lock, struct ix_err *err)
{
	static const char *const keys[] = { "version", "images", "git", "http" };
	struct fy_node *root = fy_document_root(yaml->doc);
	const struct ix_place top = { 1, 1 };
	struct member member;
	void *iter = NULL;
	int r;

	if (!root || !fy_node_is_mapping(root))
		return yaml_err(yaml, &top, err, "a lock file is a mapping that ix lock writes");
	while ((r = yaml_next(yaml, root, &iter, &member, err)) > 0) {
		size_t kind = 0;

		while (kind < IX_ARRAY_LEN(sections) && strcmp(member.key, sections[kind]) != 0)
			kind++;
		if (strcmp(member.key, "version") == 0)
			r = read_version(yaml, &member, err);
		else if (kind == IX_ARRAY_LEN(sections))
			r = yaml_unknown(yaml, &member, "the lock file", keys, IX_ARRAY_LEN(keys), err);
		else
			r = read_section(yaml, &member, lock, (enum ix_lock_kind)kind, err);
		if (r < 0)
			return r;
	}
	return r;
}

int ix_lock_parse(const char *name, const char *text, size_t len, struct ix_lock **ret_lock, struct ix_err *err)
{
	ix_scoped(ix_lock_freep) struct ix_lock *lock = ix_lock_new();
	struct yaml yaml;
	int r = yaml_open(&yaml, name, text, len, lock->arena, err);

	if (r == 0)
		r = read_root(&yaml, lock, err);
	yaml_close(&yaml);
	if (r < 0)
		return r;
	*ret_lock = ix_steal(&lock);
	return 0;
}

int ix_lock_load(const char *path, struct ix_lock **ret_lock, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(FILE_MAX);
	int r = ix_read_file(AT_FDCWD, path, &text, err);

	if (r < 0)
		return r;
	return ix_lock_parse(path, ix_buf_str(&text), text.len, ret_lock, err);
}

/* --- writing --- */

/* A key in double quotes, as YAML has them. */
static void put_quoted(struct ix_buf *text, const char *name)
{
	ix_buf_putc(text, '"');
	for (; *name; name++) {
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			ix_buf_printf(text, "\\x%02x", (unsigned)(unsigned char)*name);
		else
			ix_buf_printf(text, "%s%c", *name == '"' || *name == '\\' ? "\\" : "", *name);
	}
	ix_buf_putc(text, '"');
}

void ix_lock_text(const struct ix_lock *lock, struct ix_buf *text)
{
	ix_buf_puts(
		text,
		"# Written by ix lock: what the images, repositories and files are that stages are built from. Commit it.\nversion: 1\n");
	for (size_t i = 0; i < lock->count; i++) {
		const struct ix_lock_entry *entry = &lock->entries[i], *before = i > 0 ? entry - 1 : NULL;

		if (!before || before->kind != entry->kind)
			ix_buf_printf(text, "%s:\n", sections[entry->kind]);
		if (!entry->platform || !before || before->kind != entry->kind || strcmp(before->name, entry->name) != 0) {
			ix_buf_puts(text, "  ");
			put_quoted(text, entry->name);
			ix_buf_puts(text, entry->platform ? ":\n" : ": ");
		}
		if (entry->platform)
			ix_buf_printf(text, "    %s: ", entry->platform);
		ix_buf_printf(text, "%s\n", entry->pin);
	}
}
