#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "state_int.h"

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();

	/* Bytes that are not UTF-8 cannot stand in JSON as they are. */
	if (!json) {
		ix_auto_buf hex = { 0 };
		char *room = ix_buf_reserve(&hex, 2 * strlen(text) + 1);

		ix_hex(text, strlen(text), room);
		json = json_sprintf("hex:%s", room);
	}
	return json;
}

static json_t *digest_json(const struct ix_digest *digest)
{
	char text[IX_DIGEST_TEXT];

	return json_string(ix_digest_text(digest, text));
}

static json_t *source_json(const struct ix_state *state, const struct ix_source *source)
{
	const struct ix_digest *digest;

	switch (source->kind) {
	case IX_SOURCE_STAGE:
		return json_pack("{s:s, s:o}", "stage", source->stage->name, "key", digest_json(ix_state_stage_key(state, source->stage)));
	case IX_SOURCE_IMAGE:
	case IX_SOURCE_LAYOUT:
		digest = ix_state_image(state, source);
		return json_pack("{s:o, s:o}", "image", text_or_null(source->text), "digest", digest ? digest_json(digest) : json_null());
	case IX_SOURCE_DIR:
		return json_pack("{s:s}", "files", "context");
	case IX_SOURCE_SCRATCH:
		break;
	}
	return json_pack("{s:b}", "scratch", 1);
}

/* What an entry is, in a few bytes: "644 <digest>", "755/" for a directory, "-> target" for a link. */
static json_t *entry_json(const struct ix_entry *entry)
{
	char hex[IX_DIGEST_HEX + 1];

	if (S_ISREG(entry->mode))
		return json_sprintf("%o %s", entry->mode & 07777, ix_digest_hex(&entry->digest, hex));
	if (S_ISLNK(entry->mode)) {
		json_t *json = json_sprintf("-> %s", entry->link);

		return json ? json : json_string("-> ?");
	}
	return json_sprintf("%o%s", entry->mode & 07777, S_ISDIR(entry->mode) ? "/" : "");
}

static json_t *files_json(const struct ix_selection *files)
{
	json_t *json = json_object();

	for (size_t i = 0; i < files->nentries; i++) {
		const struct ix_entry *entry = &files->entries[i];

		if (entry->path[0] && json_object_set_new(json, entry->path, entry_json(entry)) < 0) {
			ix_auto_free char *shown = ix_printable(entry->path, 4096);

			(void)json_object_set_new(json, shown, entry_json(entry));
		}
	}
	return json;
}

static json_t *args_json(const struct ix_state *state, const struct ix_step *step)
{
	json_t *json = json_object();

	for (size_t i = 0; i < step->nargs; i++) {
		const struct ix_arg *arg = &step->args[i];

		json_object_set_new(json, arg->name,
				    arg->link ? json_pack("{s:s, s:o}", "stage", arg->link->name, "key",
							  digest_json(ix_state_stage_key(state, arg->link)))
					      : text_or_null(arg->value));
	}
	return json;
}

static json_t *step_json(const struct ix_state *state, const struct ix_stage *stage, size_t i)
{
	const struct ix_step *step = &stage->steps[i];
	json_t *json = json_pack("{s:o, s:o}", "text", text_or_null(step->text), "key", digest_json(ix_state_step_key(state, stage, i)));
	json_t *sources = json_array();
	size_t n = step->kind == IX_STEP_RUN ? step->nmounts : step->nwords;

	if (step->nargs > 0)
		json_object_set_new(json, "args", args_json(state, step));
	for (size_t j = 0; j < n; j++) {
		const struct ix_selection *files = ix_state_selection(state, stage, i, j);
		const struct ix_source *from = step->kind == IX_STEP_RUN ? &step->mounts[j].from : &step->from;
		const char *path = step->kind == IX_STEP_RUN ? step->mounts[j].source : step->words[j];
		json_t *source;

		if (step->kind != IX_STEP_COPY && step->kind != IX_STEP_ADD && step->kind != IX_STEP_RUN)
			break;
		if (step->remotes && step->remotes[j].kind != IX_REMOTE_NONE) {
			const char *identity = state->stages[stage->index]->steps[i].selections[j].identity;

			json_array_append_new(sources, json_pack("{s:o, s:o}", "url", text_or_null(path), "is", text_or_null(identity)));
			continue;
		}
		if (from->kind == IX_SOURCE_SCRATCH)
			continue;
		source = source_json(state, from);
		json_object_set_new(source, "path", text_or_null(path));
		if (files) {
			json_object_set_new(source, "digest", digest_json(&files->digest));
			json_object_set_new(source, "entries", files_json(files));
		}
		json_array_append_new(sources, source);
	}
	if (json_array_size(sources) > 0)
		json_object_set_new(json, "sources", sources);
	else
		json_decref(sources);
	return json;
}

static int dump(const char *bytes, size_t len, void *data)
{
	ix_buf_put(data, bytes, len);
	return 0;
}

void ix_state_account(const struct ix_state *state, const struct ix_stage *stage, struct ix_buf *json)
{
	json_t *account = json_pack("{s:i, s:s, s:s, s:o, s:o}", "format", 1, "stage", stage->name, "platform", stage->platform, "key",
				    digest_json(ix_state_stage_key(state, stage)), "base", source_json(state, &stage->base));
	json_t *steps = json_array();
	json_t *labels = json_object();

	for (size_t i = 0; i < stage->nsteps; i++)
		json_array_append_new(steps, step_json(state, stage, i));
	json_object_set_new(account, "steps", steps);
	for (size_t i = 0; i < stage->nlabels; i++)
		json_object_set_new(labels, stage->labels[2 * i], text_or_null(stage->labels[2 * i + 1]));
	json_object_set_new(account, "labels", labels);
	if (json_dump_callback(account, dump, json, JSON_COMPACT | JSON_SORT_KEYS) < 0)
		ix_bug("cannot write an account");
	json_decref(account);
}
