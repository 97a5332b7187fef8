#include "lower_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/str.h"
#include "syntax/syntax.h"

/* docker.io/library/alpine:latest is alpine, as people write it. */
static char *familiar(const char *name)
{
	size_t len;

	if (ix_starts(name, "docker.io/"))
		name += 10;
	if (ix_starts(name, "library/"))
		name += 8;
	len = strlen(name);
	return ix_strndup(name, ix_ends(name, ":latest") ? len - 7 : len);
}

static const struct ix_named_context *find_context(const struct lower *self, const char *name)
{
	ix_auto_free char *wanted = familiar(name);

	for (size_t i = 0; i < self->opts->ncontexts; i++) {
		ix_auto_free char *known = familiar(self->opts->contexts[i].name);

		if (ix_strcaseeq(known, wanted))
			return &self->opts->contexts[i];
	}
	return NULL;
}

/* One for the platform, "name::linux/arm64", goes before one for all. */
static const struct ix_named_context *named_context(const struct lower *self, const char *name, const char *platform)
{
	/* These are nobody's to name. */
	if (ix_strcaseeq(name, "scratch") || ix_strcaseeq(name, "context"))
		return NULL;
	ix_auto_free char *particular = platform ? ix_asprintf("%s::%s", name, platform) : NULL;
	const struct ix_named_context *found = particular ? find_context(self, particular) : NULL;

	return found ? found : find_context(self, name);
}

/* An inner stage before limit by name (the last one of that name) or, where numbers count, by number. Numbers count where a name may be written
 * in any case; what FROM names is a reference, which is in lower case, as the name is known. */
bool lower_inner_stage(const struct lower *self, const char *name, size_t limit, bool numbers, size_t *ret_index)
{
	uint64_t n;

	for (size_t i = limit; i-- > 0;) {
		const char *known = self->file->stages[i].name;

		if (known && (numbers ? ix_strcaseeq(known, name) : strcmp(known, name) == 0)) {
			*ret_index = i;
			return true;
		}
	}
	if (numbers && ix_parse_u64(name, SIZE_MAX, &n) && n < limit) {
		*ret_index = (size_t)n;
		return true;
	}
	return false;
}

static struct ix_stage *project_stage(struct lower *self, const char *name)
{
	bool bad = false;
	struct ix_stage *stage;

	self->err->code = IX_OK;
	if (!self->opts->find_stage)
		return NULL;
	stage = self->opts->find_stage(self->opts->data, name, &bad, self->err);
	return bad ? NULL : stage;
}

/* "stage:NAME" as a whole. 1: it is one, and *ret_stage is set; 0: it is not. */
int lower_stage_link(struct lower *self, const char *text, const struct ix_pos *pos, struct ix_stage **ret_stage)
{
	const char *near = NULL;
	size_t n = 0;

	if (!ix_starts(text, "stage:"))
		return 0;
	*ret_stage = project_stage(self, text + 6);
	if (*ret_stage)
		return 1;
	if (self->err->code != IX_OK)
		return lower_failed(self);
	if (!self->opts->find_stage)
		return 0; /* a lone Dockerfile: it is an image named "stage" */
	while (self->opts->stage_names && self->opts->stage_names[n])
		n++;
	near = ix_nearest(text + 6, self->opts->stage_names, n);
	return ix_df_err(self->file, self->err, pos,
			 near ? "no stage '%s' in the project (did you mean %s?); a stage link has to stand alone"
			      : "no stage '%s' in the project; a stage link has to stand alone",
			 text + 6, near);
}

static int bad_reference(struct lower *self, const char *name, const struct ix_pos *pos)
{
	return ix_df_err(self->file, self->err, pos, "'%s' is no name of an image: [host/]path[:tag][@digest], the path in lower case",
			 name);
}

int lower_check_base(struct lower *self, const char *name, size_t limit, const char *platform, const struct ix_pos *pos)
{
	const char *const *stages = self->opts->stage_names;
	size_t index;

	if (ix_df_reference_valid(name) || ix_starts(name, "stage:") || named_context(self, name, platform) ||
	    lower_inner_stage(self, name, limit, false, &index))
		return 0;
	for (size_t i = 0; stages && stages[i]; i++)
		if (strcmp(stages[i], name) == 0)
			return 0;
	return bad_reference(self, name, pos);
}

/* What a name in FROM, --from or from= stands for. */
int lower_resolve(struct lower *self, const char *name, size_t limit, bool numbers, const char *platform, const struct ix_pos *pos,
		  struct ix_source *ret_source)
{
	const struct ix_named_context *context = named_context(self, name, platform);
	struct ix_stage *stage = NULL;
	size_t index;
	int r;

	*ret_source = (struct ix_source){ 0 };
	if (context) {
		if (context->pending) {
			r = self->opts->open_context(self->opts->data, context, ret_source, self->err);
			if (r < 0)
				return lower_at(self, pos);
		} else {
			*ret_source = context->source;
		}
		if (ret_source->kind == IX_SOURCE_IMAGE || ret_source->kind == IX_SOURCE_LAYOUT)
			ret_source->platform = platform;
		return 0;
	}
	if (lower_inner_stage(self, name, limit, numbers, &index)) {
		ret_source->kind = IX_SOURCE_STAGE;
		return self->lower_stage(self, index, &ret_source->stage);
	}
	if (strcmp(name, "scratch") == 0)
		return 0;
	r = lower_stage_link(self, name, pos, &stage);
	if (r < 0)
		return r;
	if (!stage && strcmp(name, self->opts->name) != 0) {
		/* A stage that needs its own name means the image of that name. */
		stage = project_stage(self, name);
		if (!stage && self->err->code != IX_OK)
			return lower_failed(self);
	}
	if (stage) {
		ret_source->kind = IX_SOURCE_STAGE;
		ret_source->stage = stage;
		return 0;
	}
	if (!ix_df_reference_valid(name))
		return bad_reference(self, name, pos);
	ret_source->kind = IX_SOURCE_IMAGE;
	ret_source->text = ix_arena_strdup(self->graph->arena, name);
	ret_source->platform = platform;
	return 0;
}
