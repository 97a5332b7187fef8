#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "state_int.h"
#include "why_int.h"

static void diff_epoch(const json_t *then, const json_t *now, struct reasons *reasons)
{
	const json_t *a = json_object_get(then, "epoch"), *b = json_object_get(now, "epoch");

	if (a && b && !json_equal(a, b))
		because(reasons, "SOURCE_DATE_EPOCH %lld → %lld", (long long)json_integer_value(a), (long long)json_integer_value(b));
	else if (b && !a)
		because(reasons, "SOURCE_DATE_EPOCH unset → %lld", (long long)json_integer_value(b));
	else if (a && !b)
		because(reasons, "SOURCE_DATE_EPOCH %lld → unset", (long long)json_integer_value(a));
}

static void diff_account(const json_t *then, const json_t *now, struct reasons *reasons)
{
	if (strcmp(why_text(then, "platform"), why_text(now, "platform")) != 0)
		because(reasons, "platform %s → %s", why_text(then, "platform"), why_text(now, "platform"));
	diff_source("base", json_object_get(then, "base"), json_object_get(now, "base"), reasons);
	diff_steps(json_object_get(then, "steps"), json_object_get(now, "steps"), reasons);
	diff_texts("label", json_object_get(then, "labels"), json_object_get(now, "labels"), reasons);
	diff_epoch(then, now, reasons);
}

int ix_account_diff(const struct ix_buf *then, const struct ix_buf *now, const struct ix_account_lists *lists, struct ix_causes *ret_causes,
		    struct ix_err *err)
{
	auto_json *a = json_loadb(ix_buf_str(then), then->len, JSON_REJECT_DUPLICATES, NULL);
	auto_json *b = json_loadb(ix_buf_str(now), now->len, JSON_REJECT_DUPLICATES, NULL);
	ix_auto_causes causes = { 0 };
	struct reasons reasons = { .causes = &causes, .lists = lists, .diff_account = diff_account };

	if (!json_is_object(a) || !json_is_object(b))
		return ix_err_set(err, IX_ECORRUPT, "the account of a key is damaged");
	if (strcmp(why_text(a, "key"), why_text(b, "key")) == 0)
		return 0;
	reasons.then_inner = json_object_get(a, "inner");
	reasons.now_inner = json_object_get(b, "inner");
	if (!json_equal(json_object_get(a, "key_format"), json_object_get(b, "key_format")))
		because(&reasons, "another version of ix computes keys otherwise");
	else
		diff_account(a, b, &reasons);
	ix_map_release(&reasons.told);
	if (causes.count == 0)
		because(&reasons, "it was built with other settings");
	*ret_causes = causes;
	causes = (struct ix_causes){ 0 };
	return 0;
}
