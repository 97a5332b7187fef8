#include "jail/jail.h"
#include "test_sandbox_box.h"

static const char *const argv[] = { "sh", "", "-c", NULL };
static const char *const env[] = { NULL };
static const struct ix_jail_mount mounts[] = {
	{ .kind = IX_JAIL_OVERLAY, .subpath = "", .target = "/a", .tree_fd = 77 },
	{ .kind = IX_JAIL_TMPFS, .target = "/t", .size = UINT64_MAX, .mode = 01777, .tree_fd = -1 },
	{ .kind = IX_JAIL_OVERLAY, .target = "/b", .read_only = true, .tree_fd = 78 },
};

static void encode(struct ix_buf *bytes)
{
	const struct ix_jail_orders orders = {
		.plan = { .argv = argv,
			  .env = env,
			  .cwd = "/",
			  .user = "",
			  .no_network = true,
			  .mounts = mounts,
			  .nmounts = IX_ARRAY_LEN(mounts) },
		.parent = 4711,
		.filter = "12345678",
		.filter_len = 8,
	};
	struct ix_err err;

	assert_int_equal(ix_jail_orders_encode(&orders, bytes, &err), 0);
}

static void orders_arrive_as_they_were_sent(void **state)
{
	ix_auto_buf bytes = { 0 };
	struct ix_jail_orders orders;
	struct ix_err err;

	(void)state;
	encode(&bytes);
	assert_int_equal(ix_jail_orders_decode(&bytes, &orders, &err), 0);
	assert_int_equal(orders.parent, 4711);
	assert_memory_equal(orders.filter, "12345678", 8);
	assert_string_equal(orders.plan.argv[1], "");
	assert_string_equal(orders.plan.argv[2], "-c");
	assert_null(orders.plan.argv[3]);
	assert_null(orders.plan.env[0]);
	assert_string_equal(orders.plan.user, "");
	assert_null(orders.plan.hostname);
	assert_true(orders.plan.no_network);
	assert_false(orders.plan.insecure);
	assert_int_equal(orders.plan.nmounts, 3);
	assert_int_equal(orders.plan.mounts[0].tree_fd, IX_JAIL_FD_TREES);
	assert_int_equal(orders.plan.mounts[1].tree_fd, -1);
	assert_true(orders.plan.mounts[1].size == UINT64_MAX);
	assert_int_equal(orders.plan.mounts[2].tree_fd, IX_JAIL_FD_TREES + 1);
	assert_string_equal(orders.plan.mounts[0].subpath, "");
	assert_null(orders.plan.mounts[2].subpath);
	ix_jail_orders_release(&orders);
}

#define DAMAGED "the sandbox's plan is damaged"

static void cut_orders_are_refused(void **state)
{
	ix_auto_buf bytes = { 0 };

	(void)state;
	encode(&bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		ix_auto_free char *copy = ix_malloc(len + 1);
		struct ix_buf cut = { .data = copy, .len = len };
		struct ix_jail_orders orders = { 0 };
		struct ix_err err;

		memcpy(copy, bytes.data, len);
		assert_int_equal(ix_jail_orders_decode(&cut, &orders, &err), -IX_ECORRUPT);
		assert_string_equal(err.msg, DAMAGED);
	}
}

/* Refused or read, never out of bounds. */
static void inverted_bytes_do_no_harm(void **state)
{
	ix_auto_buf bytes = { 0 };

	(void)state;
	encode(&bytes);
	for (size_t i = 0; i < bytes.len; i++) {
		struct ix_jail_orders orders;
		struct ix_err err;

		bytes.data[i] = (char)~bytes.data[i];
		if (ix_jail_orders_decode(&bytes, &orders, &err) == 0)
			ix_jail_orders_release(&orders);
		bytes.data[i] = (char)~bytes.data[i];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(orders_arrive_as_they_were_sent), cmocka_unit_test(cut_orders_are_refused),
					    cmocka_unit_test(inverted_bytes_do_no_harm) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
