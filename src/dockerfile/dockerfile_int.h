/* The syntax tree, and what the files of the room share. */
#ifndef IX_DOCKERFILE_DOCKERFILE_INT_H
#define IX_DOCKERFILE_DOCKERFILE_INT_H

#include "base/arena.h"
#include "dockerfile/dockerfile.h"

struct df_flag {
	const char *name;  /* without dashes */
	const char *value; /* NULL when there is none */
	struct ix_pos pos;
};

/* Build checks, in the order of BuildKit's list. */
enum df_rule {
	DF_STAGE_NAME_CASING,
	DF_FROM_AS_CASING,
	DF_NO_EMPTY_CONTINUATION,
	DF_CONSISTENT_CASING,
	DF_DUPLICATE_STAGE_NAME,
	DF_RESERVED_STAGE_NAME,
	DF_JSON_ARGS,
	DF_MAINTAINER,
	DF_UNDEFINED_ARG_IN_FROM,
	DF_UNDEFINED_VAR,
	DF_WORKDIR_RELATIVE,
	DF_MULTIPLE_INSTRUCTIONS,
	DF_LEGACY_KEY_VALUE,
	DF_REDUNDANT_PLATFORM,
	DF_SECRETS_IN_ENV,
	DF_INVALID_DEFAULT_ARG,
	DF_PLATFORM_CONST,
	DF_COPY_IGNORED,
	DF_DEFINITION_DESCRIPTION,
	DF_EXPOSE_PROTO,
	DF_EXPOSE_FORMAT,
};

/* How far docker's frontend gets: the whole file is parsed, then every FROM is read, then the instructions one stage after the other. */
enum df_phase { DF_PHASE_PARSE, DF_PHASE_FROM, DF_PHASE_STEPS };

struct df_checks {
	const char *skip, *experimental; /* lists of rules, "all", or NULL */
	bool error;
	struct ix_check *items;
	size_t count;
	enum df_phase refused_phase; /* where the file was refused */
	unsigned refused_line;       /* 0: it was not */
	bool of_lines;               /* reading failed before any instruction was looked at */
};

/* One instruction. words as ix_step documents them; COPY and ADD keep their destination apart in dest. */
struct df_instr {
	const char *word;    /* upper case */
	const char *written; /* the same as it is in the file */
	const char *comment; /* the comment lines above, without "#", or NULL */
	int kind;            /* enum ix_step_kind; DF_FROM */
	struct ix_pos pos;
	unsigned last_line;
	const char *text;
	struct df_flag *flags;
	size_t nflags;
	char **words;
	size_t nwords;
	char *const *group; /* ARG, of the whole instruction: name, value, name, value */
	size_t ngroup;
	bool exec;
	const char *dest;
	struct ix_heredoc *docs;
	size_t ndocs;
	int64_t interval, timeout, start_period, start_interval;
	int retries;
};
enum { DF_FROM = 1000 };

struct df_stage {
	struct df_instr from;
	const char *name; /* AS name, lower case, or NULL */
	struct df_instr *instrs;
	size_t ninstrs;
};

struct ix_dockerfile {
	struct ix_arena *arena;
	const char *name;
	const char *text; /* the whole file, for excerpts */
	char escape;
	bool refused;                        /* reading it failed: what is there was read until then */
	const struct df_instr *refused_from; /* the FROM that it failed at, or NULL */
	struct df_instr *globals;            /* ARGs before the first FROM */
	size_t nglobals;
	struct df_stage *stages;
	size_t nstages;
	struct ix_strv warnings;
	struct df_checks *checks;
};

/* --- lex.c --- */

/* A logical line: continuations joined, comments in between dropped. at[i] says where byte i of text stands in the file. */
struct df_place {
	unsigned line, column;
};
struct df_line {
	const char *text;
	size_t len;
	struct df_place *at; /* len + 1 entries */
	const char *comment; /* the comment lines right above, or NULL */
	unsigned last_line;
};
struct df_lexer {
	struct ix_dockerfile *file;
	const char *next; /* unread text */
	unsigned line;    /* number of the last line read */
	bool of_lines;    /* the mistake was made in cutting lines into words, which comes before instructions are looked at */
};
/* 1 with a line, 0 at the end. */
int df_next_line(struct df_lexer *lexer, struct df_line *ret_line, struct ix_err *err);
/* The bodies of the heredocs that begin on this line, read from the lines that follow. */
int df_read_heredocs(struct df_lexer *lexer, struct df_line *line, const char *operands, struct df_instr *instr, struct ix_err *err);
/* Does the word begin a heredoc? */
bool df_is_heredoc(struct ix_arena *arena, const char *word);
/* Parser directives at the top of the file. */
int df_read_directives(struct df_lexer *lexer, struct ix_err *err);

/* An error or warning at a place of the file, with the excerpt. */
int df_err(const struct ix_dockerfile *file, struct ix_err *err, const struct ix_pos *pos, const char *fmt, ...) ix_printf(4, 5);
struct ix_pos df_pos(const struct ix_dockerfile *file, const struct df_line *line, const char *at);

/* --- checks.c --- */

/* The value of a check directive. */
int df_checks_configure(struct ix_dockerfile *file, const char *text, const struct ix_pos *pos, struct ix_err *err);
/* Something a rule has found, unless the rule is not wanted. comment: what stands right above, which may say so; or NULL. */
void df_check(const struct ix_dockerfile *file, enum df_rule rule, const struct ix_pos *pos, unsigned last_line, const char *comment,
	      const char *fmt, ...) ix_printf(6, 7);
/* The file is refused there, the first time that is said: what is only found behind it is not told. */
void df_checks_refused(const struct ix_dockerfile *file, enum df_phase phase, unsigned line);
/* Forget that it was. */
void df_checks_accepted(const struct ix_dockerfile *file);
/* Drop what is not told. */
void df_checks_end(const struct ix_dockerfile *file);
/* Reading failed. What was found in the text is told, unless not even its lines could be cut into words. */
void df_checks_of_text(const struct ix_dockerfile *file, bool of_lines);

/* --- words.c --- */

/* Split at blanks outside quotes, keeping quotes and escapes; appended to words in the arena. */
void df_split_words(struct ix_arena *arena, const char *text, char escape, char ***words, size_t *nwords);
/* Split at blanks, whatever quotes say. */
void df_split_blanks(struct ix_arena *arena, const char *text, char ***words, size_t *nwords);
enum df_json { DF_JSON_NO, DF_JSON_LIST, DF_JSON_NOT_STRINGS };
/* A JSON list of strings and nothing else. */
enum df_json df_json_list(struct ix_arena *arena, const char *text, char ***words, size_t *nwords);
/* 1.5h30m as Go reads durations, in nanoseconds. */
bool df_duration(const char *text, int64_t *ret_ns);

/* --- instr.c --- */

/* An instruction in the making. */
struct df_making {
	struct df_lexer *lexer;
	struct ix_dockerfile *file;
	struct df_line *line;
	const char *operands; /* behind the flags */
	struct df_instr *instr;
};

/* A word of the language. */
struct df_word {
	const char *name;
	int kind;
	int (*parse)(struct df_making *self, struct ix_err *err);
	const char *flags[8]; /* NULL terminated */
	bool trigger;         /* ONBUILD may hold it */
};

/* One instruction from a line. onbuild: it is the trigger of an ONBUILD. */
int df_parse_instr(struct df_lexer *lexer, struct df_line *line, bool onbuild, struct df_instr *ret_instr, struct ix_err *err);

/* --- flags.c --- */

/* The flags at self->operands, which then points behind them. */
int df_parse_flags(struct df_making *self, const struct df_word *word, struct ix_err *err);
const char *df_flag_value(const struct df_instr *instr, const char *name);
bool df_has_flag(const struct df_instr *instr, const char *name);
/* A boolean flag that is there and not =false. */
bool df_flag_true(const struct df_instr *instr, const char *name);

/* --- reference.c --- */

/* Could it name an image of a registry? */
bool df_reference_valid(const char *text);

/* --- mount.c --- */

/* A --mount flag. from: the name, or NULL. */
struct df_mount {
	struct ix_mount mount;
	const char *from;
};
/* How the variables of its values are replaced. The text lives as long as the file. */
struct df_expander {
	int (*expand)(void *data, const char *word, const struct ix_pos *pos, const char **ret_text);
	void *data;
};
/* expander NULL: values stay as they are written, and those that hold a variable where none can be judged are not. */
int df_parse_mount(const struct ix_dockerfile *file, const struct df_flag *flag, const struct df_expander *expander,
		   struct df_mount *ret_mount, struct ix_err *err);

/* --- outline.c --- */

/* The stages that opts->target needs; all when there is none. */
void df_reach(const struct ix_dockerfile *file, const struct ix_lower_opts *opts, bool *ret_reached);

#endif
