#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "syntax_int.h"

/* Build checks: the rules, what of them is wanted, and what was found. lint.c finds. */

static const struct {
	const char *name, *description;
	bool experimental;
	enum ix_df_phase phase; /* when docker finds it */
} rules[] = {
	[IX_DF_STAGE_NAME_CASING] = { "StageNameCasing", "Stage names should be lowercase", false, IX_DF_PHASE_PARSE },
	[IX_DF_FROM_AS_CASING] = { "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", false,
				   IX_DF_PHASE_PARSE },
	[IX_DF_NO_EMPTY_CONTINUATION] = { "NoEmptyContinuation", "Empty continuation lines will become errors in a future release", false,
					  IX_DF_PHASE_PARSE },
	[IX_DF_CONSISTENT_CASING] = { "ConsistentInstructionCasing",
				      "All commands within the Dockerfile should use the same casing (either upper or lower)", false,
				      IX_DF_PHASE_PARSE },
	[IX_DF_DUPLICATE_STAGE_NAME] = { "DuplicateStageName", "Stage names should be unique", false, IX_DF_PHASE_PARSE },
	[IX_DF_RESERVED_STAGE_NAME] = { "ReservedStageName", "Reserved words should not be used as stage names", false, IX_DF_PHASE_PARSE },
	[IX_DF_JSON_ARGS] = { "JSONArgsRecommended",
			      "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals", false,
			      IX_DF_PHASE_STEPS },
	[IX_DF_MAINTAINER] = { "MaintainerDeprecated",
			       "The MAINTAINER instruction is deprecated, use a label instead to define an image author", false,
			       IX_DF_PHASE_PARSE },
	[IX_DF_UNDEFINED_ARG_IN_FROM] = { "UndefinedArgInFrom", "FROM command must use declared ARGs", false, IX_DF_PHASE_FROM },
	[IX_DF_UNDEFINED_VAR] = { "UndefinedVar", "Variables should be defined before their use", false, IX_DF_PHASE_STEPS },
	[IX_DF_WORKDIR_RELATIVE] = { "WorkdirRelativePath",
				     "Relative workdir without an absolute workdir declared within the build can have unexpected results "
				     "if "
				     "the base image "
				     "changes",
				     false, IX_DF_PHASE_STEPS },
	[IX_DF_MULTIPLE_INSTRUCTIONS] = { "MultipleInstructionsDisallowed",
					  "Multiple instructions of the same type should not be used in the same stage", false,
					  IX_DF_PHASE_STEPS },
	[IX_DF_LEGACY_KEY_VALUE] = { "LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used", false,
				     IX_DF_PHASE_STEPS },
	[IX_DF_REDUNDANT_PLATFORM] = { "RedundantTargetPlatform",
				       "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default "
				       "behavior",
				       false, IX_DF_PHASE_FROM },
	[IX_DF_SECRETS_IN_ENV] = { "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands", false,
				   IX_DF_PHASE_STEPS },
	[IX_DF_INVALID_DEFAULT_ARG] = { "InvalidDefaultArgInFrom",
					"Default value for global ARG results in an empty or invalid base image name", false,
					IX_DF_PHASE_PARSE },
	[IX_DF_PLATFORM_CONST] = { "FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value", false,
				   IX_DF_PHASE_FROM },
	[IX_DF_COPY_IGNORED] = { "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", true, IX_DF_PHASE_STEPS },
	[IX_DF_DEFINITION_DESCRIPTION] = { "InvalidDefinitionDescription",
					   "Comment for build stage or argument should follow the format: `# <arg/stage name> "
					   "<description>`. "
					   "If this is not "
					   "intended to be a description comment, add an empty line or comment between the instruction and "
					   "the comment.",
					   true, IX_DF_PHASE_PARSE },
	[IX_DF_EXPOSE_PROTO] = { "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", false, IX_DF_PHASE_STEPS },
	[IX_DF_EXPOSE_FORMAT] = { "ExposeInvalidFormat",
				  "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in "
				  "a future release",
				  false, IX_DF_PHASE_STEPS },
};

/* --- what is wanted --- */

static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at && *at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
		at += strspn(at, " \t");
		if (strncmp(at, name, len) == 0 && strspn(at + len, " \t") == strcspn(at + len, ","))
			return true;
	}
	return false;
}

static bool list_is_all(const char *list)
{
	return list && strcmp(list, "all") == 0;
}

/* skip=A,B;error=true;experimental=all */
int df_checks_configure(struct ix_dockerfile *file, const char *text, const struct ix_pos *pos, struct ix_err *err)
{
	struct ix_df_checks *checks = file->checks;
	char *rest = ix_arena_strdup(file->arena, text), *field;

	checks->skip = checks->experimental = NULL;
	checks->error = false;
	while ((field = strsep(&rest, ";")) != NULL) {
		char *equals = strchr(field, '=');
		const char *key, *value;

		if (!*field)
			continue;
		if (!equals)
			return ix_df_err(file, err, pos, "invalid check option %s: write name=value", field);
		*equals = '\0';
		key = field + strspn(field, " \t");
		value = equals + 1 + strspn(equals + 1, " \t");
		if (ix_strcaseeq(key, "skip"))
			checks->skip = value;
		else if (ix_strcaseeq(key, "experimental"))
			checks->experimental = value;
		else if (ix_strcaseeq(key, "error") && (ix_strcaseeq(value, "true") || ix_strcaseeq(value, "false")))
			checks->error = ix_strcaseeq(value, "true");
		else
			return ix_df_err(file, err, pos, "invalid check option \"%s\": skip, error and experimental are known", field);
	}
	return 0;
}

/* "# check=skip=Rule" in the comments right above an instruction. */
static bool skipped_here(const char *comment, const char *rule)
{
	for (const char *line = comment; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *at = line + strspn(line, " \t");

		if (strncmp(at, "check=skip=", 11) == 0) {
			ix_auto_free char *list = ix_strndup(at + 11, strcspn(at + 11, ";\n"));

			if (list_is_all(list) || listed(list, rule))
				return true;
		}
	}
	return false;
}

static bool wanted(const struct ix_df_checks *checks, enum ix_df_rule rule, const char *comment)
{
	const char *name = rules[rule].name;

	if (list_is_all(checks->skip) || listed(checks->skip, name) || skipped_here(comment, name))
		return false;
	return !rules[rule].experimental || list_is_all(checks->experimental) || listed(checks->experimental, name);
}

/* --- what was found --- */

static char *url_of(struct ix_arena *arena, const char *name)
{
	ix_auto_buf words = { 0 };

	/* "JSONArgsRecommended" is json-args-recommended. */
	for (const char *c = name; *c; c++) {
		bool upper = *c >= 'A' && *c <= 'Z', next_lower = c[1] >= 'a' && c[1] <= 'z';

		if (upper && c > name && (!(c[-1] >= 'A' && c[-1] <= 'Z') || next_lower))
			ix_buf_putc(&words, '-');
		ix_buf_putc(&words, upper ? (char)(*c - 'A' + 'a') : *c);
	}
	return ix_arena_printf(arena, "https://docs.docker.com/go/dockerfile/rule/%s/", ix_buf_str(&words));
}

struct ix_check *ix_df_check(const struct ix_dockerfile *file, enum ix_df_rule rule, const struct ix_pos *pos, unsigned last_line,
			     const char *comment, const char *fmt, ...)
{
	struct ix_df_checks *checks = file->checks;
	ix_auto_buf text = { 0 };
	struct ix_check *check;
	va_list args;

	if (!wanted(checks, rule, comment))
		return NULL;
	va_start(args, fmt);
	ix_buf_vprintf(&text, fmt, args);
	va_end(args);
	check = IX_ARENA_PUSH(file->arena, checks->items, checks->count);
	*check = (struct ix_check){ .rule = rules[rule].name,
				    .description = rules[rule].description,
				    .url = url_of(file->arena, rules[rule].name),
				    .pos = *pos,
				    .last_line = last_line > pos->line ? last_line : pos->line,
				    .found_line = pos->line,
				    .message = ix_arena_strdup(file->arena, ix_buf_str(&text)) };
	return check;
}

/* --- where the file is refused --- */

void ix_df_checks_refused(const struct ix_dockerfile *file, enum ix_df_phase phase, unsigned line)
{
	if (file->checks->refused_line > 0)
		return;
	file->checks->refused_phase = phase;
	file->checks->refused_line = line;
}

void ix_df_checks_accepted(const struct ix_dockerfile *file)
{
	file->checks->refused_line = 0;
}

static bool is_told(const struct ix_df_checks *checks, const struct ix_check *check)
{
	size_t rule = 0;

	while (strcmp(rules[rule].name, check->rule) != 0)
		rule++;
	if (rules[rule].phase != checks->refused_phase)
		return rules[rule].phase < checks->refused_phase;
	/* Words are read before their form is judged. */
	return rule == IX_DF_LEGACY_KEY_VALUE ? check->found_line < checks->refused_line : check->found_line <= checks->refused_line;
}

void ix_df_checks_end(const struct ix_dockerfile *file)
{
	struct ix_df_checks *checks = file->checks;
	size_t n = 0;

	if (checks->refused_line == 0)
		return;
	for (size_t i = 0; i < checks->count; i++)
		if (is_told(checks, &checks->items[i]))
			checks->items[n++] = checks->items[i];
	checks->count = n;
}

void df_checks_of_text(const struct ix_dockerfile *file)
{
	struct ix_df_checks *checks = file->checks;
	size_t n = 0;

	for (size_t i = 0; i < checks->count && !file->of_lines; i++)
		if (checks->items[i].rule == rules[IX_DF_NO_EMPTY_CONTINUATION].name ||
		    checks->items[i].rule == rules[IX_DF_DUPLICATE_STAGE_NAME].name)
			checks->items[n++] = checks->items[i];
	checks->count = n;
}

/* --- in order --- */

static int by_line(const void *a, const void *b)
{
	const struct ix_check *x = a, *y = b;

	return x->pos.line != y->pos.line ? (x->pos.line < y->pos.line ? -1 : 1) : strcmp(x->rule, y->rule);
}

const struct ix_check *ix_dockerfile_checks(const struct ix_dockerfile *file, size_t *ret_count)
{
	struct ix_df_checks *checks = file->checks;

	if (checks->count > 0)
		qsort(checks->items, checks->count, sizeof(*checks->items), by_line);
	*ret_count = checks->count;
	return checks->items;
}

bool ix_dockerfile_checks_fail(const struct ix_dockerfile *file)
{
	return file->checks->error && file->checks->count > 0;
}

int ix_dockerfile_set_checks(struct ix_dockerfile *file, const char *text, struct ix_err *err)
{
	const struct ix_pos pos = { file->name, 1, 1 };

	return df_checks_configure(file, text, &pos, err);
}
