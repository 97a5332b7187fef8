#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/stream.h"
#include "remote_int.h"

enum { TRIES = 4, FIRST_WAIT_MS = 500, REDIRECTS = 10, IDLE_S = 60, HEADER_MAX = 1000 };

/* What a server said about a URL the last time: the store's fact "http". */
struct memory {
	char etag[HEADER_MAX + 1];
	char modified[HEADER_MAX + 1];
	struct ix_remote_file file;
};

struct download {
	struct ix_remotes *remotes;
	CURL *curl;
	struct ix_writer *to;
	struct ix_err *err; /* of writing; code IX_OK while there is none */
	char etag[HEADER_MAX + 1];
	char modified[HEADER_MAX + 1];
};

/* --- memory --- */

static bool recall(struct ix_remotes *remotes, const char *url, struct memory *memory)
{
	ix_auto_buf text = IX_BUF_INIT(8 * HEADER_MAX);
	char *rest, *line, *lines[5];
	struct ix_err ignored;
	uint64_t size, mtime;
	size_t n = 0;

	if (ix_store_fact(remotes->opts.store, "http", url, &text, NULL, &ignored) < 0 || text.len == 0)
		return false;
	for (rest = text.data; n < 5 && (line = strsep(&rest, "\n")) != NULL;)
		lines[n++] = line;
	if (n < 5 || ix_digest_parse(lines[0], &memory->file.digest, &ignored) < 0 || !ix_parse_u64(lines[1], INT64_MAX, &size) ||
	    !ix_parse_u64(lines[2], INT64_MAX, &mtime) || strlen(lines[3]) > HEADER_MAX || strlen(lines[4]) > HEADER_MAX)
		return false;
	memory->file.size = size;
	memory->file.mtime_s = (int64_t)mtime;
	memcpy(memory->etag, lines[3], strlen(lines[3]) + 1);
	memcpy(memory->modified, lines[4], strlen(lines[4]) + 1);
	return ix_blob_has(remotes->opts.store, &memory->file.digest);
}

static int memorise(struct ix_remotes *remotes, const char *url, const struct memory *memory, struct ix_err *err)
{
	char digest[IX_DIGEST_TEXT];
	ix_auto_free char *text =
		ix_asprintf("%s\n%llu\n%lld\n%s\n%s\n", ix_digest_text(&memory->file.digest, digest), (unsigned long long)memory->file.size,
			    (long long)memory->file.mtime_s, memory->etag, memory->modified);

	return ix_store_set_fact(remotes->opts.store, "http", url, text, strlen(text), err);
}

/* --- one request --- */

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
	struct download *self = data;
	long status = 0;

	curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return size * count; /* an error page */
	return ix_write(self->to, bytes, size * count, self->err) < 0 ? 0 : size * count;
}

static void take_header(const char *line, size_t len, const char *name, char *value)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0)
		return;
	line += n;
	len -= n;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr("\r\n \t", line[len - 1]))
		len--;
	if (len <= HEADER_MAX && !memchr(line, '\n', len)) {
		memcpy(value, line, len);
		value[len] = '\0';
	}
}

static size_t on_header(char *line, size_t size, size_t count, void *data)
{
	struct download *self = data;

	/* A redirect's headers say nothing about what it leads to. */
	if (size * count > 5 && strncmp(line, "HTTP/", 5) == 0)
		self->etag[0] = self->modified[0] = '\0';
	take_header(line, size * count, "ETag:", self->etag);
	take_header(line, size * count, "Last-Modified:", self->modified);
	return size * count;
}

static int on_progress(void *data, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct download *self = data;

	(void)a, (void)b, (void)c, (void)d;
	return ix_cancel_raised(self->remotes->opts.cancel);
}

static int add_authorization(struct ix_remotes *remotes, const char *url, struct curl_slist **headers, struct ix_err *err)
{
	ix_auto_free char *host = remote_host(url);
	ix_auto_buf value = IX_BUF_INIT(IX_TOKEN_MAX);
	ix_auto_free char *line = NULL;
	int r = remote_secret(remotes, "HTTP_AUTH_HEADER", '_', host, false, &value, err);

	if (r == 0)
		line = ix_asprintf("Authorization: %s", ix_buf_str(&value));
	if (r == -IX_ENOTFOUND) {
		r = remote_secret(remotes, "HTTP_AUTH_TOKEN", '_', host, false, &value, err);
		if (r == 0)
			line = ix_asprintf("Authorization: Bearer %s", ix_buf_str(&value));
	}
	if (line) {
		*headers = curl_slist_append(*headers, line);
		explicit_bzero(line, strlen(line));
	}
	if (value.data)
		explicit_bzero(value.data, value.len);
	return r == -IX_ENOTFOUND ? 0 : r;
}

static const char *ca_file(void)
{
	const char *path = getenv("CURL_CA_BUNDLE"); /* NOLINT(concurrency-mt-unsafe): nothing in ix sets the environment */

	return path && *path ? path : getenv("SSL_CERT_FILE"); /* NOLINT(concurrency-mt-unsafe) */
}

static void set_up(struct download *self, const char *url, struct curl_slist *headers)
{
	CURL *curl = self->curl;

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)IDLE_S);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "ix");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, self);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	if (ca_file() && access(ca_file(), R_OK) == 0)
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file());
}

static bool worth_another(CURLcode code, long status)
{
	if (code == CURLE_OK)
		return status == 408 || status == 429 || status >= 500;
	return code != CURLE_WRITE_ERROR && code != CURLE_ABORTED_BY_CALLBACK && code != CURLE_PEER_FAILED_VERIFICATION &&
	       code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_TOO_MANY_REDIRECTS;
}

/* *ret_status 200: *file is in the store; 304: nothing came. *ret_again: the failure may pass. */
static int request(struct ix_remotes *remotes, const char *url, struct curl_slist *headers, struct memory *news, long *ret_status,
		   bool *ret_again, struct ix_err *err)
{
	ix_scoped(ix_blob_abortp) struct ix_blob_writer *blob = NULL;
	ix_scoped(ix_writer_freep) struct ix_writer *hashing = NULL;
	struct download self = { .remotes = remotes, .curl = curl_easy_init(), .err = err };
	curl_off_t filetime = -1;
	CURLcode code;
	int r;

	*ret_again = false;
	err->code = IX_OK;
	if (!self.curl)
		return ix_err_set(err, IX_EFAIL, "cannot set up curl");
	r = ix_blob_begin(remotes->opts.store, &blob, err);
	if (r < 0) {
		curl_easy_cleanup(self.curl);
		return r;
	}
	hashing = ix_digest_writer_new(ix_blob_stream(blob), &news->file.digest, &news->file.size);
	self.to = hashing;
	set_up(&self, url, headers);
	curl_easy_setopt(self.curl, CURLOPT_FILETIME, 1L);
	code = curl_easy_perform(self.curl);
	curl_easy_getinfo(self.curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_easy_getinfo(self.curl, CURLINFO_FILETIME_T, &filetime);
	curl_easy_cleanup(self.curl);
	*ret_again = worth_another(code, *ret_status);
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return ix_err_set(err, IX_ECANCELED, "canceled");
	if (err->code != IX_OK)
		return ix_err_code(err);
	if (code != CURLE_OK)
		return ix_err_set(err, IX_EFAIL, "%s", curl_easy_strerror(code));
	if (*ret_status == 304)
		return 0;
	if (*ret_status != 200)
		return ix_err_set(err, *ret_status == 404 ? IX_ENOTFOUND : IX_EFAIL, "HTTP %ld", *ret_status);
	r = ix_write_finish(hashing, err);
	if (r < 0)
		return r;
	news->file.mtime_s = filetime > 0 ? filetime : 0;
	memcpy(news->etag, self.etag, sizeof(news->etag));
	memcpy(news->modified, self.modified, sizeof(news->modified));
	return ix_blob_commit(ix_steal(&blob), &news->file.digest, err);
}

static int ask(struct ix_remotes *remotes, const char *url, const struct memory *before, struct memory *news, long *ret_status,
	       struct ix_err *err)
{
	struct curl_slist *headers = NULL;
	int r = add_authorization(remotes, url, &headers, err);
	bool again;

	if (before && before->etag[0]) {
		ix_auto_free char *line = ix_asprintf("If-None-Match: %s", before->etag);

		headers = curl_slist_append(headers, line);
	} else if (before && before->modified[0]) {
		ix_auto_free char *line = ix_asprintf("If-Modified-Since: %s", before->modified);

		headers = curl_slist_append(headers, line);
	}
	for (unsigned i = 0; r == 0; i++) {
		r = request(remotes, url, headers, news, ret_status, &again, err);
		if (r == 0 || !again || i + 1 == TRIES)
			break;
		r = ix_cancel_sleep(remotes->opts.cancel, (uint64_t)FIRST_WAIT_MS << i, err);
	}
	for (struct curl_slist *line = headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(headers);
	return r;
}

int http_fetch(struct ix_remotes *remotes, const struct ix_remote *remote, struct ix_remote_file *ret_file, struct ix_err *err)
{
	struct memory before = { 0 }, news = { 0 };
	bool known = recall(remotes, remote->url, &before);
	ix_auto_free char *shown = ix_printable(remote->url, 300);
	char got[IX_DIGEST_TEXT];
	long status = 0;
	int r;

	/* With a checksum what is here already cannot be anything else. */
	if (known && remote->checksum && strcmp(remote->checksum, ix_digest_text(&before.file.digest, got)) == 0) {
		*ret_file = before.file;
		return 0;
	}
	if (remotes->opts.offline && (!known || remote->checksum))
		return ix_err_set(err, IX_EFAIL, "%s is not in the store, and --offline asks nobody for it", shown);
	if (remotes->opts.offline) {
		*ret_file = before.file;
		return 0;
	}
	if (ask(remotes, remote->url, known ? &before : NULL, &news, &status, err) < 0)
		return ix_err_wrap(err, "GET %s", shown);
	if (status == 304 && !known)
		return ix_err_set(err, IX_ECORRUPT, "GET %s: not modified, though nothing was known", shown);
	if (status == 304)
		news = before;
	else if ((r = memorise(remotes, remote->url, &news, err)) < 0)
		return r;
	if (remote->checksum && strcmp(remote->checksum, ix_digest_text(&news.file.digest, got)) != 0)
		return ix_err_set(err, IX_ECORRUPT, "GET %s: digest mismatch %s: %s", shown, got, remote->checksum);
	*ret_file = news.file;
	return 0;
}
