#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "cli_int.h"
#include "io/sign.h"

static const char text[] =
	"Make a pair of keys for trust: signed. FILE gets the private one, which signs (signing_key: in ix.yaml), FILE.pub the\n"
	"public one, which is committed (trusted_keys:). An existing file is never replaced.";

static int write_new(const char *path, const char *line, mode_t mode, struct ix_err *err)
{
	ix_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return ix_err_sys(err, "create %s", path);
	if (ix_write_all(fd, line, strlen(line), err) < 0 || ix_write_all(fd, "\n", 1, err) < 0)
		return ix_err_wrap(err, "%s", path);
	return fsync(fd) < 0 ? ix_err_sys(err, "sync %s", path) : 0;
}

static int generate(const char *file, struct ix_err *err)
{
	ix_auto_free char *public_file = ix_asprintf("%s.pub", file);
	struct ix_private_key private_key;
	struct ix_public_key public_key;
	char line[IX_KEY_TEXT], shown[IX_KEY_TEXT];
	int r = ix_key_generate(&private_key, &public_key, err);

	if (r == 0) {
		ix_private_key_text(&private_key, line);
		ix_public_key_text(&public_key, shown);
		r = write_new(file, line, 0600, err);
		explicit_bzero(line, sizeof(line));
		explicit_bzero(&private_key, sizeof(private_key));
	}
	if (r == 0)
		r = write_new(public_file, shown, 0644, err);
	if (r == 0)
		say("%s\n", shown);
	return r;
}

int cmd_key(int argc, char **argv)
{
	ix_auto_strv operands = { 0 };
	bool help = false;
	const struct opt opts[] = { { 'h', "help", NULL, OPT_FLAG, &help, "show this help" } };
	static const struct command self = { "key", "generate FILE", NULL, NULL };
	struct ix_err err;

	if (opt_parse(argc, argv, opts, IX_ARRAY_LEN(opts), &operands, &err) < 0)
		return complain(&err);
	if (help) {
		command_help(&self, text, opts, IX_ARRAY_LEN(opts));
		return 0;
	}
	if (operands.count != 2 || strcmp(operands.items[0], "generate") != 0) {
		ix_err_set(&err, IX_EARG, "usage: ix key generate FILE");
		return complain(&err);
	}
	return generate(operands.items[1], &err) < 0 ? complain(&err) : 0;
}
