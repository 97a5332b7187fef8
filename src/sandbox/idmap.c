#include "sandbox/idmap_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/proc.h"
#include "base/scope.h"
#include "base/str.h"

void sandbox_idmap_init(struct id_map *map, uint32_t self)
{
	map->ranges[0] = (struct id_range){ .inside = 0, .outside = self, .count = 1 };
	map->count = 1;
}

/* The kernel refuses a map in which an outside id occurs twice, as it would when a user is listed by name and by number. */
static bool overlaps(const struct id_map *map, uint64_t start, uint64_t count)
{
	for (size_t i = 0; i < map->count; i++) {
		uint64_t other = map->ranges[i].outside;

		if (start < other + map->ranges[i].count && other < start + count)
			return true;
	}
	return false;
}

static void add_range(struct id_map *map, uint64_t start, uint64_t count)
{
	const struct id_range *last = &map->ranges[map->count - 1];
	uint64_t inside = (uint64_t)last->inside + last->count;

	/* The last id, (uid_t)-1, means "no id" and cannot be mapped. */
	if (map->count == ID_RANGES_MAX || count == 0 || start + count > UINT32_MAX || overlaps(map, start, count))
		return;
	if (inside + count > UINT32_MAX)
		return;
	map->ranges[map->count++] = (struct id_range){ (uint32_t)inside, (uint32_t)start, (uint32_t)count };
}

void sandbox_idmap_add_subids(struct id_map *map, const char *text, const char *name, uint32_t id)
{
	ix_auto_free char *copy = ix_strdup(text);
	char *rest = copy, *line;
	char number[16];

	snprintf(number, sizeof(number), "%u", id);
	while ((line = strsep(&rest, "\n"))) {
		const char *owner = strsep(&line, ":");
		const char *start = strsep(&line, ":");
		uint64_t first, count;

		if (!start || !line || (!ix_streq(owner, number) && !(name && ix_streq(owner, name))))
			continue;
		if (ix_parse_u64(start, UINT32_MAX, &first) && ix_parse_u64(line, UINT32_MAX, &count))
			add_range(map, first, count);
	}
}

void sandbox_idmap_identity(struct id_map *map, const char *text)
{
	map->count = 0;
	while (map->count < ID_RANGES_MAX) {
		unsigned inside, outside, count;
		int used = 0;

		/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote these numbers */
		if (sscanf(text, "%u %u %u %n", &inside, &outside, &count, &used) != 3 || used == 0)
			return;
		map->ranges[map->count++] = (struct id_range){ inside, inside, count };
		text += used;
	}
}

bool sandbox_idmap_same(struct id_map maps[2])
{
	static const char *const files[] = { "/proc/self/uid_map", "/proc/self/gid_map" };

	for (int i = 0; i < 2; i++) {
		ix_auto_buf text = IX_BUF_INIT(64 << 10);
		struct ix_err ignored;

		if (ix_read_file(AT_FDCWD, files[i], &text, &ignored) < 0)
			return false;
		sandbox_idmap_identity(&maps[i], ix_buf_str(&text));
		if (maps[i].count == 0)
			return false;
	}
	return true;
}

/* One write(2) of the whole map is what the kernel asks for. */
static int write_direct(pid_t pid, const char *file, const struct id_map *map, struct ix_err *err)
{
	ix_auto_buf text = IX_BUF_INIT(0);
	ix_auto_close int fd = -1;
	char path[64];

	for (size_t i = 0; i < map->count; i++)
		ix_buf_printf(&text, "%u %u %u\n", map->ranges[i].inside, map->ranges[i].outside, map->ranges[i].count);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return ix_err_sys(err, "write %s", file);
	return 0;
}

static int write_by_tool(pid_t pid, const char *tool, const struct id_map *map, struct ix_err *err)
{
	ix_auto_strv argv = { 0 };
	ix_auto_buf words = IX_BUF_INIT(64 << 10);
	int status;

	ix_strv_add(&argv, tool);
	ix_strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; i < map->count; i++) {
		ix_strv_addf(&argv, "%u", map->ranges[i].inside);
		ix_strv_addf(&argv, "%u", map->ranges[i].outside);
		ix_strv_addf(&argv, "%u", map->ranges[i].count);
	}
	int r = ix_proc_run(&(struct ix_proc_opts){ .argv = (const char *const *)argv.items, .errors = &words }, &status, err);
	if (r < 0)
		return r;
	if (status != 0) {
		ix_auto_free char *said = ix_printable(ix_buf_str(&words), 200);

		return ix_err_set(err, IX_EFAIL, "%s failed with status %d: %s", tool, status, said);
	}
	return 0;
}

int sandbox_idmap_write(pid_t pid, const struct id_map *uids, const struct id_map *gids, bool direct, struct ix_err *err)
{
	int r;

	if (direct) {
		r = write_direct(pid, "gid_map", gids, err);
		return r < 0 ? r : write_direct(pid, "uid_map", uids, err);
	}
	r = write_by_tool(pid, "newgidmap", gids, err);
	return r < 0 ? r : write_by_tool(pid, "newuidmap", uids, err);
}
