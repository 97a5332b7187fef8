/*
 * The registry room on a command line, for test_registry_client.py: regtool [OPTION...] COMMAND ARG... Results go to standard output, "error
 * <code>: <message>" and the statistics to standard error.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fsutil.h"
#include "registry/registry.h"

enum { HOSTS_MAX = 8, MIRRORS_MAX = 8 };

struct tool {
	struct ix_registry_opts opts;
	struct ix_registry_host hosts[HOSTS_MAX];
	const char *mirrors[HOSTS_MAX][MIRRORS_MAX + 1];
	struct ix_registry *registry;
	struct ix_cancel *cancel;
	unsigned cancel_ms;
	bool show_progress;
};

static int fail(const struct ix_err *err)
{
	fprintf(stderr, "error %d: %s\n", (int)err->code, err->msg);
	return 1;
}

static int need_ref(const char *text, struct ix_ref *ref)
{
	struct ix_err err;

	return ix_ref_parse(text, ref, &err) < 0 ? fail(&err) : 0;
}

static void show_progress(void *data, uint64_t done, uint64_t total)
{
	const struct tool *tool = data;

	if (tool->show_progress)
		fprintf(stderr, "progress %llu/%llu\n", (unsigned long long)done, (unsigned long long)total);
}

/* --- commands --- */

static int run_head(struct tool *tool, int argc, char **argv)
{
	size_t n = (size_t)argc;
	struct ix_ref *refs = ix_calloc(n, sizeof(*refs));
	const struct ix_ref **pointers = ix_calloc(n, sizeof(*pointers));
	struct ix_manifest_head *heads = ix_calloc(n, sizeof(*heads));
	char text[IX_DIGEST_TEXT];
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		r = need_ref(argv[i], &refs[i]);
		pointers[i] = &refs[i];
	}
	if (r == 0)
		ix_registry_head_many(tool->registry, pointers, n, heads);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (heads[i].result < 0)
			printf("%s: %d %s\n", argv[i], heads[i].result, heads[i].err.msg);
		else
			printf("%s: 0 %s %s\n", argv[i], ix_digest_is_zero(&heads[i].digest) ? "-" : ix_digest_text(&heads[i].digest, text),
			       heads[i].media_type);
	}
	for (size_t i = 0; i < n; i++)
		ix_ref_release(&refs[i]);
	free(refs);
	free((void *)(uintptr_t)pointers);
	free(heads);
	return r;
}

static int run_get(struct tool *tool, int argc, char **argv)
{
	ix_auto_ref ref = { 0 };
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	struct ix_digest digest;
	struct ix_err err;
	char media_type[128], text[IX_DIGEST_TEXT];

	if (argc != 1 || need_ref(argv[0], &ref))
		return 2;
	if (ix_registry_get_manifest(tool->registry, &ref, &body, media_type, &digest, &err) < 0)
		return fail(&err);
	printf("%s %s %zu\n%s\n", ix_digest_text(&digest, text), media_type, body.len, ix_buf_str(&body));
	return 0;
}

/* A writer that remembers whether its bytes were declared good. */
struct file_writer {
	struct ix_writer base;
	struct ix_writer *next;
	bool finished;
};

static int file_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	return ix_write(((struct file_writer *)writer)->next, bytes, len, err);
}

static int file_finish(struct ix_writer *writer, struct ix_err *err)
{
	((struct file_writer *)writer)->finished = true;
	return ix_write_finish(((struct file_writer *)writer)->next, err);
}

static int run_blob(struct tool *tool, int argc, char **argv)
{
	static const struct ix_writer_ops ops = { file_write, file_finish, NULL };
	ix_scoped(ix_writer_freep) struct ix_writer *out = NULL;
	ix_auto_close int fd = -1;
	ix_auto_ref ref = { 0 };
	struct file_writer writer = { { &ops }, NULL, false };
	struct ix_digest digest;
	struct ix_err err;
	int r;

	if (argc != 4 || need_ref(argv[0], &ref))
		return 2;
	fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	out = writer.next = ix_fd_writer_new(fd);
	if (ix_digest_parse(argv[1], &digest, &err) < 0)
		return fail(&err);
	r = ix_registry_get_blob(tool->registry, &ref, &digest, strtoull(argv[2], NULL, 10), &writer.base, show_progress, tool, &err);
	printf("finished %s\n", writer.finished ? "yes" : "no");
	return r < 0 ? fail(&err) : 0;
}

static int digest_of_file(const char *path, int *ret_fd, uint64_t *ret_size, struct ix_digest *ret_digest)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	char chunk[65536];
	ssize_t n;

	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_size = 0;
	if (*ret_fd < 0)
		return 2;
	while ((n = read(*ret_fd, chunk, sizeof(chunk))) > 0) {
		ix_hash_bytes(hash, chunk, (size_t)n);
		*ret_size += (uint64_t)n;
	}
	ix_hash_final(hash, ret_digest);
	return 0;
}

static const char *const push_words[] = {
	[IX_PUSH_EXISTED] = "existed",
	[IX_PUSH_MOUNTED] = "mounted",
	[IX_PUSH_UPLOADED] = "uploaded",
};

static int run_put(struct tool *tool, int argc, char **argv)
{
	ix_auto_ref ref = { 0 };
	ix_auto_close int fd = -1;
	struct ix_digest digest;
	struct ix_err err;
	enum ix_push_result result;
	uint64_t size;
	char text[IX_DIGEST_TEXT];

	if (argc < 2 || need_ref(argv[0], &ref) || digest_of_file(argv[1], &fd, &size, &digest))
		return 2;
	if (ix_registry_put_blob(tool->registry, &ref, &digest, size, fd, argc > 2 ? argv[2] : NULL, false, show_progress, tool, &result,
				 &err) < 0)
		return fail(&err);
	printf("%s %s\n", push_words[result], ix_digest_text(&digest, text));
	return 0;
}

struct job {
	struct tool *tool;
	char **argv;
	int r;
};

static void *put_thread(void *data)
{
	struct job *job = data;

	job->r = run_put(job->tool, 2, job->argv);
	return NULL;
}

/* The same blob from four threads. */
static int run_put4(struct tool *tool, int argc, char **argv)
{
	struct job jobs[4];
	pthread_t threads[4];
	int r = 0;

	(void)argc;
	for (size_t i = 0; i < 4; i++) {
		jobs[i] = (struct job){ tool, argv, 0 };
		pthread_create(&threads[i], NULL, put_thread, &jobs[i]);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		r = r ? r : jobs[i].r;
	}
	return r;
}

static int run_put_manifest(struct tool *tool, int argc, char **argv)
{
	ix_auto_ref ref = { 0 };
	ix_auto_buf body = IX_BUF_INIT(8 << 20);
	struct ix_err err;

	if (argc != 3 || need_ref(argv[0], &ref))
		return 2;
	if (ix_read_file(AT_FDCWD, argv[1], &body, &err) < 0 ||
	    ix_registry_put_manifest(tool->registry, &ref, body.data, body.len, argv[2], &err) < 0)
		return fail(&err);
	puts("put");
	return 0;
}

static int run_has(struct tool *tool, int argc, char **argv)
{
	ix_auto_ref ref = { 0 };
	struct ix_digest digest;
	struct ix_err err;

	if (argc != 2 || need_ref(argv[0], &ref))
		return 2;
	if (ix_digest_parse(argv[1], &digest, &err) < 0 || ix_registry_has_blob(tool->registry, &ref, &digest, &err) < 0)
		return fail(&err);
	puts("has");
	return 0;
}

static int run_tags(struct tool *tool, int argc, char **argv)
{
	ix_auto_ref ref = { 0 };
	ix_auto_strv tags = { 0 };
	struct ix_err err;

	if (argc != 1 || need_ref(argv[0], &ref))
		return 2;
	if (ix_registry_list_tags(tool->registry, &ref, &tags, &err) < 0)
		return fail(&err);
	for (size_t i = 0; i < tags.count; i++)
		puts(tags.items[i]);
	return 0;
}

/* Commands separated by "+" run with one client. */
static int run_sequence(struct tool *tool, int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(struct tool *tool, int argc, char **argv);
} commands[] = {
	{ "blob", run_blob },
	{ "get", run_get },
	{ "has", run_has },
	{ "head", run_head },
	{ "put", run_put },
	{ "put4", run_put4 },
	{ "put-manifest", run_put_manifest },
	{ "tags", run_tags },
};

static int run_sleep(const char *ms)
{
	usleep((useconds_t)strtoul(ms, NULL, 10) * 1000);
	return 0;
}

static int run_one(struct tool *tool, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[0], "sleep") == 0)
		return run_sleep(argv[1]);
	for (size_t i = 0; argc > 0 && i < IX_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, argv[0]) == 0)
			return commands[i].run(tool, argc - 1, argv + 1);
	fprintf(stderr, "unknown command\n");
	return 2;
}

static int run_sequence(struct tool *tool, int argc, char **argv)
{
	int r = 0;

	for (int from = 0, i = 0; i <= argc; i++) {
		if (i < argc && strcmp(argv[i], "+") != 0)
			continue;
		r = run_one(tool, i - from, argv + from) || r;
		from = i + 1;
	}
	return r;
}

/* --- options --- */

static void *cancel_later(void *data)
{
	struct tool *tool = data;

	usleep(tool->cancel_ms * 1000);
	ix_cancel_raise(tool->cancel);
	return NULL;
}

static void add_mirror(struct tool *tool, const char *mirror)
{
	size_t host = tool->opts.nhosts - 1, n = 0;

	while (tool->mirrors[host][n])
		n++;
	if (n < MIRRORS_MAX)
		tool->mirrors[host][n] = mirror;
	tool->hosts[host].mirrors = tool->mirrors[host];
}

static bool take_option(struct tool *tool, const char *name, const char *value)
{
	struct ix_registry_host *host = tool->opts.nhosts ? &tool->hosts[tool->opts.nhosts - 1] : NULL;

	if (strcmp(name, "--docker-config") == 0)
		tool->opts.docker_config = value;
	else if (strcmp(name, "--connections") == 0)
		tool->opts.connections = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "--retry-s") == 0)
		tool->opts.retry_s = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "--timeout-s") == 0)
		tool->opts.timeout_s = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "--cancel-ms") == 0)
		tool->cancel_ms = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "--progress") == 0)
		tool->show_progress = strcmp(value, "yes") == 0;
	else if (strcmp(name, "--host") == 0 && tool->opts.nhosts < HOSTS_MAX)
		tool->hosts[tool->opts.nhosts++].name = value;
	else if (host && strcmp(name, "--user") == 0)
		host->username = value;
	else if (host && strcmp(name, "--password") == 0)
		host->password = value;
	else if (host && strcmp(name, "--ca") == 0)
		host->ca_file = value;
	else if (host && strcmp(name, "--insecure") == 0)
		host->insecure = strcmp(value, "yes") == 0;
	else if (host && strcmp(name, "--mirror") == 0)
		add_mirror(tool, value);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct tool tool = { 0 };
	struct ix_registry_stats stats;
	struct ix_err err;
	pthread_t canceler;
	int at = 1, r;

	tool.opts.hosts = tool.hosts;
	tool.cancel = ix_cancel_new();
	tool.opts.cancel = tool.cancel;
	while (at + 1 < argc && strncmp(argv[at], "--", 2) == 0 && take_option(&tool, argv[at], argv[at + 1]))
		at += 2;
	if (ix_registry_new(&tool.opts, &tool.registry, &err) < 0) {
		ix_cancel_free(tool.cancel);
		return fail(&err);
	}
	if (tool.cancel_ms)
		pthread_create(&canceler, NULL, cancel_later, &tool);
	r = run_sequence(&tool, argc - at, argv + at);
	if (tool.cancel_ms)
		pthread_join(canceler, NULL);
	ix_registry_stats(tool.registry, &stats);
	fprintf(stderr, "stats requests %llu down %llu up %llu\n", (unsigned long long)stats.requests, (unsigned long long)stats.bytes_down,
		(unsigned long long)stats.bytes_up);
	ix_registry_free(tool.registry);
	ix_cancel_free(tool.cancel);
	return r;
}
