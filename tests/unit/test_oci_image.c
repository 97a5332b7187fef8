#include "unit.h"

#include "base/alloc.h"
#include "oci/image.h"

#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* What a member may be, as Go's types that clients write it from; null and absent are always right. */
enum kind { TEXT, LIST, COMMAND, PAIRS, KEYS, NUMBER, FLAG, OBJECT, OBJECTS, DIGESTS };

static const char *const values[] = {
	"null",
	"\"\"",
	"\"x\"",
	"[]",
	"[\"x\"]",
	"[1]",
	"[null]",
	"[[]]",
	"[{}]",
	"{}",
	"0",
	"1",
	"-1",
	"1.5",
	"true",
	"false",
	"{\"a\":\"b\"}",
	"{\"a\":{}}",
	"{\"a\":1}",
	"{\"a\":null}",
	"[\"" SHA "\"]",
	"9223372036854775807",
};

static bool one_of(const char *value, const char *const *good)
{
	for (; *good; good++)
		if (strcmp(value, *good) == 0)
			return true;
	return false;
}

static bool may_be(enum kind kind, const char *value)
{
	static const char *const good[][12] = {
		[TEXT] = { "\"\"", "\"x\"" },
		[LIST] = { "[]", "[\"x\"]", "[null]", "[\"" SHA "\"]" },
		[COMMAND] = { "[]", "[\"x\"]", "[null]", "[\"" SHA "\"]", "\"\"", "\"x\"" },
		[PAIRS] = { "{}", "{\"a\":\"b\"}", "{\"a\":null}" },
		[KEYS] = { "{}", "{\"a\":\"b\"}", "{\"a\":{}}", "{\"a\":1}", "{\"a\":null}" },
		[NUMBER] = { "0", "1", "-1", "9223372036854775807" },
		[FLAG] = { "true", "false" },
		[OBJECT] = { "{}", "{\"a\":\"b\"}", "{\"a\":{}}", "{\"a\":1}", "{\"a\":null}" },
		[OBJECTS] = { "[]", "[{}]" },
		[DIGESTS] = { "[]", "[\"" SHA "\"]" },
	};

	return strcmp(value, "null") == 0 || one_of(value, good[kind]);
}

static const struct {
	const char *around; /* the document, with the member in its place */
	const char *name;
	enum kind kind;
} members[] = {
	{ "{%s}", "created", TEXT },
	{ "{%s}", "author", TEXT },
	{ "{%s}", "architecture", TEXT },
	{ "{%s}", "os", TEXT },
	{ "{\"os\":\"linux\",\"architecture\":\"amd64\",%s}", "variant", TEXT },
	{ "{%s}", "os.version", TEXT },
	{ "{%s}", "config", OBJECT },
	{ "{%s}", "rootfs", OBJECT },
	{ "{%s}", "history", OBJECTS },
	{ "{\"rootfs\":{\"type\":\"layers\",%s}}", "diff_ids", DIGESTS },
	{ "{\"history\":[{},{%s}]}", "created", TEXT },
	{ "{\"history\":[{},{%s}]}", "created_by", TEXT },
	{ "{\"history\":[{},{%s}]}", "author", TEXT },
	{ "{\"history\":[{},{%s}]}", "comment", TEXT },
	{ "{\"history\":[{},{%s}]}", "empty_layer", FLAG },
	{ "{\"config\":{%s}}", "User", TEXT },
	{ "{\"config\":{%s}}", "WorkingDir", TEXT },
	{ "{\"config\":{%s}}", "StopSignal", TEXT },
	{ "{\"config\":{%s}}", "Env", LIST },
	{ "{\"config\":{%s}}", "Cmd", COMMAND },
	{ "{\"config\":{%s}}", "Entrypoint", COMMAND },
	{ "{\"config\":{%s}}", "Shell", COMMAND },
	{ "{\"config\":{%s}}", "OnBuild", LIST },
	{ "{\"config\":{%s}}", "ExposedPorts", KEYS },
	{ "{\"config\":{%s}}", "Volumes", KEYS },
	{ "{\"config\":{%s}}", "Labels", PAIRS },
	{ "{\"config\":{%s}}", "ArgsEscaped", FLAG },
	{ "{\"config\":{%s}}", "Healthcheck", OBJECT },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "Test", LIST },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "Interval", NUMBER },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "Timeout", NUMBER },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "StartPeriod", NUMBER },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "StartInterval", NUMBER },
	{ "{\"config\":{\"Healthcheck\":{%s}}}", "Retries", NUMBER },
};

static void each_member_of_a_config_is_what_clients_write_or_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(members); i++) {
		for (size_t j = 0; j < IX_ARRAY_LEN(values); j++) {
			ix_auto_free char *member = ix_asprintf("\"%s\":%s", members[i].name, values[j]);
			char document[512];
			ix_auto_config config = { 0 };
			struct ix_err err = { 0 };
			const char *at = strstr(members[i].around, "%s");
			int r;

			snprintf(document, sizeof(document), "%.*s%s%s", (int)(at - members[i].around), members[i].around, member, at + 2);
			r = ix_config_parse(document, strlen(document), &config, &err);
			if (may_be(members[i].kind, values[j]) != (r == 0))
				fail_msg("%s: %s", document, r == 0 ? "taken" : err.msg);
			if (r < 0 && (!strstr(err.msg, members[i].name) || !strstr(err.msg, "wrong")))
				fail_msg("%s: '%s' does not name it", document, err.msg);
			if (r == 0) {
				ix_auto_config copy = { 0 };

				ix_config_copy(&config, &copy);
			}
		}
	}
}

static void what_is_empty_says_nothing(void **state)
{
	static const char document[] =
		"{\"created\":\"\",\"author\":\"\",\"os.version\":\"\",\"variant\":\"\",\"os\":\"\",\"architecture\":\"\","
		"\"config\":{\"User\":\"\",\"WorkingDir\":\"\",\"StopSignal\":\"\",\"Env\":null,\"Labels\":null}}";
	ix_auto_config config = { 0 };
	struct ix_err err;

	(void)state;
	assert_ok(ix_config_parse(document, strlen(document), &config, &err), &err);
	assert_null(config.created);
	assert_null(config.author);
	assert_null(config.os_version);
	assert_null(config.user);
	assert_null(config.working_dir);
	assert_null(config.stop_signal);
	assert_int_equal(config.env.count, 0);
}

static const struct {
	const char *around, *name;
	enum kind kind;
	bool needed; /* null does not do */
} parts[] = {
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[],%s}", "mediaType", TEXT, false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[],%s}", "artifactType", TEXT, false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[],%s}", "annotations", PAIRS, false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2,%s},\"layers\":[]}", "annotations", PAIRS, false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[{\"digest\":\"" SHA "\",\"size\":2,%s}]}", "mediaType", TEXT,
	  false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[{\"digest\":\"" SHA "\",\"size\":2,%s}]}", "annotations", PAIRS,
	  false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[{\"digest\":\"" SHA "\",\"size\":2,%s}]}", "platform", OBJECT,
	  false },
	{ "{\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":[{\"digest\":\"" SHA "\",\"size\":2,\"platform\":{%s}}]}", "os", TEXT,
	  false },
	{ "{\"config\":{\"size\":2,%s},\"layers\":[]}", "digest", TEXT, true },
};

static void each_member_of_a_manifest_is_what_clients_write_or_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(parts); i++) {
		for (size_t j = 0; j < IX_ARRAY_LEN(values); j++) {
			const char *at = strstr(parts[i].around, "%s");
			ix_auto_manifest manifest = { 0 };
			struct ix_err err = { 0 };
			char document[600];
			int r;

			snprintf(document, sizeof(document), "%.*s\"%s\":%s%s", (int)(at - parts[i].around), parts[i].around, parts[i].name,
				 values[j], at + 2);
			r = ix_manifest_parse(document, strlen(document), &manifest, &err);
			if ((!parts[i].needed && may_be(parts[i].kind, values[j])) != (r == 0))
				fail_msg("%s: %s", document, r == 0 ? "taken" : err.msg);
			if (r < 0 && strcmp(parts[i].name, "digest") != 0 && (!strstr(err.msg, parts[i].name) || !strstr(err.msg, "wrong")))
				fail_msg("%s: '%s' does not name it", document, err.msg);
		}
	}
}

static void an_image_without_layers_may_say_null(void **state)
{
	static const char document[] =
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"" SHA "\",\"size\":2},\"layers\":null,\"subject\":null}";
	ix_auto_manifest manifest = { 0 };
	struct ix_err err;
	bool is_index;

	(void)state;
	assert_ok(ix_is_index("", document, strlen(document), &is_index, &err), &err);
	assert_false(is_index);
	assert_ok(ix_manifest_parse(document, strlen(document), &manifest, &err), &err);
	assert_int_equal(manifest.nlayers, 0);
}

static void an_index_with_entries_that_nobody_asks_for_is_read(void **state)
{
	static const char document[] =
		"{\"manifests\":[{\"digest\":\"" SHA "\",\"size\":1,\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}},"
		"{\"digest\":\"" SHA "\",\"size\":2,\"platform\":null},"
		"{\"digest\":\"" SHA
		"\",\"size\":3,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"os.version\":\"\",\"variant\":\"\"}}],"
		"\"annotations\":null}";
	const struct ix_platform amd64 = { "linux", "amd64", "" };
	const struct ix_descriptor *chosen;
	ix_auto_index index = { 0 };
	struct ix_err err;

	(void)state;
	assert_ok(ix_index_parse(document, strlen(document), &index, &err), &err);
	chosen = ix_index_select(&index, &amd64);
	assert_non_null(chosen);
	assert_int_equal(chosen->size, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_member_of_a_config_is_what_clients_write_or_named),
		cmocka_unit_test(what_is_empty_says_nothing),
		cmocka_unit_test(each_member_of_a_manifest_is_what_clients_write_or_named),
		cmocka_unit_test(an_image_without_layers_may_say_null),
		cmocka_unit_test(an_index_with_entries_that_nobody_asks_for_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
