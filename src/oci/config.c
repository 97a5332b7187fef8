#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "io/digest.h"
#include "json_int.h"
#include "oci/image.h"

static int parse_health(const json_t *object, struct ix_image_config *config, struct ix_err *err)
{
	struct ix_health *health;
	const json_t *json;
	int64_t retries = 0;
	int r = json_take_object(object, "Healthcheck", &json, err);

	if (r < 0)
		return r;
	if (!json)
		return 0;
	health = config->health = ix_calloc(1, sizeof(*health));
	if (json_take_strings(json, "Test", &health->test, err) < 0 || json_take_int(json, "Interval", &health->interval, err) < 0 ||
	    json_take_int(json, "Timeout", &health->timeout, err) < 0 ||
	    json_take_int(json, "StartPeriod", &health->start_period, err) < 0 ||
	    json_take_int(json, "StartInterval", &health->start_interval, err) < 0 || json_take_int(json, "Retries", &retries, err) < 0)
		return ix_err_wrap(err, "Healthcheck");
	health->retries = retries < 0 || retries > 1 << 30 ? 0 : (int)retries;
	return 0;
}

static int parse_run_config(const json_t *object, struct ix_image_config *config, struct ix_err *err)
{
	bool has_shell;

	if (!object)
		return 0;
	if (json_take_word(object, "User", &config->user, err) < 0 || json_take_word(object, "WorkingDir", &config->working_dir, err) < 0 ||
	    json_take_word(object, "StopSignal", &config->stop_signal, err) < 0 ||
	    json_take_bool(object, "ArgsEscaped", &config->args_escaped, err) < 0 ||
	    json_take_strings(object, "Env", &config->env, err) < 0 ||
	    json_take_command(object, "Cmd", &config->cmd, &config->has_cmd, err) < 0 ||
	    json_take_command(object, "Entrypoint", &config->entrypoint, &config->has_entrypoint, err) < 0 ||
	    json_take_command(object, "Shell", &config->shell, &has_shell, err) < 0 ||
	    json_take_strings(object, "OnBuild", &config->onbuild, err) < 0 ||
	    json_take_keys(object, "ExposedPorts", &config->exposed_ports, err) < 0 ||
	    json_take_keys(object, "Volumes", &config->volumes, err) < 0 || json_take_pairs(object, "Labels", &config->labels, err) < 0)
		return ix_err_wrap(err, "config");
	ix_strv_sort(&config->exposed_ports);
	ix_strv_sort(&config->volumes);
	return parse_health(object, config, err) < 0 ? ix_err_wrap(err, "config") : 0;
}

static int parse_diff_ids(const json_t *rootfs, struct ix_image_config *config, struct ix_err *err)
{
	const json_t *array = NULL;
	json_t *item;
	size_t i;

	if (rootfs && json_take_array(rootfs, "diff_ids", &array, err) < 0)
		return ix_err_wrap(err, "rootfs");
	if (json_array_size(array) > IX_LAYERS_MAX)
		return ix_err_set(err, IX_ELIMIT, "%zu layers, more than %d", json_array_size(array), IX_LAYERS_MAX);
	json_array_foreach(array, i, item)
	{
		struct ix_digest digest;

		if (!json_is_string(item) || ix_digest_parse(json_string_value(item), &digest, err) < 0)
			return ix_err_set(err, IX_ECORRUPT, "rootfs: diff_ids[%zu] is wrong: it is not a sha256 digest", i);
		ix_config_add_diff_id(config, &digest);
	}
	return 0;
}

static int parse_history(const json_t *array, struct ix_image_config *config, struct ix_err *err)
{
	json_t *item;
	size_t i;

	if (json_array_size(array) > 10000)
		return ix_err_set(err, IX_ELIMIT, "history is too long");
	json_array_foreach(array, i, item)
	{
		struct ix_history *entry = ix_config_add_history(config);

		if (!json_is_object(item))
			return ix_err_set(err, IX_ECORRUPT, "history[%zu] has the wrong type", i);
		if (json_take_string(item, "created", &entry->created, err) < 0 ||
		    json_take_string(item, "created_by", &entry->created_by, err) < 0 ||
		    json_take_string(item, "author", &entry->author, err) < 0 ||
		    json_take_string(item, "comment", &entry->comment, err) < 0 ||
		    json_take_bool(item, "empty_layer", &entry->empty_layer, err) < 0)
			return ix_err_wrap(err, "history[%zu]", i);
	}
	return 0;
}

static int parse_platform(const json_t *json, struct ix_image_config *config, struct ix_err *err)
{
	ix_auto_free char *os = NULL;
	ix_auto_free char *arch = NULL;
	ix_auto_free char *variant = NULL;
	ix_auto_free char *text = NULL;
	int r;

	if ((r = json_take_word(json, "os", &os, err)) < 0 || (r = json_take_word(json, "architecture", &arch, err)) < 0 ||
	    (r = json_take_word(json, "variant", &variant, err)) < 0)
		return r;
	if (!os || !arch)
		return 0;
	text = ix_asprintf("%s/%s%s%s", os, arch, variant ? "/" : "", variant ? variant : "");
	return ix_platform_parse(text, &config->platform, err);
}

int ix_config_parse(const void *bytes, size_t len, struct ix_image_config *ret_config, struct ix_err *err)
{
	ix_auto_config config = { 0 };
	const json_t *run, *rootfs, *history;
	auto_json *json = NULL;
	int r = json_load_object(bytes, len, "image config", &json, err);

	if (r < 0)
		return r;
	/* Members that docker writes for itself (container_config, docker_version, ...) say nothing that counts, and are not read. */
	if (json_take_word(json, "created", &config.created, err) < 0 || json_take_word(json, "author", &config.author, err) < 0 ||
	    json_take_word(json, "os.version", &config.os_version, err) < 0 || parse_platform(json, &config, err) < 0 ||
	    json_take_object(json, "config", &run, err) < 0 || json_take_object(json, "rootfs", &rootfs, err) < 0 ||
	    json_take_array(json, "history", &history, err) < 0 || parse_run_config(run, &config, err) < 0 ||
	    parse_diff_ids(rootfs, &config, err) < 0 || parse_history(history, &config, err) < 0)
		return ix_err_wrap(err, "image config");
	*ret_config = config;
	config = (struct ix_image_config){ 0 };
	return 0;
}

static void health_free(struct ix_health *health)
{
	if (!health)
		return;
	ix_strv_release(&health->test);
	free(health);
}

void ix_config_release(struct ix_image_config *config)
{
	struct ix_strv *lists[] = { &config->env,        &config->exposed_ports, &config->volumes, &config->labels,
				    &config->entrypoint, &config->cmd,           &config->shell,   &config->onbuild };

	for (size_t i = 0; i < IX_ARRAY_LEN(lists); i++)
		ix_strv_release(lists[i]);
	free(config->created);
	free(config->author);
	free(config->os_version);
	free(config->user);
	free(config->working_dir);
	free(config->stop_signal);
	health_free(config->health);
	free(config->diff_ids);
	for (size_t i = 0; i < config->nhistory; i++) {
		free(config->history[i].created);
		free(config->history[i].created_by);
		free(config->history[i].author);
		free(config->history[i].comment);
	}
	free(config->history);
	*config = (struct ix_image_config){ 0 };
}

void ix_config_add_diff_id(struct ix_image_config *config, const struct ix_digest *diff_id)
{
	config->diff_ids = ix_realloc_array(config->diff_ids, config->ndiff_ids + 1, sizeof(*config->diff_ids));
	config->diff_ids[config->ndiff_ids++] = *diff_id;
}

struct ix_history *ix_config_add_history(struct ix_image_config *config)
{
	config->history = ix_realloc_array(config->history, config->nhistory + 1, sizeof(*config->history));
	config->history[config->nhistory] = (struct ix_history){ 0 };
	return &config->history[config->nhistory++];
}

static void put_duration(json_t *json, const char *key, int64_t value)
{
	if (value != 0)
		json_object_set_new(json, key, json_integer(value));
}

static json_t *health_json(const struct ix_health *health)
{
	json_t *json = json_object();

	json_put_strings(json, "Test", &health->test);
	put_duration(json, "Interval", health->interval);
	put_duration(json, "Timeout", health->timeout);
	put_duration(json, "StartPeriod", health->start_period);
	put_duration(json, "StartInterval", health->start_interval);
	put_duration(json, "Retries", health->retries);
	return json;
}

static json_t *run_config_json(const struct ix_image_config *config)
{
	json_t *json = json_object();

	json_put_string(json, "User", config->user);
	json_put_string(json, "WorkingDir", config->working_dir);
	json_put_string(json, "StopSignal", config->stop_signal);
	json_put_strings(json, "Env", &config->env);
	if (config->has_entrypoint)
		json_object_set_new(json, "Entrypoint", json_of_strings(&config->entrypoint));
	if (config->args_escaped)
		json_object_set_new(json, "ArgsEscaped", json_true());
	if (config->has_cmd)
		json_object_set_new(json, "Cmd", json_of_strings(&config->cmd));
	json_put_strings(json, "Shell", &config->shell);
	json_put_strings(json, "OnBuild", &config->onbuild);
	json_put_keys(json, "ExposedPorts", &config->exposed_ports);
	json_put_keys(json, "Volumes", &config->volumes);
	json_put_pairs(json, "Labels", &config->labels);
	if (config->health)
		json_object_set_new(json, "Healthcheck", health_json(config->health));
	return json;
}

static json_t *history_json(const struct ix_history *entry)
{
	json_t *json = json_object();

	json_put_string(json, "created", entry->created);
	json_put_string(json, "created_by", entry->created_by);
	json_put_string(json, "author", entry->author);
	json_put_string(json, "comment", entry->comment);
	if (entry->empty_layer)
		json_object_set_new(json, "empty_layer", json_true());
	return json;
}

void ix_config_json(const struct ix_image_config *config, struct ix_buf *buf)
{
	json_t *json = json_object();
	json_t *rootfs = json_object();
	json_t *diff_ids = json_array();
	json_t *history = json_array();
	char digest[IX_DIGEST_TEXT];

	json_put_string(json, "created", config->created);
	json_put_string(json, "author", config->author);
	json_put_string(json, "os", config->platform.os);
	json_put_string(json, "architecture", config->platform.arch);
	json_put_string(json, "variant", config->platform.variant);
	json_put_string(json, "os.version", config->os_version);
	json_object_set_new(json, "config", run_config_json(config));
	for (size_t i = 0; i < config->ndiff_ids; i++)
		json_array_append_new(diff_ids, json_string(ix_digest_text(&config->diff_ids[i], digest)));
	json_object_set_new(rootfs, "type", json_string("layers"));
	json_object_set_new(rootfs, "diff_ids", diff_ids);
	json_object_set_new(json, "rootfs", rootfs);
	for (size_t i = 0; i < config->nhistory; i++)
		json_array_append_new(history, history_json(&config->history[i]));
	json_object_set_new(json, "history", history);
	json_write_take(json, buf);
}

void ix_config_copy(const struct ix_image_config *from, struct ix_image_config *ret_config)
{
	ix_auto_buf json = { 0 };
	struct ix_err err;

	ix_config_json(from, &json);
	if (ix_config_parse(json.data, json.len, ret_config, &err) < 0)
		ix_bug("image config does not survive a copy: %s", err.msg);
}
