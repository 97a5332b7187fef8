/* A stage while its words are expanded, one instruction after the other. */
#ifndef IX_STEPS_STEPS_INT_H
#define IX_STEPS_STEPS_INT_H

#include "steps/steps.h"

struct expansion {
	const struct ix_stage *stage;
	const struct ix_steps_opts *opts;
	struct ix_image_config *config; /* as far as it has come */
	size_t index;                   /* of the step at hand */
};

/* --- words.c --- */

/* A word of the step with the stage's environment and arguments replaced. Caller frees. */
int expand_word(const struct expansion *self, const struct ix_step *step, const char *word, char **ret_text, struct ix_err *err);
/* The same of a text whose quotes are kept: heredocs. */
int expand_text(const struct expansion *self, const struct ix_step *step, const char *text, char **ret_text, struct ix_err *err);
/* The value a step sees for an argument: a link's is the image reference. NULL when it is not set. Caller frees. */
char *expand_arg(const struct expansion *self, const struct ix_arg *arg);

/* --- history.c --- */

/* What docker history shows; callers free. */
char *history_list(const char *word, const struct ix_strv *words);
char *history_health(const struct ix_health *health);
char *history_copy(const struct ix_operation *operation, const char *chmod);
char *history_run(const struct expansion *self, const struct ix_operation *operation);
/* An entry at the end. */
void history_add(const struct expansion *self, const char *created_by, bool empty_layer);

/* --- command.c --- */

/* The shell in force, appended: SHELL or the default. */
void command_shell(const struct ix_image_config *config, struct ix_strv *words);
/* The words that a RUN executes. */
void command_run(const struct ix_image_config *config, const struct ix_step *step, struct ix_operation *operation);

/* --- config.c --- */

/* Apply an instruction that only changes the config. Adds its history entry. */
int config_apply(struct expansion *self, const struct ix_step *step, struct ix_err *err);

#endif
