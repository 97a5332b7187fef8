#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fsutil.h"
#include "base/str.h"
#include "local_int.h"

/* Secrets and sockets were once kept in directories of the machine, where they stayed when ix was killed. */
static const struct kind {
	const char *parent, *prefix;
} kinds[] = { { "/dev/shm", "ix-secret-" }, { "/tmp", "ix-ssh-" } };

/* From when it is made until a step has it mounted, an older ix that runs beside us needs its directory; the mount does not. */
enum { YOUNG_S = 60, RANDOM = 6 };

static bool is_ours(int parent_fd, const struct kind *kind, const char *name)
{
	struct stat st;

	return ix_starts(name, kind->prefix) && strlen(name) == strlen(kind->prefix) + RANDOM &&
	       fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       st.st_mtime < time(NULL) - YOUNG_S;
}

static bool somebody_listens(const struct kind *kind, const char *name)
{
	ix_auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/%.20s/agent", kind->parent, name);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
}

void leftovers_remove(void)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(kinds); i++) {
		int parent = open(kinds[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ix_auto_closedir DIR *dir = parent < 0 ? NULL : fdopendir(parent);
		struct dirent *entry;
		struct ix_err ignored;

		while (dir && (entry = readdir(dir)) != NULL)
			if (is_ours(parent, &kinds[i], entry->d_name) && !somebody_listens(&kinds[i], entry->d_name))
				(void)ix_remove_tree(parent, entry->d_name, &ignored);
	}
}
