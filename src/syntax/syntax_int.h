/* What the files of the room share. */
#ifndef IX_SYNTAX_SYNTAX_INT_H
#define IX_SYNTAX_SYNTAX_INT_H

#include "base/arena.h"
#include "syntax/syntax.h"

struct ix_df_checks {
	const char *skip, *experimental; /* lists of rules, "all", or NULL */
	bool error;
	struct ix_check *items;
	size_t count;
	enum ix_df_phase refused_phase; /* where the file was refused */
	unsigned refused_line;          /* 0: it was not */
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
int df_read_heredocs(struct df_lexer *lexer, struct df_line *line, const char *operands, struct ix_df_instr *instr, struct ix_err *err);
/* Does the word begin a heredoc? */
bool df_is_heredoc(struct ix_arena *arena, const char *word);
/* Parser directives at the top of the file. */
int df_read_directives(struct df_lexer *lexer, struct ix_err *err);

struct ix_pos df_pos(const struct ix_dockerfile *file, const struct df_line *line, const char *at);

/* --- checks.c --- */

/* The value of a check directive. */
int df_checks_configure(struct ix_dockerfile *file, const char *text, const struct ix_pos *pos, struct ix_err *err);
/* Reading failed. What was found in the text is told, unless not even its lines could be cut into words. */
void df_checks_of_text(const struct ix_dockerfile *file);

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
	struct ix_df_instr *instr;
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
int df_parse_instr(struct df_lexer *lexer, struct df_line *line, bool onbuild, struct ix_df_instr *ret_instr, struct ix_err *err);

/* --- flags.c --- */

/* The flags at self->operands, which then points behind them. */
int df_parse_flags(struct df_making *self, const struct df_word *word, struct ix_err *err);

#endif
