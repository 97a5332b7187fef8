#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "base/str.h"
#include "jail/setup_int.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *find_path(const char *const *env)
{
	for (; *env; env++)
		if (ix_starts(*env, "PATH="))
			return *env + 5;
	return default_path;
}

static void try_exec(const char *file, const char *const *argv, const char *const *env)
{
	execve(file, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
}

/* errno of the attempt that says most: a file that may not be executed rather than one that is missing. */
static int search(const char *const *argv, const char *const *env)
{
	ix_auto_free char *path = ix_strdup(find_path(env));
	char *rest = path, *dir;
	int denied = 0;

	while ((dir = strsep(&rest, ":"))) {
		ix_auto_free char *file = ix_asprintf("%s/%s", *dir ? dir : ".", argv[0]);

		try_exec(file, argv, env);
		if (errno == EACCES)
			denied = errno;
		else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG)
			return errno;
	}
	return denied ? denied : ENOENT;
}

static const char *explain(const char *name, int error)
{
	if (error == ENOENT && !strchr(name, '/'))
		return "not found in PATH";
	if (error == ENOENT && access(name, F_OK) == 0)
		return "the interpreter or loader that it names does not exist";
	if (error == ENOEXEC)
		return "exec format error: built for another architecture, or a script without #!";
	return strerrordesc_np(error);
}

int jail_exec(const char *const *argv, const char *const *env)
{
	ix_auto_free char *name = ix_printable(argv[0], 300);
	const char *why;
	int error;

	if (strchr(argv[0], '/')) {
		try_exec(argv[0], argv, env);
		error = errno;
	} else {
		error = *argv[0] ? search(argv, env) : ENOENT;
	}
	why = explain(argv[0], error);
	dprintf(STDERR_FILENO, "%s: %s\n", name, why ? why : "cannot be executed");
	return error == ENOENT || error == ENOTDIR ? 127 : 126;
}
