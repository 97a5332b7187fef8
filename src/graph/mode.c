#include <string.h>
#include <sys/stat.h>

#include "graph/graph.h"

/*
 * --chmod: octal, or clauses of chmod(1), "u=rwX,go=rX". Clauses are kept as they are parsed and applied to each file, because what X and
 * "g=u" mean depends on it.
 */

enum { WHO_U = 1, WHO_G = 2, WHO_O = 4, WHO_ALL = 7 };

static const char *parse_who(const char *at, unsigned *who)
{
	for (*who = 0; *at && strchr("ugoa", *at); at++)
		*who |= *at == 'u' ? WHO_U : *at == 'g' ? WHO_G : *at == 'o' ? WHO_O : WHO_ALL;
	if (*who == 0)
		*who = WHO_ALL;
	return at;
}

static const char *parse_perms(const char *at, struct ix_mode_clause *clause)
{
	for (; *at && strchr("rwxXstugo", *at); at++) {
		switch (*at) {
		case 'r':
			clause->bits |= 4;
			break;
		case 'w':
			clause->bits |= 2;
			break;
		case 'x':
			clause->bits |= 1;
			break;
		case 'X':
			clause->search = true;
			break;
		case 's':
			clause->set_id = true;
			break;
		case 't':
			clause->sticky = true;
			break;
		default:
			clause->copy = *at;
		}
	}
	return at;
}

static bool parse_symbolic(const char *at, struct ix_mode_change *change)
{
	for (;;) {
		unsigned who;

		at = parse_who(at, &who);
		if (!*at || !strchr("+-=", *at))
			return false;
		while (*at && strchr("+-=", *at)) {
			struct ix_mode_clause *clause = &change->clauses[change->nclauses++];

			if (change->nclauses > IX_MODE_CLAUSES_MAX - 1)
				return false;
			*clause = (struct ix_mode_clause){ .who = who, .op = *at };
			at = parse_perms(at + 1, clause);
		}
		if (!*at)
			return true;
		if (*at++ != ',')
			return false;
	}
}

bool ix_mode_parse(const char *text, struct ix_mode_change *ret_change)
{
	*ret_change = (struct ix_mode_change){ .given = true };
	if (*text && strspn(text, "01234567") == strlen(text)) {
		for (; *text; text++) {
			ret_change->octal = ret_change->octal * 8 + (unsigned)(*text - '0');
			if (ret_change->octal > 07777)
				return false;
		}
		return true;
	}
	return *text && parse_symbolic(text, ret_change);
}

static unsigned bits_of(const struct ix_mode_clause *clause, unsigned mode, bool is_dir)
{
	unsigned bits = clause->bits;

	if (clause->search && (is_dir || (mode & 0111)))
		bits |= 1;
	if (clause->copy)
		bits |= mode >> (clause->copy == 'u' ? 6 : clause->copy == 'g' ? 3 : 0) & 7;
	return bits;
}

static unsigned apply_clause(const struct ix_mode_clause *clause, unsigned mode, bool is_dir)
{
	unsigned bits = bits_of(clause, mode, is_dir), value = 0, mask = 0;

	if (clause->who & WHO_U) {
		value |= bits << 6 | (clause->set_id ? (unsigned)S_ISUID : 0);
		mask |= 0700 | S_ISUID;
	}
	if (clause->who & WHO_G) {
		value |= bits << 3 | (clause->set_id ? (unsigned)S_ISGID : 0);
		mask |= 070 | S_ISGID;
	}
	if (clause->who & WHO_O) {
		value |= bits;
		mask |= 07;
	}
	if (clause->sticky)
		value |= S_ISVTX;
	if (clause->who == WHO_ALL)
		mask |= S_ISVTX;
	if (clause->op == '+')
		return mode | value;
	return clause->op == '-' ? mode & ~value : (mode & ~mask) | value;
}

uint32_t ix_mode_apply(const struct ix_mode_change *change, uint32_t mode)
{
	unsigned bits = mode & 07777;

	if (!change->given || S_ISLNK(mode))
		return mode;
	if (change->nclauses == 0)
		return (mode & S_IFMT) | change->octal;
	for (size_t i = 0; i < change->nclauses; i++)
		bits = apply_clause(&change->clauses[i], bits, S_ISDIR(mode));
	return (mode & S_IFMT) | bits;
}
