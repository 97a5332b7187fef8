#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "why_int.h"

/*
 * Two lists of instructions are laid side by side: what says the same stands in one row, what changed stands beside the instruction of the same
 * kind that it was, and what is left came or went.
 */

enum { TABLE_MAX = 4000000 };

struct sides {
	const json_t *then, *now;
	size_t *then_of; /* by instruction of now: the one it was, + 1; 0: none */
	bool *used;      /* by instruction of then */
	size_t nthen, nnow;
};

static bool same(const struct sides *sides, size_t i, size_t j)
{
	const char *a = why_text(json_array_get(sides->then, i), "own"), *b = why_text(json_array_get(sides->now, j), "own");

	return *a && strcmp(a, b) == 0;
}

static void pair(struct sides *sides, size_t i, size_t j)
{
	sides->then_of[j] = i + 1;
	sides->used[i] = true;
}

/* The longest common subsequence between the two, both half open. */
static void align(struct sides *sides, size_t i0, size_t i1, size_t j0, size_t j1)
{
	size_t n = i1 - i0, m = j1 - j0, i = 0, j = 0;
	ix_auto_free uint32_t *length = NULL;

	if (n == 0 || m == 0 || n > TABLE_MAX / m)
		return;
	length = ix_calloc((n + 1) * (m + 1), sizeof(*length));
	for (size_t a = n; a-- > 0;) {
		for (size_t b = m; b-- > 0;) {
			uint32_t down = length[(a + 1) * (m + 1) + b], right = length[a * (m + 1) + b + 1];

			length[a * (m + 1) + b] = same(sides, i0 + a, j0 + b) ? length[(a + 1) * (m + 1) + b + 1] + 1
						  : down > right              ? down
									      : right;
		}
	}
	while (i < n && j < m) {
		if (same(sides, i0 + i, j0 + j))
			pair(sides, i0 + i++, j0 + j++);
		else if (length[(i + 1) * (m + 1) + j] >= length[i * (m + 1) + j + 1])
			i++;
		else
			j++;
	}
}

static void find_same(struct sides *sides)
{
	size_t first = 0, i = sides->nthen, j = sides->nnow;

	for (; first < i && first < j && same(sides, first, first); first++)
		pair(sides, first, first);
	for (; i > first && j > first && same(sides, i - 1, j - 1); i--, j--)
		pair(sides, i - 1, j - 1);
	align(sides, first, i, first, j);
}

static bool same_word(const json_t *a, const json_t *b)
{
	const char *x = why_text(a, "text"), *y = why_text(b, "text");
	size_t n = strcspn(x, " ");

	return n == strcspn(y, " ") && strncmp(x, y, n) == 0;
}

/* ARG lines say nothing themselves; their values are told of where they are seen. */
static bool is_arg(const json_t *step)
{
	return !*why_text(step, "own");
}

/* Between two rows: each of now with the first of then that is of the same kind. */
static void find_changed(struct sides *sides)
{
	size_t from = 0;

	for (size_t j = 0; j < sides->nnow; j++) {
		const json_t *now = json_array_get(sides->now, j);
		size_t until = sides->nthen;

		if (sides->then_of[j]) {
			from = sides->then_of[j];
			continue;
		}
		for (size_t k = j + 1; k < sides->nnow && until == sides->nthen; k++)
			if (sides->then_of[k])
				until = sides->then_of[k] - 1;
		for (size_t i = from; i < until && !is_arg(now); i++) {
			const json_t *then = json_array_get(sides->then, i);

			if (sides->used[i] || is_arg(then) || !same_word(then, now))
				continue;
			pair(sides, i, j);
			from = i + 1;
			break;
		}
	}
}

/* The first word and what it works on: "COPY src/ ./src" is known by "COPY src/". */
static char *step_name(const char *text)
{
	size_t first = strcspn(text, " "), second = first;

	while (text[second] == ' ') {
		size_t start = second + 1;

		second = start + strcspn(text + start, " ");
		if (text[start] != '-')
			break;
	}
	return second > 48 ? ix_asprintf("%.47s…", text) : ix_strndup(text, second);
}

static void tell(struct reasons *reasons, const char *what, const json_t *step)
{
	ix_auto_free char *shown = ix_printable(why_text(step, "text"), 60);

	because(reasons, "instruction %s: %s", what, shown);
}

static void diff_step(const json_t *then, const json_t *now, struct reasons *reasons)
{
	ix_auto_free char *name = step_name(why_text(now, "text"));
	ix_auto_free char *shown = ix_printable(name, 120);
	bool same_own = strcmp(why_text(then, "own"), why_text(now, "own")) == 0;
	bool reworded = !same_own && strcmp(why_text(then, "text"), why_text(now, "text")) != 0;

	if (reworded)
		tell(reasons, "changed", now);
	diff_args(json_object_get(then, "args"), json_object_get(now, "args"), reworded, reasons);
	diff_settings(json_object_get(then, "settings"), json_object_get(now, "settings"), reasons);
	if (!same_own)
		diff_sources(shown, json_object_get(then, "sources"), json_object_get(now, "sources"), reasons);
}

void diff_steps(const json_t *then, const json_t *now, struct reasons *reasons)
{
	struct sides sides = { .then = then, .now = now, .nthen = json_array_size(then), .nnow = json_array_size(now) };
	size_t next = 0;

	sides.then_of = ix_calloc(sides.nnow + 1, sizeof(*sides.then_of));
	sides.used = ix_calloc(sides.nthen + 1, sizeof(*sides.used));
	find_same(&sides);
	find_changed(&sides);
	/* In the order of the Dockerfile: what went stood before what follows it. */
	for (size_t j = 0; j <= sides.nnow; j++) {
		size_t until = j == sides.nnow ? sides.nthen : sides.then_of[j] ? sides.then_of[j] - 1 : next;

		for (; next < until; next++)
			if (!sides.used[next] && !is_arg(json_array_get(then, next)))
				tell(reasons, "removed", json_array_get(then, next));
		if (j < sides.nnow && sides.then_of[j])
			diff_step(json_array_get(then, sides.then_of[j] - 1), json_array_get(now, j), reasons);
		else if (j < sides.nnow && !is_arg(json_array_get(now, j)))
			tell(reasons, "added", json_array_get(now, j));
	}
	free(sides.then_of);
	free(sides.used);
}
