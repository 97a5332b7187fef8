#include "unit.h"

#include "base/alloc.h"
#include "io/compress.h"

enum { LEN = 5 << 20 };

static char *sample(void)
{
	char *bytes = ix_malloc(LEN);
	uint32_t x = 1;

	for (size_t i = 0; i < LEN; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (char)(i % 7 ? 'a' + (x >> 28) : x >> 24);
	}
	return bytes;
}

static void compress_to(enum ix_compression kind, unsigned threads, const char *bytes, size_t len, struct ix_buf *out)
{
	ix_scoped(ix_writer_freep) struct ix_writer *sink = ix_buf_writer_new(out);
	ix_scoped(ix_writer_freep) struct ix_writer *writer = ix_compress_writer_new(sink, kind, 0, threads);
	struct ix_err err;

	/* In odd pieces, so that blocks do not meet writes. */
	for (size_t at = 0; at < len;) {
		size_t n = len - at < 70001 ? len - at : 70001;

		assert_ok(ix_write(writer, bytes + at, n, &err), &err);
		at += n;
	}
	assert_ok(ix_write_finish(writer, &err), &err);
}

static int decompress(const struct ix_buf *in, struct ix_buf *out, struct ix_err *err)
{
	ix_scoped(ix_reader_freep) struct ix_reader *source = ix_mem_reader_new(in->data, in->len);
	ix_scoped(ix_reader_freep) struct ix_reader *plain = ix_decompress_reader_new(source);
	ix_scoped(ix_reader_freep) struct ix_reader *ahead = ix_readahead_reader_new(plain);

	return ix_read_all(ahead, out, err);
}

static void what_is_compressed_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, LEN };
	ix_auto_free char *bytes = sample();

	(void)state;
	for (int kind = IX_COMPRESSION_NONE; kind <= IX_COMPRESSION_ZSTD; kind++) {
		for (size_t i = 0; i < IX_ARRAY_LEN(sizes); i++) {
			ix_auto_buf packed = { 0 }, back = { 0 };
			struct ix_err err;

			compress_to((enum ix_compression)kind, 2, bytes, sizes[i], &packed);
			assert_ok(decompress(&packed, &back, &err), &err);
			assert_int_equal(back.len, sizes[i]);
			assert_memory_equal(ix_buf_str(&back), bytes, sizes[i]);
		}
	}
}

static void any_number_of_threads_gives_the_same_bytes(void **state)
{
	ix_auto_free char *bytes = sample();

	(void)state;
	for (int kind = IX_COMPRESSION_GZIP; kind <= IX_COMPRESSION_ZSTD; kind++) {
		ix_auto_buf one = { 0 }, three = { 0 };

		compress_to((enum ix_compression)kind, 1, bytes, LEN, &one);
		compress_to((enum ix_compression)kind, 3, bytes, LEN, &three);
		assert_int_equal(one.len, three.len);
		assert_memory_equal(one.data, three.data, one.len);
	}
}

static void truncated_streams_are_refused(void **state)
{
	ix_auto_free char *bytes = sample();

	(void)state;
	for (int kind = IX_COMPRESSION_GZIP; kind <= IX_COMPRESSION_ZSTD; kind++) {
		for (size_t cut = 1; cut < 9; cut += 3) {
			ix_auto_buf packed = { 0 }, back = { 0 };
			struct ix_err err;

			compress_to((enum ix_compression)kind, 1, bytes, 200000, &packed);
			packed.len -= cut;
			assert_int_equal(decompress(&packed, &back, &err), -IX_ECORRUPT);
		}
	}
}

static void garbage_behind_a_stream_is_refused(void **state)
{
	ix_auto_buf packed = { 0 }, back = { 0 };
	struct ix_err err;

	(void)state;
	compress_to(IX_COMPRESSION_GZIP, 1, "hello", 5, &packed);
	ix_buf_puts(&packed, "garbage that is no gzip member");
	assert_int_equal(decompress(&packed, &back, &err), -IX_ECORRUPT);
}

static void concatenated_members_are_one_stream(void **state)
{
	ix_auto_buf packed = { 0 }, back = { 0 };
	struct ix_err err;

	(void)state;
	compress_to(IX_COMPRESSION_GZIP, 1, "one ", 4, &packed);
	compress_to(IX_COMPRESSION_GZIP, 1, "two", 3, &packed);
	assert_ok(decompress(&packed, &back, &err), &err);
	assert_string_equal(ix_buf_str(&back), "one two");
}

static void verifying_fails_closed(void **state)
{
	struct ix_digest digest;
	struct ix_err err;

	(void)state;
	ix_digest_of("hello", 5, &digest);
	for (size_t len = 4; len <= 6; len++) {
		ix_scoped(ix_writer_freep) struct ix_writer *verify = ix_verify_writer_new(NULL, &digest, 5);
		int r = ix_write(verify, "hello!", len, &err);

		if (r == 0)
			r = ix_write_finish(verify, &err);
		assert_int_equal(r, len == 5 ? 0 : -IX_ECORRUPT);
	}
	{
		ix_scoped(ix_writer_freep) struct ix_writer *verify = ix_verify_writer_new(NULL, &digest, 5);

		assert_ok(ix_write(verify, "hellO", 5, &err), &err);
		assert_int_equal(ix_write_finish(verify, &err), -IX_ECORRUPT);
		assert_says(&err, "does not match its digest");
	}
}

static void fields_cannot_be_taken_for_each_other(void **state)
{
	ix_scoped(ix_hash_freep) struct ix_hash *hash = ix_hash_new();
	struct ix_digest a, b, c;

	(void)state;
	ix_hash_text(hash, 1, "ab");
	ix_hash_text(hash, 1, "c");
	ix_hash_final(hash, &a);
	ix_hash_text(hash, 1, "a");
	ix_hash_text(hash, 1, "bc");
	ix_hash_final(hash, &b);
	assert_false(ix_digest_eq(&a, &b));
	ix_hash_text(hash, 1, "");
	ix_hash_final(hash, &b);
	ix_hash_text(hash, 1, NULL);
	ix_hash_final(hash, &c);
	assert_false(ix_digest_eq(&b, &c));
}

static void digests_are_sha256_in_lower_case_only(void **state)
{
	struct ix_digest digest;
	struct ix_err err;

	(void)state;
	assert_ok(ix_digest_parse("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &digest, &err), &err);
	assert_int_equal(ix_digest_parse("sha256:E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", &digest, &err),
			 -IX_ECORRUPT);
	assert_int_equal(ix_digest_parse("sha512:00", &digest, &err), -IX_ECORRUPT);
	assert_int_equal(ix_digest_parse("sha256:e3b0", &digest, &err), -IX_ECORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_compressed_comes_back),         cmocka_unit_test(any_number_of_threads_gives_the_same_bytes),
		cmocka_unit_test(truncated_streams_are_refused),         cmocka_unit_test(garbage_behind_a_stream_is_refused),
		cmocka_unit_test(concatenated_members_are_one_stream),   cmocka_unit_test(verifying_fails_closed),
		cmocka_unit_test(fields_cannot_be_taken_for_each_other), cmocka_unit_test(digests_are_sha256_in_lower_case_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
