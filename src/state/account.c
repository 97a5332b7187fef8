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

/* So many digits tell files apart; what the key was made of is the digest of the whole tree. A longer list is kept apart. */
enum { ENTRY_HEX = 20, LIST_INLINE = 64 };

/* What an entry is, in a few bytes: "644 <digest>", "755/" for a directory, "-> target" for a link. */
static json_t *entry_json(const struct ix_entry *entry)
{
	char hex[IX_DIGEST_HEX + 1];

	if (S_ISREG(entry->mode))
		return json_sprintf("%o %.*s", entry->mode & 07777, ENTRY_HEX, ix_digest_hex(&entry->digest, hex));
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

static int dump(const char *bytes, size_t len, void *data)
{
	ix_buf_put(data, bytes, len);
	return 0;
}

static void write_json_take(json_t *json, struct ix_buf *buf)
{
	if (json_dump_callback(json, dump, buf, JSON_COMPACT | JSON_SORT_KEYS) < 0)
		ix_bug("cannot write an account");
	json_decref(json);
}

static int put_files(json_t *source, const struct ix_selection *files, const struct ix_account_opts *opts, struct ix_err *err)
{
	json_t *entries = files_json(files);
	ix_auto_buf list = { 0 };
	struct ix_digest digest;

	json_object_set_new(source, "digest", digest_json(&files->digest));
	if (!opts->put_list || files->nentries <= LIST_INLINE) {
		json_object_set_new(source, "entries", entries);
		return 0;
	}
	write_json_take(entries, &list);
	if (opts->put_list(opts->data, &list, &digest, err) < 0)
		return -(int)err->code;
	json_object_set_new(source, "list", digest_json(&digest));
	return 0;
}

static json_t *layer_json(const struct ix_step_made *made)
{
	return json_pack("{s:o, s:I, s:o, s:o, s:s}", "blob", digest_json(&made->blob), "size", (json_int_t)made->size, "diff_id",
			 digest_json(&made->diff_id), "content", digest_json(&made->content), "media_type", made->media_type);
}

static int step_json(const struct ix_state *state, const struct ix_stage *stage, size_t i, const struct ix_account_opts *opts,
		     json_t *steps, struct ix_err *err)
{
	const struct ix_step *step = &stage->steps[i];
	json_t *json = json_pack("{s:o, s:o}", "text", text_or_null(step->text), "key", digest_json(ix_state_step_key(state, stage, i)));
	json_t *sources = json_array();
	const struct ix_step_made *made = opts->steps ? &opts->steps[i] : NULL;
	int r = 0;
	size_t n = step->kind == IX_STEP_RUN ? step->nmounts : step->nwords;

	json_array_append_new(steps, json);
	if (made && made->second)
		json_object_set_new(json, "second", digest_json(made->second));
	if (made && made->has_layer)
		json_object_set_new(json, "layer", layer_json(made));
	if (step->nargs > 0)
		json_object_set_new(json, "args", args_json(state, step));
	for (size_t j = 0; j < n && r == 0; j++) {
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
		if (step->kind == IX_STEP_RUN && step->mounts[j].kind == IX_MOUNT_SECRET) {
			const char *salted = state->stages[stage->index]->steps[i].selections[j].identity;

			if (salted)
				json_array_append_new(sources, json_pack("{s:s?, s:s}", "secret", step->mounts[j].id, "salted", salted));
			continue;
		}
		if (from->kind == IX_SOURCE_SCRATCH)
			continue;
		source = source_json(state, from);
		json_object_set_new(source, "path", text_or_null(path));
		if (files)
			r = put_files(source, files, opts, err);
		json_array_append_new(sources, source);
	}
	if (json_array_size(sources) > 0)
		json_object_set_new(json, "sources", sources);
	else
		json_decref(sources);
	return r;
}

static void put_digest(json_t *json, const char *name, const struct ix_digest *digest)
{
	if (digest)
		json_object_set_new(json, name, digest_json(digest));
}

int ix_state_account(const struct ix_state *state, const struct ix_stage *stage, const struct ix_account_opts *opts, struct ix_buf *json,
		     struct ix_err *err)
{
	json_t *account =
		json_pack("{s:i, s:i, s:s, s:s, s:o, s:o}", "format", 1, "key_format", KEY_FORMAT, "stage", stage->name, "platform",
			  stage->platform, "key", digest_json(ix_state_stage_key(state, stage)), "base", source_json(state, &stage->base));
	json_t *steps = json_array();
	json_t *labels = json_object();
	int r = 0;

	put_digest(account, "output", opts->output);
	put_digest(account, "second", opts->second);
	put_digest(account, "same_as", opts->same_as);
	for (size_t i = 0; i < stage->nsteps && r == 0; i++)
		r = step_json(state, stage, i, opts, steps, err);
	json_object_set_new(account, "steps", steps);
	for (size_t i = 0; i < stage->nlabels; i++)
		json_object_set_new(labels, stage->labels[2 * i], text_or_null(stage->labels[2 * i + 1]));
	json_object_set_new(account, "labels", labels);
	write_json_take(account, json);
	return r;
}
