/* Telling two accounts apart: what the files of it share. */
#ifndef IX_STATE_WHY_INT_H
#define IX_STATE_WHY_INT_H

#include <jansson.h>

#include "base/map.h"
#include "state/state.h"

#define auto_json ix_scoped(json_decrefp) json_t

/* What was found so far, where lists are, and what is being told about. */
struct reasons {
	struct ix_causes *causes;
	const struct ix_account_lists *lists;
	const json_t *then_inner, *now_inner; /* accounts of inner stages, by name */
	struct ix_map told;                   /* inner stages that were told about */
	char *where;                          /* behind each cause: ", in work (Dockerfile:2)"; NULL: nothing */
	size_t depth;
	/* All that differs between two accounts of a stage, or of an inner one. */
	void (*diff_account)(const json_t *then, const json_t *now, struct reasons *reasons);
};

/* --- why_cause.c --- */

void because(struct reasons *reasons, const char *fmt, ...) ix_printf(2, 3);
/* The key of a stage changed: of one of the project it is said, of an inner one what made it change. */
void because_of_stage(struct reasons *reasons, const json_t *then, const json_t *now);
/* A text member, "" when it is not there. */
const char *why_text(const json_t *json, const char *key);
/* "sha256:0123456789ab…": enough to tell two apart. Caller frees. */
char *why_brief(const char *digest);

/* --- why_source.c --- */

/* A base, or what a step takes something from: an image, a stage, files, or nothing. */
void diff_source(const char *role, const json_t *then, const json_t *now, struct reasons *reasons);
void diff_sources(const char *what, const json_t *then, const json_t *now, struct reasons *reasons);
/* reworded: which arguments there are is told by the instruction's new words, and only their values are of interest. */
void diff_args(const json_t *then, const json_t *now, bool reworded, struct reasons *reasons);
/* Of RUN, by name. */
void diff_settings(const json_t *then, const json_t *now, struct reasons *reasons);
/* Names and texts: labels. kind: "label". */
void diff_texts(const char *kind, const json_t *then, const json_t *now, struct reasons *reasons);

/* --- why_steps.c --- */

void diff_steps(const json_t *then, const json_t *now, struct reasons *reasons);

#endif
