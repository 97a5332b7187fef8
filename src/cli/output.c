#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/str.h"
#include "build_int.h"
#include "cache/cache.h"
#include "engine/engine.h"
#include "images/images.h"
#include "io/compress.h"
#include "io/digest.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "state/state.h"
#include "store/store.h"

/* --output: where the image goes, and in which form. */

struct output {
	struct ix_strv fields;
	enum { TO_ARCHIVE, TO_REGISTRY, TO_STORE, TO_NOWHERE } where;
	struct ix_export spec;
	struct ix_convert form;
	const char *level; /* of the compression, NULL: its own */
	struct ix_strv annotations;
	struct ix_strv names; /* name=: instead of --tag */
	bool by_digest;
	bool delete; /* LOCAL: what is in the directory goes first */
	bool split;  /* LOCAL: below a directory named after the platform */
};

/* --- fields --- */

struct setting {
	struct output *output;
	const char *value; /* NULL: the field has none */
};

static int truth(const char *name, const char *value, bool *ret_value, struct ix_err *err)
{
	bool yes = !value || ix_strcaseeq(value, "true") || strcmp(value, "1") == 0;

	if (!yes && !ix_strcaseeq(value, "false") && strcmp(value, "0") != 0)
		return ix_err_set(err, IX_EARG, "%s=%s: true or false", name, value);
	*ret_value = yes;
	return 0;
}

static int set_type(struct output *output, const char *value, struct ix_err *err)
{
	static const struct {
		const char *name;
		int where;
		enum ix_export_kind kind;
	} types[] = {
		{ "oci", TO_ARCHIVE, IX_EXPORT_OCI },       { "docker", TO_ARCHIVE, IX_EXPORT_DOCKER },
		{ "tar", TO_ARCHIVE, IX_EXPORT_TAR },       { "local", TO_ARCHIVE, IX_EXPORT_LOCAL },
		{ "registry", TO_REGISTRY, IX_EXPORT_OCI }, { "image", TO_STORE, IX_EXPORT_OCI },
		{ "cacheonly", TO_NOWHERE, IX_EXPORT_OCI },
	};
	const char *names[IX_ARRAY_LEN(types)], *near;

	for (size_t i = 0; i < IX_ARRAY_LEN(types); i++) {
		names[i] = types[i].name;
		if (strcmp(value, types[i].name) == 0) {
			output->where = types[i].where;
			output->spec.kind = types[i].kind;
			return 0;
		}
	}
	near = ix_nearest(value, names, IX_ARRAY_LEN(types));
	return ix_err_set(err, IX_EARG,
			  near ? "type=%s (did you mean %s?)" : "type=%s: oci, docker, tar, local, registry, image or cacheonly", value,
			  near);
}

static void set_names(struct output *output, const char *value)
{
	ix_auto_free char *copy = ix_strdup(value);
	char *rest = copy, *name;

	while ((name = strsep(&rest, " ,")) != NULL)
		if (*name)
			ix_strv_add(&output->names, name);
}

static int set_annotation(struct output *output, const char *key, const char *value, struct ix_err *err)
{
	if (!ix_starts(key, "annotation.") && !ix_starts(key, "annotation-manifest."))
		return ix_err_set(err, IX_EARG, "%s: what is written is a manifest without an index: only its annotations can be set", key);
	ix_pairs_set(&output->annotations, strchr(key, '.') + 1, value);
	return 0;
}

static int set_field(struct output *output, const char *key, const char *value, struct ix_err *err)
{
	static const char *const names[] = { "type",
					     "dest",
					     "tar",
					     "name",
					     "push",
					     "compression",
					     "mode",
					     "push-by-digest",
					     "platform-split",
					     "compression-level",
					     "force-compression",
					     "rewrite-timestamp",
					     "oci-mediatypes" };
	const char *text = value ? value : "";
	bool yes;
	const char *near;

	if (strcmp(key, "type") == 0)
		return set_type(output, text, err);
	if (strcmp(key, "dest") == 0)
		output->spec.dest = text;
	else if (strcmp(key, "name") == 0)
		set_names(output, text);
	else if (strcmp(key, "compression") == 0)
		return output->form.has_compression = true, ix_compression_parse(text, &output->form.compression, err);
	else if (strcmp(key, "compression-level") == 0)
		output->level = text;
	else if (strcmp(key, "mode") == 0 && (strcmp(text, "copy") == 0 || strcmp(text, "delete") == 0))
		output->delete = strcmp(text, "delete") == 0;
	else if (ix_starts(key, "annotation"))
		return set_annotation(output, key, text, err);
	else if (strcmp(key, "push-by-digest") == 0)
		return truth(key, value, &output->by_digest, err);
	else if (strcmp(key, "platform-split") == 0)
		return truth(key, value, &output->split, err);
	else if (strcmp(key, "force-compression") == 0)
		return truth(key, value, &output->form.force, err);
	else if (strcmp(key, "rewrite-timestamp") == 0)
		return truth(key, value, &output->form.rewrite_timestamp, err);
	else if (strcmp(key, "tar") == 0)
		return truth(key, value, &yes, err) < 0 ? -IX_EARG : (output->spec.directory = !yes, 0);
	else if (strcmp(key, "oci-mediatypes") == 0)
		return truth(key, value, &yes, err) < 0 ? -IX_EARG : (output->form.docker_types = !yes, 0);
	else if (strcmp(key, "push") == 0)
		return truth(key, value, &yes, err) < 0 ? -IX_EARG : (output->where = yes ? TO_REGISTRY : output->where, 0);
	else {
		near = ix_nearest(key, names, IX_ARRAY_LEN(names));
		return ix_err_set(err, IX_EARG,
				  near && strcmp(near, key) != 0 ? "'%s' is not supported (did you mean %s?)" : "'%s' is not supported",
				  key, near);
	}
	return 0;
}

static int check(struct output *output, struct ix_err *err)
{
	bool files = output->where == TO_ARCHIVE && (output->spec.kind == IX_EXPORT_LOCAL || output->spec.kind == IX_EXPORT_TAR);

	if (files && (output->form.has_compression || output->form.docker_types || output->annotations.count > 0))
		return ix_err_set(err, IX_EARG, "files have no layers to compress and no annotations");
	if (output->delete &&output->spec.kind != IX_EXPORT_LOCAL)
		return ix_err_set(err, IX_EARG, "mode=delete goes with type=local");
	if (output->split && output->spec.kind != IX_EXPORT_LOCAL)
		return ix_err_set(err, IX_EARG, "platform-split goes with type=local");
	if (output->by_digest && output->where != TO_REGISTRY)
		return ix_err_set(err, IX_EARG, "push-by-digest goes with type=registry or push=true");
	if (output->level && !output->form.has_compression)
		return ix_err_set(err, IX_EARG, "compression-level goes with compression");
	if (output->level && ix_compression_level(output->level, output->form.compression, &output->form.level, err) < 0)
		return ix_err_wrap(err, "compression-level");
	return 0;
}

static int parse(const char *text, struct output *output, struct ix_err *err)
{
	int r;

	if (strcmp(text, "-") == 0) {
		output->spec.kind = IX_EXPORT_TAR;
		return 0;
	}
	if (!strchr(text, '=')) {
		ix_strv_add(&output->fields, text);
		output->spec.kind = IX_EXPORT_LOCAL;
		output->spec.dest = output->fields.items[0];
		return 0;
	}
	ix_csv_fields(text, &output->fields);
	if (!ix_env_get(&output->fields, "type"))
		return ix_err_set(err, IX_EARG, "type is required");
	/* The type first: others depend on it. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < output->fields.count; i++) {
			const char *field = output->fields.items[i], *equals = strchr(field, '=');
			ix_auto_free char *key = equals ? ix_strndup(field, (size_t)(equals - field)) : ix_strdup(field);

			if ((strcmp(key, "type") == 0) == (pass == 0) && (r = set_field(output, key, equals ? equals + 1 : NULL, err)) < 0)
				return r;
		}
	}
	return check(output, err);
}

static struct output *add(struct outputs *outputs)
{
	outputs->items = ix_realloc_array(outputs->items, outputs->count + 1, sizeof(*outputs->items));
	outputs->items[outputs->count] = (struct output){ 0 };
	return &outputs->items[outputs->count++];
}

int outputs_parse(const struct ix_strv *specs, bool push, struct outputs *ret_outputs, struct ix_err *err)
{
	for (size_t i = 0; i < specs->count; i++)
		if (parse(specs->items[i], add(ret_outputs), err) < 0)
			return ix_err_wrap(err, "--output %s", specs->items[i]);
	if (push)
		add(ret_outputs)->where = TO_REGISTRY;
	return 0;
}

void outputs_release(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++) {
		ix_strv_release(&outputs->items[i].fields);
		ix_strv_release(&outputs->items[i].annotations);
		ix_strv_release(&outputs->items[i].names);
	}
	free(outputs->items);
	*outputs = (struct outputs){ 0 };
}

bool outputs_to_stdout(const struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++) {
		const struct output *output = &outputs->items[i];

		if (output->where == TO_ARCHIVE && output->spec.kind != IX_EXPORT_LOCAL && !output->spec.directory &&
		    (!output->spec.dest || strcmp(output->spec.dest, "-") == 0))
			return true;
	}
	return false;
}

/* --- writing --- */

/* The finished image. */
struct product {
	struct session *session;
	const struct ix_image_opts *image;
	const struct ix_plan_stage *planned;
	struct ix_digest manifest;
	const char *ref; /* where its blobs may have to be fetched from, or NULL */
	struct ix_strv names;
	size_t base_layers;
};

static int full_names(const struct ix_strv *given, const char *option, struct ix_strv *names, struct ix_err *err)
{
	for (size_t i = 0; i < given->count; i++) {
		ix_auto_ref ref = { 0 };

		if (ix_ref_parse(given->items[i], &ref, err) < 0)
			return ix_err_wrap(err, "%s %s", option, given->items[i]);
		ix_strv_take(names, ix_ref_text(&ref));
	}
	return 0;
}

static int tag_image(const struct product *product, const struct ix_strv *names, const struct ix_digest *manifest, struct ix_err *err)
{
	struct session *session = product->session;
	ix_auto_manifest parsed = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	int r;

	if (names->count == 0)
		return 0;
	if ((r = ix_cache_image(session->ws->cache, product->ref, manifest, &parsed, &config, err)) < 0 ||
	    (r = ix_blob_read(session->ws->store, manifest, &body, err)) < 0)
		return r;
	for (size_t i = 0; i < names->count; i++)
		if ((r = ix_store_tag(session->ws->store, names->items[i], manifest, parsed.media_type, body.len, err)) < 0)
			return r;
	return 0;
}

static int push(const struct product *product, const struct output *output, const struct ix_strv *names, const struct ix_digest *manifest,
		struct ix_err *err)
{
	char digest[IX_DIGEST_TEXT];
	int r;

	if (names->count == 0)
		return ix_err_set(err, IX_EARG, "pushing needs a name: --tag REGISTRY/NAME");
	for (size_t i = 0; i < names->count; i++) {
		const char *colon = strrchr(names->items[i], ':');
		ix_auto_free char *by_digest =
			ix_asprintf("%.*s@%s",
				    (int)(colon && !strchr(colon, '/') ? colon - names->items[i] : (long)strlen(names->items[i])),
				    names->items[i], ix_digest_text(manifest, digest));
		struct ix_published moved;

		r = ix_cache_publish_name(product->session->ws->cache, output->by_digest ? by_digest : names->items[i], manifest,
					  product->ref, product->planned->stage->name, &moved, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int empty_directory(const char *path, struct ix_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ix_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r;

	while (dir && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && (r = ix_remove_tree(fd, entry->d_name, err)) < 0)
			return r;
	return 0;
}

static int export(const struct product *product, const struct output *output, const struct ix_strv *names, const struct ix_digest *manifest,
		  struct ix_err *err)
{
	struct ix_export spec = output->spec;
	ix_auto_free char *platform = ix_strdup(product->planned->stage->platform);
	ix_auto_free char *dest = NULL;
	int r;

	for (char *c = platform; *c; c++)
		*c = *c == '/' ? '_' : *c;
	if (output->split && spec.kind == IX_EXPORT_LOCAL && spec.dest)
		spec.dest = dest = ix_asprintf("%s/%s", spec.dest, platform);
	if (output->delete &&spec.dest && (r = empty_directory(spec.dest, err)) < 0)
		return r;
	spec.names = (const char *const *)names->items;
	return ix_export_image(product->image, manifest, product->ref, &spec, err);
}

static int convert(const struct product *product, const struct output *output, struct ix_digest *ret_manifest, struct ix_err *err)
{
	struct ix_convert form = output->form;

	*ret_manifest = product->manifest;
	form.annotations = &output->annotations;
	form.base_layers = product->base_layers;
	form.epoch = product->image->epoch;
	if (form.rewrite_timestamp && form.epoch < 0)
		return ix_err_set(err, IX_EARG, "rewrite-timestamp needs SOURCE_DATE_EPOCH");
	if (!form.has_compression && !form.rewrite_timestamp && !form.docker_types && output->annotations.count == 0)
		return 0;
	return ix_image_convert(product->image, &product->manifest, product->ref, &form, ret_manifest, err);
}

static int write_one(const struct product *product, const struct output *output, struct ix_err *err)
{
	ix_auto_strv named = { 0 };
	const struct ix_strv *names = &product->names;
	struct ix_digest manifest;
	int r;

	if (output->where == TO_NOWHERE)
		return 0;
	if (output->names.count > 0) {
		r = full_names(&output->names, "name", &named, err);
		if (r < 0)
			return r;
		names = &named;
	}
	r = convert(product, output, &manifest, err);
	if (r < 0)
		return r;
	if (output->where == TO_ARCHIVE)
		return export(product, output, names, &manifest, err);
	r = tag_image(product, names, &manifest, err);
	if (r < 0)
		return r;
	return output->where == TO_REGISTRY ? push(product, output, names, &manifest, err) : 0;
}

/* --- what is told about it --- */

static json_t *names_json(const struct ix_strv *names)
{
	ix_auto_buf text = { 0 };

	for (size_t i = 0; i < names->count; i++)
		ix_buf_printf(&text, "%s%s", i ? "," : "", names->items[i]);
	return json_string(ix_buf_str(&text));
}

static int write_metadata(const struct product *product, const char *path, const struct ix_manifest *manifest, uint64_t size,
			  struct ix_err *err)
{
	char config[IX_DIGEST_TEXT], digest[IX_DIGEST_TEXT];
	json_t *json =
		json_pack("{s:s, s:s, s:{s:s, s:s, s:I}}", "containerimage.config.digest", ix_digest_text(&manifest->config.digest, config),
			  "containerimage.digest", ix_digest_text(&product->manifest, digest), "containerimage.descriptor", "mediaType",
			  manifest->media_type, "digest", digest, "size", (json_int_t)size);
	ix_auto_free char *text = NULL;
	int r;

	if (product->names.count > 0)
		json_object_set_new(json, "image.name", names_json(&product->names));
	text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(json);
	r = ix_publish_file(AT_FDCWD, path, text, strlen(text), 0644, err);
	return r < 0 ? ix_err_wrap(err, "--metadata-file") : 0;
}

static int tell(const struct product *product, const struct build_opts *opts, struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	char digest[IX_DIGEST_TEXT];
	int r;

	if (!opts->iidfile && !opts->metadata_file)
		return 0;
	if ((r = ix_cache_image(product->session->ws->cache, product->ref, &product->manifest, &manifest, &config, err)) < 0 ||
	    (r = ix_blob_read(product->session->ws->store, &product->manifest, &body, err)) < 0)
		return r;
	if (opts->metadata_file && (r = write_metadata(product, opts->metadata_file, &manifest, body.len, err)) < 0)
		return r;
	/* An image's id is its config's digest, to docker and podman alike. */
	ix_digest_text(&manifest.config.digest, digest);
	return opts->iidfile && ix_publish_file(AT_FDCWD, opts->iidfile, digest, strlen(digest), 0644, err) < 0
		       ? ix_err_wrap(err, "--iidfile")
		       : 0;
}

/* --annotation [manifest:]K=V */
static int annotate(struct product *product, struct ix_err *err)
{
	const struct ix_strv *given = &product->session->ws->request->annotations;
	ix_auto_strv pairs = { 0 };
	const struct ix_convert form = { .annotations = &pairs };

	for (size_t i = 0; i < given->count; i++) {
		const char *text = given->items[i], *equals = strchr(text, '='), *colon = strchr(text, ':');
		ix_auto_free char *key = NULL;

		if (ix_starts(text, "manifest:"))
			text += 9;
		else if (colon && equals && colon < equals && (ix_starts(text, "index") || ix_starts(text, "manifest-descriptor")))
			return ix_err_set(err, IX_EARG, "--annotation %s: what is written is a manifest without an index", text);
		if (!equals || equals == text)
			return ix_err_set(err, IX_EARG, "--annotation %s: write KEY=VALUE", given->items[i]);
		key = ix_strndup(text, (size_t)(equals - text));
		ix_pairs_set(&pairs, key, equals + 1);
	}
	return pairs.count == 0 ? 0 : ix_image_convert(product->image, &product->manifest, product->ref, &form, &product->manifest, err);
}

/* How many layers come from an external image. */
static int count_base_layers(struct product *product, struct ix_err *err)
{
	const struct ix_source *base = &product->planned->stage->base;
	const struct ix_digest *digest;
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };

	while (base->kind == IX_SOURCE_STAGE)
		base = &base->stage->base;
	digest = base->kind == IX_SOURCE_IMAGE || base->kind == IX_SOURCE_LAYOUT ? ix_state_image(product->session->ws->state, base) : NULL;
	if (!digest)
		return 0;
	int r = ix_cache_image(product->session->ws->cache, base->kind == IX_SOURCE_IMAGE ? base->text : NULL, digest, &manifest, &config,
			       err);
	if (r < 0)
		return r;
	product->base_layers = manifest.nlayers;
	return 0;
}

static bool converts(const struct build_opts *opts)
{
	for (size_t i = 0; i < opts->parsed.count; i++)
		if (opts->parsed.items[i].form.has_compression || opts->parsed.items[i].form.rewrite_timestamp)
			return true;
	return opts->compression || opts->compression_level;
}

/* Layers that were found are as somebody else wrote them. */
static int recompress(struct product *product, const struct build_opts *opts, struct ix_err *err)
{
	struct ix_convert form = { .has_compression = true,
				   .compression = product->image->compression,
				   .level = product->image->compression_level,
				   .base_layers = product->base_layers };

	if (!opts->compression && !opts->compression_level)
		return 0;
	return ix_image_convert(product->image, &product->manifest, product->ref, &form, &product->manifest, err);
}

static int write_all(struct product *product, const struct build_opts *opts, struct ix_err *err)
{
	int r;

	if ((r = full_names(&product->session->ws->request->tags, "--tag", &product->names, err)) < 0 ||
	    (converts(opts) && (r = count_base_layers(product, err)) < 0) || (r = recompress(product, opts, err)) < 0 ||
	    (r = annotate(product, err)) < 0 || (r = tag_image(product, &product->names, &product->manifest, err)) < 0)
		return r;
	for (size_t i = 0; i < opts->parsed.count; i++)
		if ((r = write_one(product, &opts->parsed.items[i], err)) < 0)
			return i < opts->outputs.count ? ix_err_wrap(err, "--output %s", opts->outputs.items[i]) : r;
	return tell(product, opts, err);
}

/* An image of the registry is the one of its key, and stays as it is: in a project another form of it needs a name or a place. */
static int check_form(const struct session *session, const struct build_opts *opts, struct ix_err *err)
{
	bool goes_out = opts->parsed.count > 0 || session->ws->request->tags.count > 0 || opts->iidfile || opts->metadata_file;

	if (session->ws->project && session->ws->request->annotations.count > 0 && !goes_out)
		return ix_err_set(err, IX_EARG,
				  "--annotation is for an image that goes out by --tag or --output: that of a stage is of its key");
	return 0;
}

int outputs_write(struct session *session, const struct build_opts *opts, const struct ix_image_opts *image, const struct ix_engine *run,
		  struct ix_digest *ret_manifest, struct ix_err *err)
{
	struct product product = { .session = session, .image = image };
	int r = check_form(session, opts, err);

	product.planned = &session->ws->plan->stages[session->ws->targets[0]->index];
	*ret_manifest = product.manifest = ix_engine_result(run, product.planned->stage)->manifest;
	if (r < 0)
		return r;
	if (opts->parsed.count == 0 && session->ws->request->tags.count == 0 && !opts->iidfile && !opts->metadata_file &&
	    session->ws->request->annotations.count == 0 && (session->ws->project || (!opts->compression && !opts->compression_level)))
		return 0;
	if (session->ws->ntargets != 1)
		return ix_err_set(err, IX_EARG, "--output, --tag, --iidfile and --metadata-file are about one image: name one stage");
	/* Layers that came from the channel's record may be in the registry only. */
	product.ref = ix_cache_is_local(session->ws->cache) ? NULL : product.planned->ref;
	r = write_all(&product, opts, err);
	*ret_manifest = product.manifest;
	ix_strv_release(&product.names);
	return r;
}
