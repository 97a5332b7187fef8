#include "copy_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "base/path.h"
#include "context/context.h"
#include "graph/graph.h"
#include "image/image.h"
#include "layer/layer.h"

/*
 * COPY and ADD write their layer straight from the source files. What goes into it is first listed by destination path, later sources
 * replacing earlier ones; then parents that are missing are added, and the list is written in order.
 */

struct out *copy_put(struct copy *self, const char *path)
{
	struct out *out = ix_map_get(&self->by_path, path);

	if (!out) {
		out = ix_calloc(1, sizeof(*out));
		out->path = ix_strdup(path);
		ix_map_set(&self->by_path, path, out);
		return out;
	}
	ix_tar_entry_release(&out->entry);
	free(out->text);
	*out = (struct out){ .path = out->path };
	return out;
}

void copy_release(struct copy *self)
{
	for (size_t i = 0; i < self->by_path.count; i++) {
		struct out *out = self->by_path.entries[i].value;

		ix_tar_entry_release(&out->entry);
		free(out->path);
		free(out->text);
		free(out);
	}
	ix_map_release(&self->by_path);
	for (size_t i = 0; i < self->nselections; i++)
		ix_selection_release(&self->selections[i]);
	free(self->selections);
	for (size_t i = 0; i < self->narchives; i++) {
		free(self->archives[i].name);
	}
	free(self->archives);
	for (size_t i = 0; i < self->ncontexts; i++)
		ix_context_free(self->contexts[i]);
	free(self->contexts);
	ix_closep(&self->root_fd);
	ix_closep(&self->source_fd);
	ix_context_free(self->root);
	ix_context_free(self->source);
	ix_image_release(&self->source_image);
	free(self->dest);
}

struct archive *copy_archive(struct copy *self)
{
	self->archives = ix_realloc_array(self->archives, self->narchives + 1, sizeof(*self->archives));
	return &self->archives[self->narchives++];
}

void copy_keep_context(struct copy *self, struct ix_context *context)
{
	self->contexts = ix_realloc_array(self->contexts, self->ncontexts + 1, sizeof(struct ix_context *));
	self->contexts[self->ncontexts++] = context;
}

/* --- where it goes --- */

/* The destination with its links followed as inside the root, those too that point at nothing yet: what they name is made. Relative to the
 * root, "" for the root itself. */
int copy_resolve_dest(struct copy *self, const char *path, char **ret_real, bool *ret_is_dir, struct ix_err *err)
{
	struct stat st;
	int r = ix_context_place(self->root, path, ret_real, err);

	if (r < 0)
		return r;
	*ret_is_dir = fstatat(self->root_fd, **ret_real ? *ret_real : ".", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	return 0;
}

/* --- what is put where --- */

static struct ix_tar_entry entry_from(const struct copy *self, const struct ix_entry *from, const char *path)
{
	struct ix_tar_entry entry = {
		.path = ix_strdup(path),
		.mode = from->mode,
		.size = from->size,
		.mtime_s = from->mtime_s,
		.link = ix_strdup(from->link),
		.rdev_major = major(from->rdev),
		.rdev_minor = minor(from->rdev),
	};

	/* Files of this machine belong to root in the image; those of another image keep their owners. */
	if (self->has_owner) {
		entry.uid = self->uid;
		entry.gid = self->gid;
	} else if (self->source_fd >= 0) {
		entry.uid = from->uid;
		entry.gid = from->gid;
	}
	entry.mode = ix_mode_apply(&self->task->operation->chmod, entry.mode);
	return entry;
}

static char *join(const char *dir, const char *name)
{
	if (!*dir || !*name)
		return ix_strdup(*dir ? dir : name);
	return ix_asprintf("%s/%s", dir, name);
}

char *copy_target(const struct copy *self, const char *name)
{
	/* An earlier source may have made it a directory. */
	const struct out *made = ix_map_get(&self->by_path, self->dest);
	bool is_dir = self->dest_is_dir || self->dest_exists || (made && S_ISDIR(made->entry.mode));

	return is_dir ? join(self->dest, name) : ix_strdup(self->dest);
}

/* A directory that nobody described. A mode in digits is its own too, one in letters changes only what there is. */
static struct out *made_directory(struct copy *self, const char *path)
{
	const struct ix_mode_change none = { 0 };
	struct out *out = copy_put(self, path);

	out->entry = (struct ix_tar_entry){
		.path = ix_strdup(path),
		.mode = ix_mode_apply(self->task->operation->chmod.nclauses > 0 ? &none : &self->task->operation->chmod, S_IFDIR | 0755),
		.uid = self->uid,
		.gid = self->gid,
		.mtime_s = self->newest_s
	};
	return out;
}

/* Of two sources one has a file where the other has a directory. */
static bool conflicts(const struct copy *self, const char *path, uint32_t mode)
{
	const struct out *there = ix_map_get(&self->by_path, path);

	return there && S_ISDIR(there->entry.mode) != S_ISDIR(mode);
}

static int list_match(struct copy *self, struct ix_context *context, const struct ix_selection *files, const struct ix_match *match,
		      struct ix_err *err)
{
	ix_auto_free char *base = match->is_dir ? ix_strdup(self->dest) : copy_target(self, ix_path_base(match->path));
	struct ix_map links = { 0 };

	for (size_t i = 0; i < match->count; i++) {
		const struct ix_entry *from = &files->entries[match->first + i];
		ix_auto_free char *path = join(base, from->name);
		struct out *out;
		char key[48];

		if (i == 0 && self->newest_s < from->mtime_s)
			self->newest_s = from->mtime_s;
		/* Of a directory the contents are copied: what they are put into is made like any directory on the way. */
		if (match->is_dir && !from->name[0]) {
			if (conflicts(self, path, S_IFDIR)) {
				ix_map_release(&links);
				return ix_err_at(err, &self->step->pos, "cannot copy a directory to /%s, which is a file", path);
			}
			if (!self->dest_exists && *path)
				made_directory(self, path);
			continue;
		}
		if (conflicts(self, path, from->mode)) {
			ix_map_release(&links);
			return ix_err_at(err, &self->step->pos, "two sources make /%s a file and a directory", path);
		}
		out = copy_put(self, path);
		out->entry = entry_from(self, from, path);
		out->from = from;
		out->context = context;
		if (!S_ISREG(from->mode) || from->nlink < 2)
			continue;
		snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)from->dev, (unsigned long long)from->ino);
		out->same_as = ix_map_get(&links, key);
		if (!out->same_as)
			ix_map_set(&links, key, out);
	}
	ix_map_release(&links);
	return 0;
}

static bool is_archive(const struct copy *self, struct ix_context *context, const struct ix_selection *files, const struct ix_match *match)
{
	ix_auto_context_file file = { .fd = -1 };
	struct ix_err ignored;

	/* A file that changed is told when it is read. */
	return self->step->kind == IX_STEP_ADD && !self->step->no_unpack && !match->is_dir && match->count == 1 &&
	       S_ISREG(files->entries[match->first].mode) &&
	       ix_context_open_entry(context, &files->entries[match->first], &file, &ignored) == 0 && ix_tar_detect(file.fd);
}

int copy_list(struct copy *self, struct ix_context *context, const struct ix_selection *files, struct ix_err *err)
{
	int r;

	for (size_t i = 0; i < files->nmatches; i++) {
		const char *path = files->matches[i].count ? files->entries[files->matches[i].first].path : "";

		if (is_archive(self, context, files, &files->matches[i]))
			*copy_archive(self) = (struct archive){ .context = context,
								.from = &files->entries[files->matches[i].first],
								.name = ix_strdup(path) };
		else if ((r = list_match(self, context, files, &files->matches[i], err)) < 0)
			return r;
	}
	return 0;
}

/* --- parents --- */

/* The entry of a directory on the way: as it is in the image below, or new. It has to be in the layer either way, because a directory that
 * an unpacker makes up would replace the owner and mode of the one below. */
static int add_parent(struct copy *self, const char *path, struct ix_err *err)
{
	ix_auto_close int fd = -1;
	struct out *out;
	struct stat st;

	if (!*path || ix_map_get(&self->by_path, path))
		return 0;
	if (fstatat(self->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return ix_err_at(err, &self->step->pos, "/%s is not a directory", path);
	fd = ix_open_beneath(self->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, err);
	out = made_directory(self, path);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return ix_err_sys(err, "stat /%s", path);
	out->entry.mode = st.st_mode;
	out->entry.uid = st.st_uid;
	out->entry.gid = st.st_gid;
	out->entry.mtime_s = st.st_mtim.tv_sec;
	return ix_xattrs_read(fd, path, &out->entry, err);
}

/* A directory does not replace a file, nor a file a directory. */
static int check_conflict(const struct copy *self, const struct out *out, struct ix_err *err)
{
	bool is_dir = S_ISDIR(out->entry.mode);
	struct stat st;

	if (!*out->path || fstatat(self->root_fd, out->path, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) == is_dir)
		return 0;
	if (is_dir)
		return ix_err_at(err, &self->step->pos, "cannot copy to non-directory: /%s", out->path);
	return ix_err_at(err, &self->step->pos, "cannot replace directory /%s with a file", out->path);
}

int copy_add_parents(struct copy *self, struct ix_err *err)
{
	size_t listed = self->by_path.count;
	int r;

	for (size_t i = 0; i < listed; i++)
		if ((r = check_conflict(self, self->by_path.entries[i].value, err)) < 0)
			return r;

	for (size_t i = 0; i < listed; i++) {
		const struct out *out = self->by_path.entries[i].value;
		ix_auto_free char *path = ix_strdup(out->path);

		for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = '\0';
			r = add_parent(self, path, err);
			if (r < 0)
				return r;
			*slash = '/';
		}
	}
	return 0;
}
