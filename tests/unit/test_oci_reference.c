#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "oci/reference.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA "sha256:" HEX
#define X127                                                                                                                               \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *text, *whole, *familiar;
} good[] = {
	{ "debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "debian:12", "docker.io/library/debian:12", "debian:12" },
	{ "debian@" SHA, "docker.io/library/debian@" SHA, "debian@" SHA },
	{ "debian:12@" SHA, "docker.io/library/debian:12@" SHA, "debian:12@" SHA },
	{ "library/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12" },
	{ "index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
	{ "index.docker.io/acme/app:1", "docker.io/acme/app:1", "acme/app:1" },
	{ "acme/app", "docker.io/acme/app:latest", "acme/app:latest" },
	{ "library/acme/app", "docker.io/library/acme/app:latest", "library/acme/app:latest" },
	{ "a/b/c/d/e", "docker.io/a/b/c/d/e:latest", "a/b/c/d/e:latest" },
	{ "localhost/app", "localhost/app:latest", "localhost/app:latest" },
	{ "localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest" },
	{ "localhost:5000", "docker.io/library/localhost:5000", "localhost:5000" },
	{ "localhosts/app", "docker.io/localhosts/app:latest", "localhosts/app:latest" },
	{ "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c" },
	{ "127.0.0.1/a", "127.0.0.1/a:latest", "127.0.0.1/a:latest" },
	{ "[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1" },
	{ "[::1]/app", "[::1]/app:latest", "[::1]/app:latest" },
	{ "[2001:db8::2]:65535/a/b@" SHA, "[2001:db8::2]:65535/a/b@" SHA, "[2001:db8::2]:65535/a/b@" SHA },
	{ "registry.example/app", "registry.example/app:latest", "registry.example/app:latest" },
	{ "registry.example:443/app:v1.2.3", "registry.example:443/app:v1.2.3", "registry.example:443/app:v1.2.3" },
	{ "host:1/app", "host:1/app:latest", "host:1/app:latest" },
	{ "REGISTRY/app", "REGISTRY/app:latest", "REGISTRY/app:latest" },
	{ "Registry.Example/app", "Registry.Example/app:latest", "Registry.Example/app:latest" },
	{ "a-b.example/app", "a-b.example/app:latest", "a-b.example/app:latest" },
	{ "docker.io/foo.bar/x", "docker.io/foo.bar/x:latest", "docker.io/foo.bar/x:latest" },
	{ "ghcr.io/o/r/i:sha-1234_5", "ghcr.io/o/r/i:sha-1234_5", "ghcr.io/o/r/i:sha-1234_5" },
	{ "a.b", "docker.io/library/a.b:latest", "a.b:latest" },
	{ "a_b", "docker.io/library/a_b:latest", "a_b:latest" },
	{ "a__b", "docker.io/library/a__b:latest", "a__b:latest" },
	{ "a-b", "docker.io/library/a-b:latest", "a-b:latest" },
	{ "a---b", "docker.io/library/a---b:latest", "a---b:latest" },
	{ "a:_", "docker.io/library/a:_", "a:_" },
	{ "a:A.B-c_9", "docker.io/library/a:A.B-c_9", "a:A.B-c_9" },
	{ "a:" X127, "docker.io/library/a:" X127, "a:" X127 },
	{ "a:" X127 "a", "docker.io/library/a:" X127 "a", "a:" X127 "a" },
	{ "0", "docker.io/library/0:latest", "0:latest" },
	{ HEX ":1", "docker.io/library/" HEX ":1", HEX ":1" },
	{ "docker.io/" HEX, "docker.io/library/" HEX ":latest", HEX ":latest" },
	{ "x.y:80/z:80", "x.y:80/z:80", "x.y:80/z:80" },
};

static const struct {
	const char *text, *message;
} bad[] = {
	{ "", "the image reference is empty" },
	{ ":tag", "image reference ':tag': the name is empty" },
	{ "@" SHA, "the name is empty" },
	{ "a:", "image reference 'a:': the tag after ':' is empty" },
	{ "a:-b", "tag '-b' has a bad character" },
	{ "a:.b", "tag '.b' has a bad character" },
	{ "a:b c", "tag 'b c' has a bad character" },
	{ "a:b+c", "tag 'b+c' has a bad character" },
	{ "a:" X127 "aa", "is longer than 128 bytes" },
	{ "a@", "digest '' is not sha256: and 64 lower-case hex digits" },
	{ "a@sha256:"
	  "12",
	  "digest 'sha256:12' is not sha256:" },
	{ "a@sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "64 lower-case hex digits" },
	{ "a@" SHA "0", "64 lower-case hex digits" },
	{ "a@sha512:12", "digest 'sha512:12' is not sha256, the only algorithm ix reads" },
	{ "a@" SHA "@" SHA, "64 lower-case hex digits" },
	{ HEX, "64 hex digits are an image id, not a name" },
	{ "Debian", "repository 'library/Debian' must be lower case" },
	{ "acme/App", "repository 'acme/App' must be lower case" },
	{ "host.example/App:1", "repository 'App' must be lower case" },
	{ "a//b", "has an empty part" },
	{ "a/", "has an empty part" },
	{ "host.example/", "has an empty part" },
	{ "/a", "has an empty part" },
	{ "a..b", "bad part 'a..b'" },
	{ "a___b", "bad part 'a___b'" },
	{ "a._b", "bad part 'a._b'" },
	{ "-a", "bad part '-a'" },
	{ "a-", "bad part 'a-'" },
	{ ".a", "bad part '.a'" },
	{ "a b", "bad part 'a b'" },
	{ "a\n", "bad part 'a '" },
	{ "a/..", "bad part '..'" },
	{ "../a", "'..' is not a registry host" },
	{ "a..b/c", "'a..b' is not a registry host" },
	{ "-a.b/c", "'-a.b' is not a registry host" },
	{ "a.b-/c", "'a.b-' is not a registry host" },
	{ "a_b.c/d", "'a_b.c' is not a registry host" },
	{ "a.b:/c", "'a.b:' has a bad port" },
	{ "a.b:0/c", "'a.b:0' has a bad port: write host:1-65535" },
	{ "a.b:65536/c", "'a.b:65536' has a bad port" },
	{ "a.b:x/c", "'a.b:x' has a bad port" },
	{ "a.b:80:81/c", "has a bad port" },
	{ "[::1]", "tag '1]' has a bad character" },
	{ "[::1/a", "'[::1' is not a registry host" },
	{ "[::g]/a", "'[::g]' is not a registry host" },
	{ "[::1]x/a", "'[::1]x' has a bad port" },
	{ "https://a.b/c", "image reference 'https://a.b/c': leave out the 'https://'" },
	{ "a.b/" X127 "/" X127 "/b", "longer than 255 bytes" },
};

static void good_references_are_normalised(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(good); i++) {
		ix_auto_ref ref = { 0 };
		struct ix_err err;

		if (ix_ref_parse(good[i].text, &ref, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.msg);
		ix_auto_free char *whole = ix_ref_text(&ref);
		ix_auto_free char *familiar = ix_ref_familiar(&ref);
		assert_string_equal(whole, good[i].whole);
		assert_string_equal(familiar, good[i].familiar);
	}
}

static void every_form_parses_to_the_same_reference(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(good); i++) {
		ix_auto_ref whole = { 0 }, familiar = { 0 };
		struct ix_err err;

		assert_int_equal(ix_ref_parse(good[i].whole, &whole, &err), 0);
		assert_int_equal(ix_ref_parse(good[i].familiar, &familiar, &err), 0);
		assert_string_equal(whole.host, familiar.host);
		assert_string_equal(whole.repository, familiar.repository);
		assert_string_equal(ix_ref_selector(&whole), ix_ref_selector(&familiar));
	}
}

static void bad_references_say_what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++) {
		ix_auto_ref ref = { 0 };
		struct ix_err err;

		if (ix_ref_parse(bad[i].text, &ref, &err) != -IX_EARG)
			fail_msg("'%s' was accepted", bad[i].text);
		if (!strstr(err.msg, bad[i].message))
			fail_msg("'%s': '%s' does not hold '%s'", bad[i].text, err.msg, bad[i].message);
		assert_null(ref.host);
	}
}

static void a_reference_longer_than_a_kilobyte_is_refused(void **state)
{
	ix_auto_ref ref = { 0 };
	struct ix_err err;
	char text[2000];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(ix_ref_parse(text, &ref, &err), -IX_EARG);
	assert_non_null(strstr(err.msg, "is longer than 1024 bytes"));
}

static void selector_prefers_the_digest(void **state)
{
	ix_auto_ref ref = { 0 }, copy = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_ref_parse("a.b/c:t@" SHA, &ref, &err), 0);
	ix_ref_copy(&ref, &copy);
	assert_string_equal(ix_ref_selector(&copy), SHA);
	assert_string_equal(copy.tag, "t");
	assert_string_equal(copy.host, "a.b");
	assert_ptr_not_equal(copy.host, ref.host);
}

static void a_digest_alone_leaves_the_tag_out(void **state)
{
	ix_auto_ref ref = { 0 };
	struct ix_err err;

	(void)state;
	assert_int_equal(ix_ref_parse("debian@" SHA, &ref, &err), 0);
	assert_null(ref.tag);
	assert_string_equal(ref.digest, SHA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_references_are_normalised),   cmocka_unit_test(every_form_parses_to_the_same_reference),
		cmocka_unit_test(bad_references_say_what_is_wrong), cmocka_unit_test(a_reference_longer_than_a_kilobyte_is_refused),
		cmocka_unit_test(selector_prefers_the_digest),      cmocka_unit_test(a_digest_alone_leaves_the_tag_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
