/* Channels: one per git branch. Which branch this is, CI systems say in variables; elsewhere the project's repository does. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fsutil.h"
#include "base/path.h"
#include "base/str.h"
#include "io/digest.h"
#include "workspace_int.h"

enum { NAME_MAX_LEN = 50, GIT_TEXT_MAX = 4096 };

/* The first that is set and not empty is the branch. A merge request is built on the branch it comes from. */
static const char *const branch_variables[] = {
	"GITHUB_HEAD_REF",                     /* GitHub, pull requests */
	"GITHUB_REF_NAME",                     /* GitHub */
	"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", /* GitLab, merge requests */
	"CI_COMMIT_BRANCH",                    /* GitLab */
	"CHANGE_BRANCH",                       /* Jenkins, change requests of multibranch projects */
	"BRANCH_NAME",                         /* Jenkins, multibranch */
	"GIT_BRANCH",                          /* Jenkins, git plugin: origin/main */
	"BUILDKITE_BRANCH",                    /* Buildkite */
};

static const char *const default_variables[] = {
	"CI_DEFAULT_BRANCH",                 /* GitLab */
	"BUILDKITE_PIPELINE_DEFAULT_BRANCH", /* Buildkite */
};

static const char *variable(const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = getenv(names[i]);

		/* A tag's name is no branch. */
		if (strcmp(names[i], "GITHUB_REF_NAME") == 0 && ix_streq(getenv("GITHUB_REF_TYPE"), "tag"))
			continue;
		if (value && *value)
			return ix_starts(value, "origin/") ? value + 7 : value;
	}
	return NULL;
}

static char *first_line(const char *dir, const char *name)
{
	ix_auto_free char *path = ix_path_join(dir, name);
	ix_auto_buf text = IX_BUF_INIT(GIT_TEXT_MAX);
	struct ix_err ignored;

	if (ix_read_file(AT_FDCWD, path, &text, &ignored) < 0)
		return NULL;
	return ix_strndup(ix_buf_str(&text), strcspn(ix_buf_str(&text), "\r\n"));
}

/* The .git of the project or of a directory above it; in a worktree it is a file that names the place. */
static char *find_git(const char *dir)
{
	ix_auto_free char *at = ix_strdup(dir);

	for (;;) {
		ix_auto_free char *head = first_line(at, ".git/HEAD");
		ix_auto_free char *file = head ? NULL : first_line(at, ".git");
		char *slash = strrchr(at, '/');

		if (head)
			return ix_path_join(at, ".git");
		if (file && ix_starts(file, "gitdir: "))
			return ix_path_resolve(at, file + 8);
		if (!slash || !at[1])
			return NULL;
		*(slash == at ? slash + 1 : slash) = '\0';
	}
}

static char *branch_of(const char *git, const char *file, const char *prefix)
{
	ix_auto_free char *line = first_line(git, file);

	return line && ix_starts(line, prefix) ? ix_strdup(line + strlen(prefix)) : NULL;
}

/* In a worktree the references of the remote are in the main repository. */
static char *default_branch(const char *git)
{
	ix_auto_free char *common = first_line(git, "commondir");
	ix_auto_free char *main = common ? ix_path_resolve(git, common) : ix_strdup(git);

	return branch_of(main, "refs/remotes/origin/HEAD", "ref: refs/remotes/origin/");
}

/* A branch as part of a tag: what a tag cannot hold becomes '-', and then some digits of a hash keep two branches apart. */
static char *tag_part(const char *branch)
{
	ix_auto_free char *text = ix_strdup(branch);
	char hex[IX_DIGEST_HEX + 1];
	bool changed = strlen(text) > NAME_MAX_LEN;
	struct ix_digest digest;

	for (char *c = text; *c; c++) {
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("_.-", *c))) {
			*c = '-';
			changed = true;
		}
	}
	if (!changed)
		return ix_steal(&text);
	ix_digest_of(branch, strlen(branch), &digest);
	return ix_asprintf("%.*s-%.8s", NAME_MAX_LEN, text, ix_digest_hex(&digest, hex));
}

static void add_channel(struct ix_strv *channels, const char *branch)
{
	ix_auto_free char *name = branch && *branch ? tag_part(branch) : NULL;

	if (name && !ix_strv_has(channels, name))
		ix_strv_add(channels, name);
}

void ix_workspace_channels(const struct ix_workspace *workspace, const char *first, struct ix_strv *channels)
{
	const struct ix_project *project = workspace->project;
	ix_auto_free char *git = project ? find_git(project->dir) : NULL;
	ix_auto_free char *branch = git ? branch_of(git, "HEAD", "ref: refs/heads/") : NULL;
	ix_auto_free char *fallback = git ? default_branch(git) : NULL;
	const char *said = variable(branch_variables, IX_ARRAY_LEN(branch_variables));
	const char *said_default = variable(default_variables, IX_ARRAY_LEN(default_variables));

	if (!project || !project->registry)
		return;
	/* Without any branch at all there is still one line of images. */
	add_channel(channels, first ? first : said ? said : branch ? branch : "main");
	add_channel(channels, project->default_branch ? project->default_branch
			      : said_default          ? said_default
			      : fallback              ? fallback
						      : "main");
}
