#include "jail/users_int.h"
#include "sandbox/idmap_int.h"
#include "test_sandbox_box.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n# comment:x:7:7::/:\nbroken\nbad:x:zero:0::/:\n\n"
			     "app:x:1000:1001::/home/app:/bin/sh\n1000:x:5:5::/five:\nnohome:x:6:6:::\nlast:x:9:9::/last";
static const char group[] = "root:x:0:\nadm:x:4:root,app\nbroken\nstaff:x:50:other,app\nstaff2:x:50:app\napp:x:1001:\n1234:x:77:\n";

static void expect_user(const char *spec, uid_t uid, gid_t gid, const char *home, size_t ngroups, const gid_t *groups)
{
	struct user user;
	struct ix_err err;

	if (jail_user_find(spec, passwd, group, &user, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(user.uid, uid);
	assert_int_equal(user.gid, gid);
	assert_string_equal(user.home ? user.home : "-", home);
	assert_int_equal(user.ngroups, ngroups);
	for (size_t i = 0; i < ngroups; i++)
		assert_int_equal(user.groups[i], groups[i]);
	jail_user_release(&user);
}

#define GROUPS(...)                                                                                                                        \
	IX_ARRAY_LEN(((const gid_t[]){ __VA_ARGS__ })), (const gid_t[])                                                                    \
	{                                                                                                                                  \
		__VA_ARGS__                                                                                                                \
	}

static void names_and_numbers_are_found(void **state)
{
	(void)state;
	expect_user(NULL, 0, 0, "/root", GROUPS(0, 4));
	expect_user("", 0, 0, "/root", GROUPS(0, 4));
	expect_user("app", 1000, 1001, "/home/app", GROUPS(1001, 4, 50));
	expect_user("last", 9, 9, "/last", GROUPS(9));
	expect_user("nohome", 6, 6, "", GROUPS(6));
	/* A number means the uid, even when somebody is called that. */
	expect_user("1000", 1000, 1001, "/home/app", GROUPS(1001, 4, 50));
	expect_user("4321", 4321, 0, "-", GROUPS(0));
	expect_user("2147483647", 2147483647, 0, "-", GROUPS(0));
}

static void group_of_the_spec_replaces_the_others(void **state)
{
	(void)state;
	expect_user("app:staff", 1000, 50, "/home/app", GROUPS(50));
	expect_user("app:1234", 1000, 1234, "/home/app", GROUPS(1234));
	expect_user("5:6", 5, 6, "/five", GROUPS(6));
	expect_user(":staff", 0, 50, "/root", GROUPS(50));
	expect_user("app:", 1000, 1001, "/home/app", GROUPS(1001, 4, 50));
}

static void expect_error(const char *spec, const char *message)
{
	struct user user;
	struct ix_err err;

	assert_int_equal(jail_user_find(spec, passwd, group, &user, &err), -IX_EARG);
	assert_string_equal(err.msg, message);
}

static void unknown_names_are_errors(void **state)
{
	(void)state;
	expect_error("foo", "unable to find user foo: no matching entries in passwd file");
	expect_error("bad", "unable to find user bad: no matching entries in passwd file");
	expect_error("-1", "unable to find user -1: no matching entries in passwd file");
	expect_error("app:foo", "unable to find group foo: no matching entries in group file");
	expect_error("2147483648", "user 2147483648: uids and gids must be in range 0-2147483647");
	expect_error("0:99999999999999999999", "group 99999999999999999999: uids and gids must be in range 0-2147483647");
}

/* --- subordinate ids --- */

static void expect_range(const struct id_map *map, size_t i, uint32_t inside, uint32_t outside, uint32_t count)
{
	assert_true(i < map->count);
	assert_int_equal(map->ranges[i].inside, inside);
	assert_int_equal(map->ranges[i].outside, outside);
	assert_int_equal(map->ranges[i].count, count);
}

static void subids_are_read_by_name_and_number(void **state)
{
	struct id_map map;

	(void)state;
	sandbox_idmap_init(&map, 1000);
	sandbox_idmap_add_subids(&map, "other:1:2\nme:100000:65536\n1000:300000:1000\n10000:5:5\nme:400000:1", "me", 1000);
	assert_int_equal(map.count, 4);
	expect_range(&map, 0, 0, 1000, 1);
	expect_range(&map, 1, 1, 100000, 65536);
	expect_range(&map, 2, 65537, 300000, 1000);
	expect_range(&map, 3, 66537, 400000, 1);
}

static void bad_and_overlapping_subids_are_left_out(void **state)
{
	struct id_map map;

	(void)state;
	sandbox_idmap_init(&map, 1000);
	sandbox_idmap_add_subids(
		&map,
		"me\nme:\nme:5\nme:x:5\nme:5:-1\nme:5:0\nme:4294967295:1\nme:1:4294967295\nme:999:2\nme:2000:10\n1000:2009:5\n"
		"me:2010:5\nme:99999999999:1\n",
		"me", 1000);
	assert_int_equal(map.count, 3);
	expect_range(&map, 1, 1, 2000, 10);
	expect_range(&map, 2, 11, 2010, 5);
	sandbox_idmap_init(&map, 1000);
	sandbox_idmap_add_subids(&map, ":5:5\n", NULL, 1000);
	assert_int_equal(map.count, 1);
}

static void too_many_subids_are_cut(void **state)
{
	ix_auto_buf text = { 0 };
	struct id_map map;

	(void)state;
	for (int i = 0; i < 1000; i++)
		ix_buf_printf(&text, "me:%d:5\n", 100000 + 10 * i);
	sandbox_idmap_init(&map, 1000);
	sandbox_idmap_add_subids(&map, text.data, "me", 1000);
	assert_int_equal(map.count, ID_RANGES_MAX);
}

static void identity_keeps_every_number(void **state)
{
	struct id_map map;

	(void)state;
	sandbox_idmap_identity(&map, "         0       1000          1\n         1     100000      65536\n");
	assert_int_equal(map.count, 2);
	expect_range(&map, 0, 0, 0, 1);
	expect_range(&map, 1, 1, 1, 65536);
	sandbox_idmap_identity(&map, "");
	assert_int_equal(map.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_are_found),
		cmocka_unit_test(group_of_the_spec_replaces_the_others),
		cmocka_unit_test(unknown_names_are_errors),
		cmocka_unit_test(subids_are_read_by_name_and_number),
		cmocka_unit_test(bad_and_overlapping_subids_are_left_out),
		cmocka_unit_test(too_many_subids_are_cut),
		cmocka_unit_test(identity_keeps_every_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
