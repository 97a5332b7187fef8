#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "cli_int.h"
#include "jail/jail.h"
#include "signals_int.h"

static const struct command commands[] = {
	{ "build", "[STAGE...] | PATH", "build what is missing, and publish it", cmd_build },
	{ "plan", "[STAGE...]", "say what would be done, and why", cmd_plan },
	{ "explain", "STAGE", "say what changed since an earlier build", cmd_explain },
	{ "logs", "STAGE [STEP]", "print what its steps printed", cmd_logs },
	{ "lock", "[--update [NAME...]]", "pin what the project is built from", cmd_lock },
	{ "verify", "STAGE", "is the stage reproducible?", cmd_verify },
	{ "key", "generate FILE", "make keys for signed stages", cmd_key },
	{ "check", "[STAGE...] | PATH", "check Dockerfiles without building", cmd_check },
	{ "run", "STAGE [-- COMMAND...]", "run a command in a stage's image", cmd_run },
	{ "images", "", "list the images of the store", cmd_images },
	{ "inspect", "IMAGE", "print an image's manifest and config", cmd_inspect },
	{ "rm", "NAME...", "remove names of images", cmd_rm },
	{ "pull", "IMAGE", "fetch an image from a registry", cmd_pull },
	{ "push", "IMAGE [NAME]", "push an image to a registry", cmd_push },
	{ "login", "[HOST]", "log in to a registry", cmd_login },
	{ "logout", "[HOST]", "forget a login", cmd_logout },
	{ "import", "ROOTFS.TAR NAME", "make an image from a root file system", cmd_import },
	{ "export", "IMAGE", "write an image as an archive", cmd_export },
};

static void usage(void)
{
	printf("Usage: ix COMMAND [OPTIONS]\n\nBuild container images in stages. The registry is the cache.\n\nCommands:\n");
	for (size_t i = 0; i < IX_ARRAY_LEN(commands); i++) {
		ix_auto_free char *left = ix_asprintf("%s %s", commands[i].name, commands[i].operands);

		printf("  %-30s %s\n", left, commands[i].summary);
	}
	printf("\nix COMMAND --help says more; so do ix(1) and ix.yaml(5).\n");
}

/* Descriptors 0 to 2 are always somebody's: a blob must not land on standard output's number. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int dispatch(int argc, char **argv)
{
	const char *names[IX_ARRAY_LEN(commands)], *near;
	ix_auto_free char *shown = NULL;

	for (size_t i = 0; i < IX_ARRAY_LEN(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	shown = ix_printable(argv[1], 60);
	near = ix_nearest(argv[1], names, IX_ARRAY_LEN(names));
	fprintf(stderr, near ? "ix: '%s' is not a command (did you mean %s?)\n" : "ix: '%s' is not a command; see ix --help\n", shown,
		near);
	return 1;
}

int main(int argc, char **argv)
{
	int status;

	if (argc > 1 && strcmp(argv[1], "--sandbox-child") == 0)
		return ix_jail_main(argc, argv);
	open_standard_fds();
	ix_umask_fix();
	/* Under linux32(8) this machine would call itself another one, and keys be others. */
	(void)personality(PER_LINUX);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		usage();
		return argc < 2 ? 1 : 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		printf("ix %s\n", IX_VERSION);
		return 0;
	}
	signals_catch();
	status = dispatch(argc, argv);
	signals_release();
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	return status;
}
