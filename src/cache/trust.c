/*
 * Whether a stage's image from a registry is what its key says. An image says itself which key it was built for; one that was found by its second
 * key has a record for the other key, with it as subject. With trust: signed the record has to be signed by a key that is trusted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cache_int.h"

/* What is signed: everything that a reader of the record relies on. */
static void statement(const struct ix_manifest *record, struct ix_buf *text)
{
	static const char *const annotations[] = { CACHE_STAGE, CACHE_KEY, CACHE_SECOND };
	char digest[IX_DIGEST_TEXT];

	ix_buf_puts(text, "ix record v1\n");
	for (size_t i = 0; i < IX_ARRAY_LEN(annotations); i++) {
		const char *value = ix_annotation(&record->annotations, annotations[i]);

		ix_buf_printf(text, "%s %s\n", annotations[i], value ? value : "-");
	}
	ix_buf_printf(text, "image %s\n", ix_digest_text(&record->subject.digest, digest));
	for (size_t i = 0; i < record->nlayers; i++)
		ix_buf_printf(text, "part %s\n", ix_digest_text(&record->layers[i].digest, digest));
}

int cache_sign(const struct ix_cache *cache, struct ix_manifest *record, struct ix_err *err)
{
	char signature[IX_SIGNATURE_HEX + 1];
	ix_auto_buf text = { 0 };

	if (!cache->trust.signing_key)
		return 0;
	statement(record, &text);
	if (ix_sign(cache->trust.signing_key, text.data, text.len, signature, err) < 0)
		return -(int)err->code;
	ix_pairs_set(&record->annotations, CACHE_SIGNATURE, signature);
	return 0;
}

const char *cache_distrust(const struct ix_cache *cache, const struct ix_manifest *record)
{
	const char *signature = ix_annotation(&record->annotations, CACHE_SIGNATURE);
	ix_auto_buf text = { 0 };

	if (!cache->trust.signed_only)
		return NULL;
	if (!signature)
		return "it is not signed";
	statement(record, &text);
	for (size_t i = 0; i < cache->trust.nkeys; i++)
		if (ix_signature_ok(&cache->trust.keys[i], text.data, text.len, signature))
			return NULL;
	return "its signature is not by a trusted key";
}

static bool says(const struct ix_manifest *manifest, const char *annotation, const struct ix_digest *want)
{
	const char *value = ix_annotation(&manifest->annotations, annotation);
	char hex[IX_DIGEST_HEX + 1];

	return value && strcmp(value, ix_digest_hex(want, hex)) == 0;
}

/* The record of a key speaks for the image: NULL, or why not. */
static const char *check_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *second,
				const struct ix_digest *image)
{
	ix_auto_manifest record = { 0 };
	const char *distrust;
	struct ix_err err;

	if (cache_record_manifest(cache, stage, key, &record, &err) < 0)
		return err.code == IX_ENOTFOUND ? "it has no record" : "its record cannot be read";
	distrust = cache_distrust(cache, &record);
	if (distrust)
		return distrust;
	if (!ix_streq(ix_annotation(&record.annotations, CACHE_STAGE), stage) || !says(&record, CACHE_KEY, key))
		return "its record is of another stage or key";
	if (second && !says(&record, CACHE_SECOND, second))
		return "its record is of another second key";
	return ix_digest_eq(&record.subject.digest, image) ? NULL : "its record is of another image";
}

static int load_image(struct ix_cache *cache, const char *name, const struct ix_digest *image, struct ix_manifest *ret_manifest,
		      struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_ref ref = { 0 };

	if (ix_ref_parse(name, &ref, err) < 0 || cache_fetch_manifest(cache, &ref, image, &body, err) < 0)
		return -(int)err->code;
	return ix_manifest_parse(body.data, body.len, ret_manifest, err);
}

int ix_cache_check_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *image,
			 const char **ret_why, struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_stage_ref(cache, stage, key);
	ix_auto_manifest manifest = { 0 };

	*ret_why = NULL;
	if (cache->trust.signed_only) {
		*ret_why = check_record(cache, stage, key, NULL, image);
		return 0;
	}
	if (load_image(cache, name, image, &manifest, err) < 0)
		return -(int)err->code;
	if (!says(&manifest, CACHE_KEY, key))
		*ret_why = check_record(cache, stage, key, NULL, image);
	return 0;
}

int cache_check_second(struct ix_cache *cache, const char *name, const char *stage, const struct ix_digest *second,
		       const struct ix_digest *image, const char **ret_why, struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	struct ix_digest key;
	const char *hex;

	*ret_why = NULL;
	if (load_image(cache, name, image, &manifest, err) < 0)
		return -(int)err->code;
	hex = ix_annotation(&manifest.annotations, CACHE_KEY);
	if (!hex || !ix_unhex(hex, key.bytes, sizeof(key.bytes)))
		*ret_why = "it says no key";
	else if (!says(&manifest, CACHE_SECOND, second))
		*ret_why = "it is of another second key";
	else if (cache->trust.signed_only)
		*ret_why = check_record(cache, stage, &key, second, image);
	return 0;
}
