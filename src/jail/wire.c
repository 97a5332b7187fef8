#include "jail/jail.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"

/* --- out --- */

static void put_u64(struct ix_buf *bytes, uint64_t value)
{
	ix_buf_put(bytes, &value, sizeof(value));
}

/* Length plus one, so that absent and empty differ; the NUL travels along and makes the bytes usable in place. */
static void put_text(struct ix_buf *bytes, const char *text)
{
	put_u64(bytes, text ? strlen(text) + 1 : 0);
	if (text)
		ix_buf_put(bytes, text, strlen(text) + 1);
}

static void put_texts(struct ix_buf *bytes, const char *const *texts)
{
	uint64_t count = 0;

	while (texts && texts[count])
		count++;
	put_u64(bytes, count);
	for (uint64_t i = 0; i < count; i++)
		put_text(bytes, texts[i]);
}

static void put_mount(struct ix_buf *bytes, const struct ix_jail_mount *mount)
{
	put_u64(bytes, mount->kind);
	put_text(bytes, mount->source);
	put_text(bytes, mount->subpath);
	put_text(bytes, mount->target);
	put_u64(bytes, mount->read_only);
	put_u64(bytes, mount->size);
	put_u64(bytes, mount->mode);
}

int ix_jail_orders_encode(const struct ix_jail_orders *orders, struct ix_buf *bytes, struct ix_err *err)
{
	const struct ix_jail_plan *plan = &orders->plan;

	put_u64(bytes, (uint64_t)orders->parent);
	put_u64(bytes, orders->confinement);
	put_u64(bytes, orders->filter_len);
	ix_buf_put(bytes, orders->filter, orders->filter_len);
	put_texts(bytes, plan->argv);
	put_texts(bytes, plan->env);
	put_text(bytes, plan->cwd);
	put_text(bytes, plan->user);
	put_text(bytes, plan->hostname);
	put_u64(bytes, plan->no_network);
	put_text(bytes, plan->hosts_file);
	put_text(bytes, plan->resolv_file);
	put_u64(bytes, plan->insecure);
	put_u64(bytes, plan->interactive);
	put_u64(bytes, plan->shm_size);
	put_u64(bytes, plan->first_pid);
	put_u64(bytes, plan->boot_offset_s);
	put_u64(bytes, plan->nlimits);
	for (size_t i = 0; i < plan->nlimits; i++) {
		put_u64(bytes, (uint64_t)plan->limits[i].resource);
		put_u64(bytes, plan->limits[i].soft);
		put_u64(bytes, plan->limits[i].hard);
	}
	put_u64(bytes, plan->nmounts);
	for (size_t i = 0; i < plan->nmounts; i++)
		put_mount(bytes, &plan->mounts[i]);
	if (bytes->len > IX_JAIL_PLAN_MAX)
		return ix_err_set(err, IX_ELIMIT, "the command line and environment of a step are larger than %d MiB",
				  IX_JAIL_PLAN_MAX >> 20);
	return 0;
}

/* --- in --- */

struct cursor {
	const char *at;
	size_t left;
	bool bad; /* sticky */
};

static const void *take(struct cursor *cursor, size_t len)
{
	const char *at = cursor->at;

	if (cursor->bad || len > cursor->left) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += len;
	cursor->left -= len;
	return at;
}

static uint64_t take_u64(struct cursor *cursor)
{
	const void *at = take(cursor, sizeof(uint64_t));
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

static const char *take_text(struct cursor *cursor)
{
	uint64_t len = take_u64(cursor);
	const char *text = len > 0 ? take(cursor, len) : NULL;

	if (text && memchr(text, '\0', len) != text + len - 1) {
		cursor->bad = true;
		return NULL;
	}
	return text;
}

static const char **take_texts(struct cursor *cursor)
{
	uint64_t count = take_u64(cursor);
	const char **texts;

	if (count > IX_JAIL_WORDS_MAX) {
		cursor->bad = true;
		count = 0;
	}
	texts = ix_calloc(count + 1, sizeof(*texts));
	for (uint64_t i = 0; i < count && !cursor->bad; i++)
		texts[i] = take_text(cursor);
	return texts;
}

static struct ix_jail_mount *take_mounts(struct cursor *cursor, size_t count)
{
	struct ix_jail_mount *mounts = ix_calloc(count + 1, sizeof(*mounts));
	int tree = IX_JAIL_FD_TREES;

	for (size_t i = 0; i < count && !cursor->bad; i++) {
		struct ix_jail_mount *mount = &mounts[i];

		mount->kind = (enum ix_jail_mount_kind)take_u64(cursor);
		mount->source = take_text(cursor);
		mount->subpath = take_text(cursor);
		mount->target = take_text(cursor);
		mount->read_only = take_u64(cursor) != 0;
		mount->size = take_u64(cursor);
		mount->mode = (uint32_t)take_u64(cursor);
		mount->tree_fd = mount->kind == IX_JAIL_OVERLAY ? tree++ : -1;
	}
	return mounts;
}

static struct ix_jail_limit *take_limits(struct cursor *cursor, size_t count)
{
	struct ix_jail_limit *limits = ix_calloc(count + 1, sizeof(*limits));

	for (size_t i = 0; i < count && !cursor->bad; i++) {
		limits[i].resource = (int)take_u64(cursor);
		limits[i].soft = take_u64(cursor);
		limits[i].hard = take_u64(cursor);
	}
	return limits;
}

int ix_jail_orders_decode(const struct ix_buf *bytes, struct ix_jail_orders *ret_orders, struct ix_err *err)
{
	struct cursor cursor = { .at = bytes->data, .left = bytes->len };
	struct ix_jail_orders orders = { 0 };
	struct ix_jail_plan *plan = &orders.plan;

	orders.parent = (pid_t)take_u64(&cursor);
	orders.confinement = (enum ix_confinement)take_u64(&cursor);
	orders.filter_len = take_u64(&cursor);
	orders.filter = take(&cursor, orders.filter_len);
	plan->argv = take_texts(&cursor);
	plan->env = take_texts(&cursor);
	plan->cwd = take_text(&cursor);
	plan->user = take_text(&cursor);
	plan->hostname = take_text(&cursor);
	plan->no_network = take_u64(&cursor) != 0;
	plan->hosts_file = take_text(&cursor);
	plan->resolv_file = take_text(&cursor);
	plan->insecure = take_u64(&cursor) != 0;
	plan->interactive = take_u64(&cursor) != 0;
	plan->shm_size = take_u64(&cursor);
	plan->first_pid = (uint32_t)take_u64(&cursor);
	plan->boot_offset_s = (uint32_t)take_u64(&cursor);
	plan->nlimits = take_u64(&cursor);
	cursor.bad |= plan->nlimits > IX_JAIL_LIMITS_MAX;
	plan->limits = take_limits(&cursor, cursor.bad ? 0 : plan->nlimits);
	plan->nmounts = take_u64(&cursor);
	cursor.bad |= plan->nmounts > IX_JAIL_MOUNTS_MAX;
	plan->mounts = take_mounts(&cursor, cursor.bad ? 0 : plan->nmounts);
	if (cursor.bad || cursor.left > 0 || !plan->argv[0] || !plan->cwd) {
		ix_jail_orders_release(&orders);
		return ix_err_set(err, IX_ECORRUPT, "the sandbox's plan is damaged");
	}
	plan->root_fd = IX_JAIL_FD_ROOT;
	plan->stdin_fd = 0;
	plan->stdout_fd = 1;
	plan->stderr_fd = 2;
	*ret_orders = orders;
	return 0;
}

void ix_jail_orders_release(struct ix_jail_orders *orders)
{
	free((void *)(uintptr_t)orders->plan.argv);
	free((void *)(uintptr_t)orders->plan.env);
	free((void *)(uintptr_t)orders->plan.mounts);
	free((void *)(uintptr_t)orders->plan.limits);
	*orders = (struct ix_jail_orders){ 0 };
}
