#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "cli_int.h"

static const struct opt *by_name(const struct opt *opts, size_t nopts, const char *name)
{
	for (size_t i = 0; i < nopts; i++)
		if (strcmp(opts[i].name, name) == 0)
			return &opts[i];
	return NULL;
}

static const struct opt *by_letter(const struct opt *opts, size_t nopts, char letter)
{
	for (size_t i = 0; i < nopts; i++)
		if (opts[i].letter == letter)
			return &opts[i];
	return NULL;
}

static int store_value(const struct opt *opt, const char *value, struct ix_err *err)
{
	switch (opt->kind) {
	case OPT_FLAG:
		if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return ix_err_set(err, IX_EARG, "--%s=%s: true or false", opt->name, value);
		*(bool *)opt->value = !value || strcmp(value, "true") == 0;
		return 0;
	case OPT_TEXT:
		*(const char **)opt->value = value;
		return 0;
	case OPT_LIST:
		ix_strv_add(opt->value, value);
		return 0;
	}
	return 0;
}

static int unknown(const struct opt *opts, size_t nopts, const char *name, struct ix_err *err)
{
	ix_auto_free const char **names = ix_calloc(nopts, sizeof(char *));
	ix_auto_free char *shown = ix_printable(name, 60);
	const char *near;

	for (size_t i = 0; i < nopts; i++)
		names[i] = opts[i].name;
	near = ix_nearest(name, names, nopts);
	if (near)
		return ix_err_set(err, IX_EARG, "unknown option --%s (did you mean --%s?)", shown, near);
	return ix_err_set(err, IX_EARG, "unknown option --%s", shown);
}

static int long_option(const struct opt *opts, size_t nopts, int argc, char **argv, int *at, struct ix_err *err)
{
	const char *text = argv[*at] + 2, *equals = strchr(text, '=');
	ix_auto_free char *name = equals ? ix_strndup(text, (size_t)(equals - text)) : ix_strdup(text);
	const struct opt *opt = by_name(opts, nopts, name);

	if (!opt)
		return unknown(opts, nopts, name, err);
	if (opt->kind == OPT_FLAG || equals)
		return store_value(opt, equals ? equals + 1 : NULL, err);
	if (*at + 1 >= argc)
		return ix_err_set(err, IX_EARG, "option --%s needs %s", name, opt->arg);
	return store_value(opt, argv[++*at], err);
}

static int short_options(const struct opt *opts, size_t nopts, int argc, char **argv, int *at, struct ix_err *err)
{
	for (const char *c = argv[*at] + 1; *c; c++) {
		const struct opt *opt = by_letter(opts, nopts, *c);

		if (!opt)
			return ix_err_set(err, IX_EARG, "unknown option -%c", *c);
		if (opt->kind == OPT_FLAG) {
			*(bool *)opt->value = true;
			continue;
		}
		if (c[1])
			return store_value(opt, c[1] == '=' ? c + 2 : c + 1, err);
		if (*at + 1 >= argc)
			return ix_err_set(err, IX_EARG, "option -%c needs %s", *c, opt->arg);
		return store_value(opt, argv[++*at], err);
	}
	return 0;
}

int opt_parse(int argc, char **argv, const struct opt *opts, size_t nopts, struct ix_strv *operands, struct ix_err *err)
{
	for (int i = 1; i < argc; i++) {
		int r = 0;

		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				ix_strv_add(operands, argv[i]);
		} else if (argv[i][0] == '-' && argv[i][1] == '-') {
			r = long_option(opts, nopts, argc, argv, &i, err);
		} else if (argv[i][0] == '-' && argv[i][1]) {
			r = short_options(opts, nopts, argc, argv, &i, err);
		} else {
			ix_strv_add(operands, argv[i]);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static void opt_help(const struct opt *opts, size_t nopts)
{
	printf("\nOptions:\n");
	for (size_t i = 0; i < nopts; i++) {
		ix_auto_free char *left = ix_asprintf("--%s%s%s", opts[i].name, opts[i].arg ? " " : "", opts[i].arg ? opts[i].arg : "");

		if (opts[i].letter)
			printf("  -%c, %-26s %s\n", opts[i].letter, left, opts[i].help);
		else
			printf("      %-26s %s\n", left, opts[i].help);
	}
}

void command_help(const struct command *command, const char *text, const struct opt *opts, size_t nopts)
{
	printf("Usage: ix %s [OPTIONS] %s\n\n%s\n", command->name, command->operands, text);
	opt_help(opts, nopts);
}
