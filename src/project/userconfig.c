#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "yaml_int.h"

enum { FILE_MAX = 1 << 20 };

static const char *const keys[] = { "store", "registries", "mirrors", "insecure" };

static int read_mirrors(struct yaml *yaml, const struct member *member, struct ix_user_config *config, struct ix_err *err)
{
	struct member inner;
	void *iter = NULL;
	int r;

	r = yaml_need_mapping(yaml, member, err);
	if (r < 0)
		return r;
	while ((r = yaml_next(yaml, member->value, &iter, &inner, err)) > 0) {
		struct ix_host_config *host = hosts_get(yaml->arena, &config->hosts, &config->nhosts, inner.key);

		host->mirrors = NULL;
		host->nmirrors = 0;
		r = yaml_texts(yaml, &inner, &host->mirrors, &host->nmirrors, err);
		if (r < 0)
			return r;
		*IX_ARENA_PUSH(yaml->arena, host->mirrors, host->nmirrors) = NULL;
		host->nmirrors--;
	}
	return r;
}

static int read_insecure(struct yaml *yaml, const struct member *member, struct ix_user_config *config, struct ix_err *err)
{
	const char **names = NULL;
	size_t n = 0;
	int r = yaml_texts(yaml, member, &names, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		hosts_get(yaml->arena, &config->hosts, &config->nhosts, names[i])->insecure = true;
	return 0;
}

static int read_root(struct yaml *yaml, struct ix_user_config *config, struct ix_err *err)
{
	struct fy_node *root = fy_document_root(yaml->doc);
	const struct ix_place top = { 1, 1 };
	struct member member;
	void *iter = NULL;
	int r;

	if (!root || (fy_node_is_scalar(root) && fy_node_get_scalar_length(root) == 0))
		return 0;
	if (!fy_node_is_mapping(root))
		return yaml_err(yaml, &top, err, "the configuration is a mapping with store:, registries:, mirrors: and insecure:");
	while ((r = yaml_next(yaml, root, &iter, &member, err)) > 0) {
		if (strcmp(member.key, "store") == 0)
			r = yaml_text(yaml, &member, false, &config->store, err);
		else if (strcmp(member.key, "registries") == 0)
			r = hosts_read(yaml, &member, &config->hosts, &config->nhosts, err);
		else if (strcmp(member.key, "mirrors") == 0)
			r = read_mirrors(yaml, &member, config, err);
		else if (strcmp(member.key, "insecure") == 0)
			r = read_insecure(yaml, &member, config, err);
		else
			r = yaml_unknown(yaml, &member, "the configuration", keys, IX_ARRAY_LEN(keys), err);
		if (r < 0)
			return r;
	}
	return r;
}

int ix_user_config_parse(const char *name, const char *text, size_t len, struct ix_user_config **ret_config, struct ix_err *err)
{
	ix_scoped(ix_user_config_freep) struct ix_user_config *config = ix_calloc(1, sizeof(*config));
	struct yaml yaml;
	int r = 0;

	config->arena = ix_arena_new();
	if (strspn(text, " \t\r\n") < len) {
		r = yaml_open(&yaml, name, text, len, config->arena, err);
		if (r == 0)
			r = read_root(&yaml, config, err);
		yaml_close(&yaml);
	}
	if (r < 0)
		return r;
	*ret_config = ix_steal(&config);
	return 0;
}

static char *default_path(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (base && *base)
		return ix_asprintf("%s/ix/config.yaml", base);
	return home && *home ? ix_asprintf("%s/.config/ix/config.yaml", home) : NULL;
}

int ix_user_config_load(const char *path, struct ix_user_config **ret_config, struct ix_err *err)
{
	ix_auto_free char *fallback = path ? NULL : default_path();
	ix_auto_buf text = IX_BUF_INIT(FILE_MAX);
	const char *file = path ? path : fallback;
	int r = file ? ix_read_file(AT_FDCWD, file, &text, err) : 0;

	if (r < 0 && (path || r != -IX_ENOTFOUND))
		return ix_err_wrap(err, "configuration");
	return ix_user_config_parse(file ? file : "configuration", ix_buf_str(&text), text.len, ret_config, err);
}

void ix_user_config_free(struct ix_user_config *config)
{
	if (!config)
		return;
	ix_arena_free(config->arena);
	free(config);
}
