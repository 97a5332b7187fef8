/* What a RUN executes: a list of words, a line for the shell, or a heredoc. */
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/str.h"
#include "graph/graph.h"
#include "steps_int.h"

void command_shell(const struct ix_image_config *config, struct ix_strv *words)
{
	if (config->shell.count > 0) {
		ix_strv_copy(words, &config->shell);
		return;
	}
	ix_strv_add(words, "/bin/sh");
	ix_strv_add(words, "-c");
}

/* "cmd <<EOF" behind a shell: the shell itself reads the heredoc, so its text goes back to where it stood. */
static char *with_heredocs(const struct ix_step *step)
{
	ix_auto_buf text = { 0 };

	ix_buf_puts(&text, step->words[0]);
	for (size_t i = 0; i < step->ndocs; i++)
		ix_buf_printf(&text, "\n%s%s", step->docs[i].raw, step->docs[i].name);
	return ix_buf_steal(&text);
}

void command_run(const struct ix_image_config *config, const struct ix_step *step, struct ix_operation *operation)
{
	struct ix_strv *words = &operation->argv;

	if (step->exec) {
		for (size_t i = 0; i < step->nwords; i++)
			ix_strv_add(words, step->words[i]);
		return;
	}
	if (ix_step_has_interpreter(step)) {
		operation->file = &step->docs[0];
		ix_strv_addf(words, IX_STEP_FILES "/%s", operation->file->name);
		return;
	}
	command_shell(config, words);
	ix_strv_take(words, ix_step_is_script(step) ? ix_strdup(step->docs[0].body) : with_heredocs(step));
}
