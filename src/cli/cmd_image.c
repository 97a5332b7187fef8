#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "cache/cache.h"
#include "cli_int.h"
#include "images/images.h"
#include "io/digest.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "signals_int.h"
#include "store/store.h"
#include "ui/ui.h"
#include "workspace/workspace.h"

/* --- images --- */

static uint64_t image_size(struct session *session, const struct ix_digest *digest)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_manifest manifest = { 0 };
	struct ix_err ignored;
	uint64_t size = 0;

	if (ix_blob_read(session->ws->store, digest, &body, &ignored) < 0 ||
	    ix_manifest_parse(body.data, body.len, &manifest, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < manifest.nlayers; i++)
		size += manifest.layers[i].size;
	return size;
}

struct images_opts {
	bool json, all;
};

static int images(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	const struct images_opts *opts = data;
	ix_auto_names names = { 0 };
	json_t *list = json_array();

	(void)operands;
	int r = ix_store_names(session->ws->store, &names, err);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	ix_ui_finish(session->ui);
	if (!opts->json)
		say("%-20s  %-8s  %-10s  %s\n", "CREATED", "SIZE", "DIGEST", "NAME");
	for (size_t i = 0; i < names.count; i++) {
		uint64_t size = image_size(session, &names.items[i].digest);
		char when[32], human[16], hex[IX_DIGEST_HEX + 1], digest[IX_DIGEST_TEXT];

		ix_rfc3339(names.items[i].time, when);
		ix_digest_hex(&names.items[i].digest, hex);
		if (opts->json)
			json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "name", names.items[i].name, "digest",
							      ix_digest_text(&names.items[i].digest, digest), "size", (json_int_t)size,
							      "created", when));
		else
			say("%-20s  %-8s  %.10s  %s\n", when, ix_human_size(size, human), hex, names.items[i].name);
	}
	if (opts->json) {
		say_json(list);
	}
	json_decref(list);
	return 0;
}

int cmd_images(int argc, char **argv)
{
	struct images_opts o = { 0 };
	const struct opt opts[] = { { 0, "json", NULL, OPT_FLAG, &o.json, "as JSON" } };

	return frame_run(&(struct command_frame){ "images", "", "List the images of the store.", opts, 1, 0, 0, false, images, &o }, argc,
			 argv);
}

/* --- inspect --- */

static int inspect(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	ix_auto_buf manifest_body = IX_BUF_INIT(IX_MANIFEST_MAX), config_body = IX_BUF_INIT(IX_CONFIG_MAX);
	ix_auto_manifest manifest = { 0 };
	ix_auto_config config = { 0 };
	ix_auto_free char *ref = NULL;
	struct ix_digest digest;
	char text[IX_DIGEST_TEXT];
	json_t *json;
	int r;

	(void)data;
	if ((r = ix_workspace_image(session->ws, operands->items[0], &digest, &ref, err)) < 0 ||
	    (r = ix_cache_image(session->ws->cache, ref, &digest, &manifest, &config, err)) < 0 ||
	    (r = ix_blob_read(session->ws->store, &digest, &manifest_body, err)) < 0 ||
	    (r = ix_blob_read(session->ws->store, &manifest.config.digest, &config_body, err)) < 0)
		return r;
	ix_ui_finish(session->ui);
	json = json_pack("{s:s, s:s, s:o, s:o}", "name", operands->items[0], "digest", ix_digest_text(&digest, text), "manifest",
			 json_loadb(manifest_body.data, manifest_body.len, 0, NULL), "config",
			 json_loadb(config_body.data, config_body.len, 0, NULL));
	say_json(json);
	json_decref(json);
	return 0;
}

int cmd_inspect(int argc, char **argv)
{
	return frame_run(&(struct command_frame){ "inspect", "IMAGE", "Print an image's manifest and config as JSON.", NULL, 0, 1, 1, false,
						  inspect, NULL },
			 argc, argv);
}

/* --- rm --- */

struct rm_opts {
	bool everything;
};

static int rm(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	const struct rm_opts *opts = data;
	int r;

	if (opts->everything && operands->count > 0)
		return ix_err_set(err, IX_EARG, "--everything leaves nothing to name");
	if (!opts->everything && operands->count == 0)
		return ix_err_set(err, IX_EARG, "usage: ix rm NAME...");
	if (opts->everything)
		return ix_store_destroy(session->ws->store, err);
	for (size_t i = 0; i < operands->count; i++) {
		ix_auto_free char *name = ix_workspace_image_name(session->ws, operands->items[i]);

		r = ix_store_untag(session->ws->store, name, err);
		if (r < 0)
			return r;
		ix_ui_finish(session->ui);
		say("removed %s\n", name);
	}
	return 0;
}

int cmd_rm(int argc, char **argv)
{
	struct rm_opts o = { 0 };
	const struct opt opts[] = { { 0, "everything", NULL, OPT_FLAG, &o.everything,
				      "remove the whole store: images, layers, cache mounts" } };

	/* Layers of a rootless store belong to subordinate ids: only inside the namespace can they be removed. */
	return frame_run(&(struct command_frame){ "rm", "NAME... | --everything",
						  "Remove names of images from the store, or the store itself.", opts, 1, 0, 1000, true, rm,
						  &o },
			 argc, argv);
}

/* --- import, export --- */

struct import_opts {
	const char *platform;
};

static int import(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	const struct import_opts *opts = data;
	bool from_stdin = strcmp(operands->items[0], "-") == 0;
	ix_auto_close int fd = from_stdin ? dup(STDIN_FILENO) : open(operands->items[0], O_RDONLY | O_CLOEXEC);
	struct ix_local_opts local;
	struct ix_platform platform;
	struct ix_digest manifest;
	ix_auto_ref ref = { 0 };
	ix_auto_free char *name = NULL;
	char text[IX_DIGEST_TEXT];
	int r;

	if (fd < 0)
		return ix_err_sys(err, "open %s", operands->items[0]);
	ix_platform_host(&platform);
	if ((opts->platform && (r = ix_platform_parse(opts->platform, &platform, err)) < 0) ||
	    (r = ix_ref_parse(operands->items[1], &ref, err)) < 0)
		return r;
	name = ix_ref_text(&ref);
	ix_workspace_local(session->ws, &local);
	if (ix_import_rootfs(&local.image, fd, name, &platform, &manifest, err) < 0)
		return ix_err_wrap(err, "import %s", operands->items[0]);
	ix_ui_finish(session->ui);
	say("%s\n", ix_digest_text(&manifest, text));
	return 0;
}

int cmd_import(int argc, char **argv)
{
	struct import_opts o = { 0 };
	const struct opt opts[] = { { 0, "platform", "OS/ARCH", OPT_TEXT, &o.platform,
				      "platform the root is for (default: this machine's)" } };

	return frame_run(&(struct command_frame){ "import", "ROOTFS.TAR NAME",
						  "Make an image of one layer from a tar of a root file system (- for standard input).",
						  opts, 1, 2, 2, false, import, &o },
			 argc, argv);
}

struct export_opts {
	const char *type, *output;
};

static int export(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	static const char *const types[] = { "oci", "docker", "tar", "local" };
	const struct export_opts *opts = data;
	ix_auto_free char *ref = NULL;
	ix_auto_free char *name = ix_workspace_image_name(session->ws, operands->items[0]);
	const char *names[] = { name, NULL };
	struct ix_export spec = { .dest = opts->output, .names = names };
	struct ix_local_opts local;
	struct ix_digest manifest;
	bool known = false;

	for (size_t i = 0; i < IX_ARRAY_LEN(types); i++) {
		if (ix_streq(opts->type ? opts->type : "oci", types[i])) {
			spec.kind = (enum ix_export_kind)i;
			known = true;
		}
	}
	if (!known)
		return ix_err_set(err, IX_EARG, "--type %s: oci, docker, tar or local", opts->type);
	if (spec.kind == IX_EXPORT_LOCAL && !opts->output)
		return ix_err_set(err, IX_EARG, "--type local writes files: use --output DIRECTORY");
	if (!opts->output && isatty(STDOUT_FILENO))
		return ix_err_set(err, IX_EARG, "not writing an archive to a terminal: use --output FILE");
	ix_workspace_local(session->ws, &local);
	int r = ix_workspace_image(session->ws, operands->items[0], &manifest, &ref, err);
	if (r < 0)
		return r;
	return ix_export_image(&local.image, &manifest, ref, &spec, err);
}

int cmd_export(int argc, char **argv)
{
	struct export_opts o = { 0 };
	const struct opt opts[] = { { 0, "type", "KIND", OPT_TEXT, &o.type,
				      "oci (default) or docker archive, tar of the root, local directory" },
				    { 'o', "output", "PATH", OPT_TEXT, &o.output, "file or directory (default: standard output)" } };

	return frame_run(&(struct command_frame){ "export", "IMAGE", "Write an image as an archive, or its root file system.", opts, 2, 1,
						  1, true, export, &o },
			 argc, argv);
}

/* --- push, pull --- */

static int push(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	const char *to = operands->items[operands->count - 1];
	ix_auto_free char *ref = NULL;
	struct ix_published moved;
	struct ix_digest manifest;
	int r;

	(void)data;
	if ((r = ix_workspace_image(session->ws, operands->items[0], &manifest, &ref, err)) < 0 ||
	    (r = ix_cache_publish_name(session->ws->cache, to, &manifest, ref, NULL, &moved, err)) < 0)
		return r;
	return 0;
}

int cmd_push(int argc, char **argv)
{
	return frame_run(&(struct command_frame){ "push", "IMAGE [NAME]",
						  "Push an image of the store to a registry, under its own name or another.", NULL, 0, 1, 2,
						  false, push, NULL },
			 argc, argv);
}

static int pull(struct session *session, const struct ix_strv *operands, void *data, struct ix_err *err)
{
	ix_auto_ref ref = { 0 };
	ix_auto_free char *name = NULL;
	struct ix_platform host;
	struct ix_digest digest;
	int r = ix_ref_parse(operands->items[0], &ref, err);

	(void)data;
	if (r < 0)
		return r;
	ix_platform_host(&host);
	name = ix_ref_text(&ref);
	r = ix_cache_resolve(session->ws->cache, name, &host, &digest, err);
	return r < 0 ? r : ix_cache_pull(session->ws->cache, name, &digest, err);
}

int cmd_pull(int argc, char **argv)
{
	return frame_run(&(struct command_frame){ "pull", "IMAGE", "Fetch an image from a registry into the store.", NULL, 0, 1, 1, false,
						  pull, NULL, true },
			 argc, argv);
}
