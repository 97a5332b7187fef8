/* What a command asks for: the options that all commands share that compute keys, so that all of them compute the same. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"
#include "jail/jail.h"
#include "workspace_int.h"

void ix_request_release(struct ix_request *request)
{
	struct ix_strv *lists[] = { &request->stages, &request->build_args, &request->build_contexts, &request->labels,
				    &request->tags,   &request->force,      &request->add_hosts,      &request->ulimits,
				    &request->allow,  &request->secrets,    &request->annotations,    &request->no_cache_filter };

	for (size_t i = 0; i < IX_ARRAY_LEN(lists); i++)
		ix_strv_release(lists[i]);
	secrets_release(&request->secret_list);
	ix_arena_free(request->arena);
}

const char *ix_request_arg(const struct ix_request *request, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = request->build_args.count; i-- > 0;)
		if (strncmp(request->build_args.items[i], name, len) == 0 && request->build_args.items[i][len] == '=')
			return request->build_args.items[i] + len + 1;
	return NULL;
}

static int parse_network(const char *name, enum ix_network *ret_network, struct ix_err *err)
{
	if (!name || strcmp(name, "default") == 0 || strcmp(name, "host") == 0)
		*ret_network = IX_NETWORK_DEFAULT; /* which is the host's */
	else if (strcmp(name, "none") == 0)
		*ret_network = IX_NETWORK_NONE;
	else
		return ix_err_set(err, IX_EARG, "--network %s: default, host or none", name);
	return 0;
}

/* The host's network is what steps have anyhow; devices cannot be asked for. */
static int parse_allow(const struct ix_strv *allow, bool *ret_insecure, struct ix_err *err)
{
	for (size_t i = 0; i < allow->count; i++) {
		if (strcmp(allow->items[i], "security.insecure") == 0)
			*ret_insecure = true;
		else if (strcmp(allow->items[i], "network.host") != 0)
			return ix_err_set(err, IX_EARG, "--allow %s: network.host or security.insecure", allow->items[i]);
	}
	return 0;
}

/* "[fe80::1]" */
static const char *without_brackets(struct ix_arena *arena, const char *address)
{
	size_t len = strlen(address);

	return address[0] == '[' && address[len - 1] == ']' ? ix_arena_strndup(arena, address + 1, len - 2) : address;
}

static int check_labels(const struct ix_request *request, struct ix_err *err)
{
	for (size_t i = 0; i < request->labels.count; i++)
		if (request->labels.items[i][0] == '=' || !request->labels.items[i][0])
			return ix_err_set(err, IX_EARG, "--label %s: write NAME=VALUE", request->labels.items[i]);
	return 0;
}

/* By name; lines for the same name keep the order in which they were given. */
static int parse_hosts(struct ix_request *request, struct ix_err *err)
{
	struct ix_run_host *hosts = ix_arena_alloc(request->arena, (request->add_hosts.count + 1) * sizeof(*hosts));
	size_t n = 0;

	for (size_t i = 0; i < request->add_hosts.count; i++) {
		const char *text = request->add_hosts.items[i];
		/* HOST=IP is docker's newer way to write it, good for IPv6. */
		size_t len = strcspn(text, strchr(text, '=') ? "=" : ":"), at = n++;
		struct ix_run_host host;

		if (!text[len] || len == 0)
			return ix_err_set(err, IX_EARG, "--add-host %s: write HOST:IP", text);
		host = (struct ix_run_host){ ix_arena_strndup(request->arena, text, len),
					     without_brackets(request->arena, text + len + 1) };
		for (; at > 0 && strcmp(hosts[at - 1].name, host.name) > 0; at--)
			hosts[at] = hosts[at - 1];
		hosts[at] = host;
	}
	request->run.hosts = hosts;
	request->run.nhosts = n;
	return 0;
}

/* By name; what was given last counts. */
static int parse_limits(struct ix_request *request, struct ix_err *err)
{
	struct ix_run_limit *limits = ix_arena_alloc(request->arena, (request->ulimits.count + 1) * sizeof(*limits));
	size_t n = 0;

	for (size_t i = 0; i < request->ulimits.count; i++) {
		const char *text = request->ulimits.items[i];
		struct ix_jail_limit parsed;
		struct ix_run_limit limit;
		size_t at = 0;

		if (ix_jail_limit_parse(text, &parsed, err) < 0)
			return ix_err_wrap(err, "--ulimit");
		limit = (struct ix_run_limit){ ix_arena_strndup(request->arena, text, strcspn(text, "=")), parsed.soft, parsed.hard };
		while (at < n && strcmp(limits[at].name, limit.name) < 0)
			at++;
		if (at == n || strcmp(limits[at].name, limit.name) != 0)
			memmove(&limits[at + 1], &limits[at], (n++ - at) * sizeof(*limits));
		limits[at] = limit;
	}
	request->run.limits = limits;
	request->run.nlimits = n;
	return 0;
}

int ix_request_settle(struct ix_request *request, struct ix_err *err)
{
	int r;

	request->arena = ix_arena_new();
	request->run = (struct ix_run_spec)IX_RUN_SPEC_INIT;
	request->run.hostname = ix_request_arg(request, "BUILDKIT_SANDBOX_HOSTNAME");
	if (request->tls && strcmp(request->tls, "host") != 0 && strcmp(request->tls, "image") != 0)
		return ix_err_set(err, IX_EARG, "--tls %s: host or image", request->tls);
	request->run.image_tls = request->tls && strcmp(request->tls, "image") == 0;
	if (request->shm_size && !ix_parse_size(request->shm_size, &request->run.shm_size))
		return ix_err_set(err, IX_EARG, "--shm-size %s: not a size, as 128m", request->shm_size);
	if (request->run.shm_size == 0)
		request->run.shm_size = IX_SHM_SIZE;
	if ((r = parse_network(request->network, &request->run.network, err)) < 0 ||
	    (r = parse_allow(&request->allow, &request->allow_insecure, err)) < 0 || (r = parse_hosts(request, err)) < 0 ||
	    (r = check_labels(request, err)) < 0 || (r = parse_limits(request, err)) < 0 ||
	    (r = secrets_parse(&request->secrets, &request->secret_list, err)) < 0)
		return r;
	return 0;
}

/* --- operands --- */

static bool is_url(const char *operand)
{
	ix_scoped(ix_arena_freep) struct ix_arena *arena = ix_arena_new();
	struct ix_remote remote;
	struct ix_err ignored;

	/* A malformed one is a URL too, and an error later. */
	return ix_remote_parse(arena, operand, &remote, &ignored) < 0 || remote.kind != IX_REMOTE_NONE;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where no project is in sight a directory is one, too. */
static bool is_path(const char *operand)
{
	if (access("ix.yaml", F_OK) != 0 && is_directory(operand))
		return true;
	return operand[0] == '.' || operand[0] == '/' || strcmp(operand, "-") == 0 || is_url(operand);
}

int ix_request_operands(const struct ix_strv *operands, struct ix_request *request, bool in_project, struct ix_err *err)
{
	bool lone = false;

	/* What a script leaves empty it does not ask for. */
	request->target = request->target && *request->target ? request->target : NULL;
	request->platform = request->platform && *request->platform ? request->platform : NULL;
	for (size_t i = 0; i < operands->count; i++)
		lone = lone || (is_path(operands->items[i]) && !in_project);
	if (lone && operands->count != 1)
		return ix_err_set(err, IX_EARG, "one PATH, or names of stages");
	if (lone)
		request->lone_context = operands->items[0];
	else
		ix_strv_copy(&request->stages, operands);
	if (!lone && (request->lone_file || request->target))
		return ix_err_set(err, IX_EARG, "--file and --target go with a PATH; stages of a project have theirs in ix.yaml");
	return 0;
}
