#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "io/digest.h"
#include "io/stream.h"
#include "remote_int.h"
#include "store/store.h"

enum { HEADER_MAX = 1000 };

/* What a server said about a URL the last time: the store's fact "http". */
struct memory {
	char etag[HEADER_MAX + 1];
	char modified[HEADER_MAX + 1];
	struct ix_remote_file file;
};

/* A blob of the store that is being written. */
struct download {
	struct ix_store *store;
	struct ix_blob_writer *blob;
	struct ix_writer *to;
	struct ix_digest digest;
	uint64_t size;
	unsigned exchange; /* the reply it is of */
};

/* --- memory --- */

static bool recall(struct ix_remotes *remotes, const char *url, struct memory *memory)
{
	ix_auto_buf text = IX_BUF_INIT(8UL * HEADER_MAX);
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

/* --- one file --- */

static int begin(struct download *self, struct ix_err *err)
{
	int r;

	ix_writer_free(ix_steal(&self->to));
	ix_blob_abort(ix_steal(&self->blob));
	r = ix_blob_begin(self->store, &self->blob, err);
	if (r == 0)
		self->to = ix_digest_writer_new(ix_blob_stream(self->blob), &self->digest, &self->size);
	return r;
}

static void download_release(struct download *self)
{
	ix_writer_free(self->to);
	ix_blob_abort(self->blob);
}

static int take(void *data, struct ix_http_request *req, const void *bytes, size_t len, struct ix_err *err)
{
	struct download *self = data;
	int r;

	if (self->exchange != req->exchanges && (r = begin(self, err)) < 0)
		return r;
	self->exchange = req->exchanges;
	return ix_write(self->to, bytes, len, err);
}

static void keep_header(const struct ix_http_reply *reply, const char *name, char value[static HEADER_MAX + 1])
{
	const char *sent = ix_http_header(reply, name, 0);

	if (sent && strlen(sent) <= HEADER_MAX)
		memcpy(value, sent, strlen(sent) + 1);
}

static int keep(struct download *self, const struct ix_http_reply *reply, struct memory *news, struct ix_err *err)
{
	int r;

	if (!self->to && (r = begin(self, err)) < 0) /* it has no bytes */
		return r;
	r = ix_write_finish(self->to, err);
	if (r < 0)
		return r;
	keep_header(reply, "ETag", news->etag);
	keep_header(reply, "Last-Modified", news->modified);
	if (!ix_http_date(news->modified, &news->file.mtime_s) || news->file.mtime_s < 0)
		news->file.mtime_s = 0;
	news->file.digest = self->digest;
	news->file.size = self->size;
	return ix_blob_commit(ix_steal(&self->blob), &news->file.digest, err);
}

/* A secret for the host, else what the URL says. */
static int add_authorization(struct ix_remotes *remotes, const char *url, struct ix_secret *auth, struct ix_err *err)
{
	ix_auto_free char *host = remote_host(url);
	ix_auto_secret_buf value = IX_BUF_INIT(IX_TOKEN_MAX);
	int r = remote_secret(remotes, "HTTP_AUTH_HEADER", '_', host, false, &value, err);

	if (r == 0)
		ix_secret_set(auth, ix_buf_str(&value));
	if (r != -IX_ENOTFOUND)
		return r;
	r = remote_secret(remotes, "HTTP_AUTH_TOKEN", '_', host, false, &value, err);
	if (r == 0)
		ix_secret_take(auth, ix_asprintf("Bearer %s", ix_buf_str(&value)));
	return r == -IX_ENOTFOUND ? 0 : r;
}

/* *ret_status 200: news is of a blob in the store; 304: what is known still holds. */
static int ask(struct ix_remotes *remotes, struct ix_http_request *req, const struct memory *before, struct memory *news,
	       struct ix_err *err)
{
	ix_scoped(download_release) struct download self = { .store = remotes->opts.store };
	int r = add_authorization(remotes, req->url, &req->auth, err);

	if (r < 0)
		return r;
	if (before && before->etag[0])
		ix_strv_addf(&req->headers, "If-None-Match: %s", before->etag);
	else if (before && before->modified[0])
		ix_strv_addf(&req->headers, "If-Modified-Since: %s", before->modified);
	req->sink = take;
	/* cppcheck-suppress autoVariables ; the request is run here and nowhere else */
	req->sink_data = &self;
	r = ix_http_run(req, err);
	if (r < 0 || (req->reply.status == 304 && before))
		return r;
	if (req->reply.status == 200)
		return keep(&self, &req->reply, news, err);
	ix_err_set(err, req->reply.status == 404 ? IX_ENOTFOUND : IX_EFAIL, "%ld %s", req->reply.status,
		   ix_http_status_words(req->reply.status));
	return ix_http_error(req, err);
}

static int fetch(struct ix_remotes *remotes, const char *url, struct ix_secret *basic_take, const struct memory *before,
		 struct memory *news, bool *ret_changed, struct ix_err *err)
{
	static const struct ix_http_site_ops ops = { 0 };
	ix_auto_free char *authority = ix_url_authority(url);
	struct ix_http_site site = {
		.ops = &ops, .name = authority, .authority = authority, .certificate_advice = "name its CA file with SSL_CERT_FILE"
	};
	ix_auto_http_request req = { 0 };

	ix_http_request_init(&req, remotes->http, &site, "GET", ix_strdup(url));
	ix_secret_take(&req.auth, ix_steal(&basic_take->value));
	int r = ask(remotes, &req, before, news, err);
	*ret_changed = req.reply.status == 200;
	return r;
}

int file_fetch(struct ix_remotes *remotes, const struct ix_remote *remote, struct ix_remote_file *ret_file, struct ix_err *err)
{
	ix_auto_free char *url = NULL;
	ix_auto_secret basic = { 0 };
	struct memory before = { 0 }, news = { 0 };
	ix_auto_free char *shown = ix_url_shown(remote->url);
	char got[IX_DIGEST_TEXT];
	bool known, changed;
	int r = ix_url_split_user(remote->url, &url, &basic, err);

	if (r < 0)
		return r;
	known = recall(remotes, url, &before);
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
	r = fetch(remotes, url, &basic, known ? &before : NULL, &news, &changed, err);
	if (r < 0)
		return r;
	if (!changed)
		news = before;
	else if ((r = memorise(remotes, url, &news, err)) < 0)
		return r;
	if (remote->checksum && strcmp(remote->checksum, ix_digest_text(&news.file.digest, got)) != 0)
		return ix_err_set(err, IX_ECORRUPT, "GET %s: digest mismatch %s: %s", shown, got, remote->checksum);
	*ret_file = news.file;
	return 0;
}
