#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "io/digest.h"
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

/* --- sources --- */

/* An inner stage is known by its name without its owner's: two stages of a project may share a Dockerfile, and come out the same. */
static const char *name_of(const struct ix_stage *stage)
{
	const char *dot = stage->inner ? strrchr(stage->name, '.') : NULL;

	return stage->inner && stage->alias ? stage->alias : dot ? dot + 1 : stage->name;
}

static json_t *stage_json(const struct ix_state *state, const struct ix_stage *stage)
{
	const struct stage_state *known = state_of(state, stage);
	json_t *json =
		json_pack("{s:s, s:o, s:o}", "stage", name_of(stage), "key", digest_json(&known->key), "files", digest_json(&known->files));

	if (stage->inner)
		json_object_set_new(json, "inner", json_true());
	return json;
}

static json_t *source_json(const struct ix_state *state, const struct ix_source *source)
{
	const struct ix_digest *digest;

	switch (source->kind) {
	case IX_SOURCE_STAGE:
		return stage_json(state, source->stage);
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
		ix_auto_free char *target = ix_printable(entry->link, 4096);

		return json_sprintf("-> %s", target);
	}
	return json_sprintf("%o%s", entry->mode & 07777, S_ISDIR(entry->mode) ? "/" : "");
}

/* Without the selected directory itself where only what is in it is copied. */
static json_t *files_json(const struct ix_selection *files, bool contents)
{
	json_t *json = json_object();

	for (size_t i = 0; i < files->nentries; i++) {
		const struct ix_entry *entry = &files->entries[i];
		ix_auto_free char *shown = NULL;

		if (!entry->path[0] || (contents && S_ISDIR(entry->mode) && !entry->name[0]))
			continue;
		shown = ix_utf8_valid(entry->path, strlen(entry->path)) == strlen(entry->path) ? ix_strdup(entry->path)
											       : ix_printable(entry->path, 4096);
		json_object_set_new(json, shown, entry_json(entry));
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

static int put_files(json_t *source, const struct ix_selection *files, bool contents, const struct ix_account_opts *opts,
		     struct ix_err *err)
{
	json_t *entries = files_json(files, contents);
	ix_auto_buf list = { 0 };
	struct ix_digest digest;
	int r;

	json_object_set_new(source, "digest", digest_json(&files->digest));
	if (!opts->put_list || files->nentries <= LIST_INLINE) {
		json_object_set_new(source, "entries", entries);
		return 0;
	}
	write_json_take(entries, &list);
	r = opts->put_list(opts->data, &list, &digest, err);
	if (r == 0)
		json_object_set_new(source, "list", digest_json(&digest));
	return r;
}

/* One source word or mount of a step, appended. */
static int put_source(const struct ix_state *state, const struct ix_stage *stage, size_t i, size_t j, const struct ix_account_opts *opts,
		      json_t *sources, struct ix_err *err)
{
	const struct ix_step *step = &stage->steps[i];
	const struct step_state *known = &state_of(state, stage)->steps[i];
	const struct ix_mount *mount = step->kind == IX_STEP_RUN ? &step->mounts[j] : NULL;
	const struct ix_selection *files = ix_state_selection(state, stage, i, j);
	const char *identity = j < known->nselections ? known->selections[j].identity : NULL;
	const struct ix_source *from = mount ? &mount->from : &step->from;
	const char *path = mount ? mount->source : step->words[j];
	json_t *source;
	int r = 0;

	if (step->remotes && step->remotes[j].kind != IX_REMOTE_NONE) {
		json_array_append_new(sources, json_pack("{s:o, s:o}", "url", text_or_null(path), "is", text_or_null(identity)));
		return 0;
	}
	if (mount && mount->kind == IX_MOUNT_SECRET) {
		if (identity)
			json_array_append_new(sources, json_pack("{s:s?, s:s}", "secret", mount->id, "salted", identity));
		return 0;
	}
	if (from->kind == IX_SOURCE_SCRATCH || (!mount && step->ndocs > 0 && ix_starts(path, "<<")))
		return 0;
	source = source_json(state, from);
	json_object_set_new(source, "path", text_or_null(path));
	if (files)
		r = put_files(source, files, !mount && !step->parents, opts, err);
	json_array_append_new(sources, source);
	return r;
}

static int put_sources(const struct ix_state *state, const struct ix_stage *stage, size_t i, const struct ix_account_opts *opts,
		       json_t *json, struct ix_err *err)
{
	const struct ix_step *step = &stage->steps[i];
	json_t *sources = json_array();
	size_t n = step->kind == IX_STEP_RUN ? step->nmounts : step->nwords;
	int r = 0;

	if (step->kind != IX_STEP_COPY && step->kind != IX_STEP_ADD && step->kind != IX_STEP_RUN)
		n = 0;
	for (size_t j = 0; j < n && r == 0; j++)
		r = put_source(state, stage, i, j, opts, sources, err);
	if (json_array_size(sources) > 0)
		json_object_set_new(json, "sources", sources);
	else
		json_decref(sources);
	return r;
}

/* --- what a step sees --- */

/* Without those that have no value, or that an ENV line hides. */
/* What only tells whether it is another one: a record may be read by more people than a secret. */
static json_t *hidden_value(const char *name, const char *value)
{
	enum { NAME = 1, VALUE };
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	struct ix_digest digest;
	char hex[IX_DIGEST_HEX + 1];

	ix_hash_text(hash, NAME, name);
	ix_hash_text(hash, VALUE, value);
	ix_hash_final(hash, &digest);
	return json_sprintf("(hidden %.6s)", ix_digest_hex(&digest, hex));
}

static json_t *arg_json(const struct ix_state *state, const struct ix_arg *arg)
{
	if (arg->link)
		return stage_json(state, arg->link);
	return ix_names_secret(arg->name) ? hidden_value(arg->name, arg->value) : text_or_null(arg->value);
}

static json_t *args_json(const struct ix_state *state, const struct ix_step *step)
{
	json_t *json = json_object();

	for (size_t i = 0; i < step->nargs; i++) {
		const struct ix_arg *arg = &step->args[i];

		if (arg->link || arg->value)
			json_object_set_new(json, arg->name, arg_json(state, arg));
	}
	return json;
}

static json_t *network_json(enum ix_network network)
{
	static const char *const names[] = { "default", "none", "host" };

	return json_string(names[network]);
}

/* The settings of a RUN that are not the defaults, by the table they are defined by. */
static json_t *settings_json(const struct ix_run_spec *spec)
{
	static const struct ix_run_spec plain = IX_RUN_SPEC_INIT;
	json_t *json = json_object();

#define PUT_NUMBER(type, name, what)                                                                                                       \
	if (spec->name != plain.name)                                                                                                      \
		json_object_set_new(json, what,                                                                                            \
				    strcmp(what, "network") == 0 ? network_json((enum ix_network)spec->name)                               \
								 : json_integer((json_int_t)spec->name));
#define PUT_TEXT(name, what)                                                                                                               \
	if (spec->name)                                                                                                                    \
		json_object_set_new(json, what, text_or_null(spec->name));
#define PUT_LIST(type, name, what, print)                                                                                                  \
	for (size_t i = 0; i < spec->n##name; i++) {                                                                                       \
		ix_auto_free char *text = print(&spec->name[i]);                                                                           \
		if (!json_object_get(json, what))                                                                                          \
			json_object_set_new(json, what, json_array());                                                                     \
		json_array_append_new(json_object_get(json, what), text_or_null(text));                                                    \
	}
	IX_RUN_SPEC(PUT_NUMBER, PUT_TEXT, PUT_LIST)
#undef PUT_NUMBER
#undef PUT_TEXT
#undef PUT_LIST
	return json;
}

/* --- steps --- */

/* As people know it: the word in capitals, one blank where blanks say nothing. Of a RUN only the command's own text is left alone. */
static char *step_text(const struct ix_step *step)
{
	const char *rest = step->text + strcspn(step->text, " \t");
	bool literal = step->kind == IX_STEP_RUN || step->kind == IX_STEP_CMD || step->kind == IX_STEP_ENTRYPOINT;
	ix_auto_buf text = { 0 };
	char quote = 0;

	ix_buf_puts(&text, ix_step_word(step->kind));
	ix_buf_putc(&text, ' ');
	for (rest += strspn(rest, " \t"); *rest; rest++) {
		bool blank = !quote && !literal && (*rest == ' ' || *rest == '\t');

		if ((*rest == '"' || *rest == '\'') && (!quote || quote == *rest))
			quote = quote ? 0 : *rest;
		if (!blank || (rest[1] != ' ' && rest[1] != '\t'))
			ix_buf_putc(&text, blank ? ' ' : *rest);
	}
	return ix_buf_steal(&text);
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
	const struct step_state *known = &state_of(state, stage)->steps[i];
	ix_auto_free char *text = step_text(step);
	json_t *json = json_pack("{s:o, s:o}", "text", text_or_null(text), "key", digest_json(&known->key));
	const struct ix_step_made *made = opts->steps ? &opts->steps[i] : NULL;
	json_t *settings;

	json_array_append_new(steps, json);
	if (step->kind != IX_STEP_ARG)
		json_object_set_new(json, "own", digest_json(&known->own));
	if (made && made->second)
		json_object_set_new(json, "second", digest_json(made->second));
	if (made && made->has_layer)
		json_object_set_new(json, "layer", layer_json(made));
	if (step->nargs > 0 && step->kind != IX_STEP_ARG)
		json_object_set_new(json, "args", args_json(state, step));
	if (step->kind == IX_STEP_RUN) {
		settings = settings_json(&step->run);
		if (json_object_size(settings) > 0)
			json_object_set(json, "settings", settings);
		json_decref(settings);
	}
	return put_sources(state, stage, i, opts, json, err);
}

/* --- stages --- */

/* How the key of one stage came about. */
static int describe(const struct ix_state *state, const struct ix_stage *stage, const struct ix_account_opts *opts, json_t *account,
		    struct ix_err *err)
{
	json_t *steps = json_array(), *labels = json_object();
	int r = 0;

	json_object_set_new(account, "platform", json_string(stage->platform));
	json_object_set_new(account, "key", digest_json(ix_state_stage_key(state, stage)));
	json_object_set_new(account, "base", source_json(state, &stage->base));
	json_object_set_new(account, "steps", steps);
	for (size_t i = 0; i < stage->nlabels; i++)
		json_object_set_new(labels, stage->labels[2 * i], text_or_null(stage->labels[2 * i + 1]));
	json_object_set_new(account, "labels", labels);
	if (stage->epoch >= 0)
		json_object_set_new(account, "epoch", json_integer(stage->epoch));
	for (size_t i = 0; i < stage->nsteps && r == 0; i++)
		r = step_json(state, stage, i, opts, steps, err);
	return r;
}

/* The inner stages that a stage is made of stand in its account, because nobody else has one of them. */
static int put_inner(const struct ix_state *state, const struct ix_stage *stage, const struct ix_account_opts *opts, json_t *account,
		     struct ix_err *err)
{
	const struct ix_account_opts whole = { .put_list = opts->put_list, .data = opts->data };
	ix_auto_parts parts = { 0 };
	json_t *inner = json_object();
	int r = 0;

	ix_stage_parts(stage, &parts);
	for (size_t i = 0; i < parts.ninner && r == 0; i++) {
		const struct ix_stage *part = parts.inner[i];
		json_t *json = json_pack("{s:o, s:I}", "file", text_or_null(part->pos.file), "line", (json_int_t)part->pos.line);

		json_object_set_new(inner, name_of(part), json);
		r = describe(state, part, &whole, json, err);
	}
	if (json_object_size(inner) > 0)
		json_object_set(account, "inner", inner);
	json_decref(inner);
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
	json_t *account = json_pack("{s:i, s:i, s:s}", "format", 1, "key_format", KEY_FORMAT, "stage", stage->name);
	int r;

	put_digest(account, "output", opts->output);
	put_digest(account, "second", opts->second);
	if (opts->log)
		json_object_set_new(account, "log", json_stringn(opts->log->data, opts->log->len));
	put_digest(account, "same_as", opts->same_as);
	r = describe(state, stage, opts, account, err);
	if (r == 0 && !stage->inner)
		r = put_inner(state, stage, opts, account, err);
	write_json_take(account, json);
	return r;
}
