/* tags/list, page by page. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/http.h"
#include "registry/asked_int.h"
#include "registry/message_int.h"

#define auto_json ix_scoped(json_decrefp) json_t

enum { PAGE_MAX = 8 << 20, PAGES_MAX = 10000, TAGS_MAX = 1 << 20 };

static int parse_page(const struct ix_buf *body, struct ix_strv *tags, struct ix_err *err)
{
	auto_json *json = json_loadb(ix_buf_str(body), body->len, 0, NULL);
	const json_t *list = json_object_get(json, "tags");
	json_t *tag;
	size_t i;

	/* null: a repository without tags, in the words of some registries */
	if (!json_is_object(json) || (list && !json_is_null(list) && !json_is_array(list)))
		return ix_err_set(err, IX_ECORRUPT, "the answer is not a list of tags");
	json_array_foreach(list, i, tag)
	{
		if (!json_is_string(tag))
			return ix_err_set(err, IX_ECORRUPT, "the list of tags holds something else");
		if (tags->count == TAGS_MAX)
			return ix_err_set(err, IX_ELIMIT, "more than %d tags", TAGS_MAX);
		ix_strv_add(tags, json_string_value(tag));
	}
	return 0;
}

static int take_page(struct asked *asked, struct ix_strv *tags, char **ret_next, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(PAGE_MAX);
	ix_auto_free char *next = NULL;
	const char *link;
	struct ix_http_request *req = &asked->req;

	req->into = &body;
	int r = ix_http_run(req, err);
	if (r < 0)
		return r;
	if (req->reply.status != 200)
		return reply_error(req, err);
	if (parse_page(&body, tags, err) < 0)
		return ix_http_error(req, err);
	link = ix_http_header(&req->reply, "Link", 0);
	next = link ? ix_http_next_link(link) : NULL;
	if (next && ix_http_locate(req, next, ret_next, err) < 0)
		return ix_http_error(req, err);
	return 0;
}

int ix_registry_list_tags(struct ix_registry *registry, const struct ix_ref *ref, struct ix_strv *tags, struct ix_err *err)
{
	struct upstream *upstream;
	auto_asked asked = { 0 };
	int r;

	if ((r = hosts_upstream(&registry->hosts, ref->host, &upstream, err)) < 0 ||
	    (r = asked_init(&asked, registry, upstream_origin(upstream), ref->repository, "pull", "GET", "tags/list?n=1000", err)) < 0)
		return r;
	for (unsigned page = 0; page < PAGES_MAX; page++) {
		char *next = NULL;

		r = take_page(&asked, tags, &next, err);
		if (r < 0)
			return r;
		if (!next)
			return 0;
		free(asked.req.url);
		asked.req.url = next;
		ix_http_request_rearm(&asked.req);
	}
	return ix_err_set(err, IX_ELIMIT, "%s: more than %d pages of tags", ref->repository, PAGES_MAX);
}
