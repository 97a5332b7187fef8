/*
 * Whether a stage's image from a registry is what its key says. An image says itself which key it was built for; one that was found by its second
 * key has a record for the other key, with it as subject. With trust: signed the record has to be signed by a key that is trusted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cache_int.h"
#include "io/digest.h"
#include "io/sign.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "registry/registry.h"

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
	int r = ix_sign(cache->trust.signing_key, text.data, text.len, signature, err);
	if (r < 0)
		return r;
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

/* From the registry. */
static int load_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, struct ix_manifest *ret_manifest,
		       struct ix_err *err)
{
	ix_auto_free char *name = cache_record_ref(cache, stage, key);
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_ref ref = { 0 };
	struct ix_digest digest;
	char media_type[128];
	int r;

	r = ix_ref_parse(name, &ref, err);
	if (r == 0)
		r = ix_registry_get_manifest(cache->registry, &ref, &body, media_type, &digest, err);
	/* Bytes that broke on their way prove nothing. */
	if (r == -IX_ECORRUPT)
		err->code = IX_EFAIL;
	if (r < 0)
		return ix_err_code(err);
	return ix_manifest_parse(body.data, body.len, ret_manifest, err);
}

/* The record of a key speaks for the image: *ret_why NULL, or why not. A record that is not to be had says nothing: that is an error. */
static int check_record(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *second,
			const struct ix_digest *image, const char **ret_why, struct ix_err *err)
{
	ix_auto_manifest record = { 0 };
	int r = load_record(cache, stage, key, &record, err);

	if (r < 0 && r != -IX_ENOTFOUND && r != -IX_ECORRUPT)
		return r;
	if (r < 0)
		*ret_why = r == -IX_ENOTFOUND ? "it has no record" : "its record cannot be read";
	else if (cache_distrust(cache, &record))
		*ret_why = cache_distrust(cache, &record);
	else if (!ix_streq(ix_annotation(&record.annotations, CACHE_STAGE), stage) || !says(&record, CACHE_KEY, key))
		*ret_why = "its record is of another stage or key";
	else if (second && !says(&record, CACHE_SECOND, second))
		*ret_why = "its record is of another second key";
	else
		*ret_why = ix_digest_eq(&record.subject.digest, image) ? NULL : "its record is of another image";
	return 0;
}

/* A manifest that was there a moment ago and is not, or is something else, is no error: *ret_why says it. */
static int load_image(struct ix_cache *cache, const char *name, const struct ix_digest *image, struct ix_manifest *ret_manifest,
		      const char **ret_why, struct ix_err *err)
{
	ix_auto_buf body = IX_BUF_INIT(IX_MANIFEST_MAX);
	ix_auto_ref ref = { 0 };
	int r = ix_ref_parse(name, &ref, err);

	if (r < 0)
		return r;
	r = cache_fetch_manifest(cache, &ref, image, &body, err);
	if (r == 0)
		r = ix_manifest_parse(body.data, body.len, ret_manifest, err);
	if (r == -IX_ENOTFOUND)
		*ret_why = "its manifest is gone";
	else if (r == -IX_ECORRUPT)
		*ret_why = "its manifest cannot be read";
	return *ret_why ? 0 : r;
}

int ix_cache_check_stage(struct ix_cache *cache, const char *stage, const struct ix_digest *key, const struct ix_digest *image,
			 const char **ret_why, struct ix_err *err)
{
	ix_auto_free char *name = ix_cache_stage_ref(cache, stage, key);
	ix_auto_manifest manifest = { 0 };
	int r;

	*ret_why = NULL;
	if (cache->trust.signed_only)
		return check_record(cache, stage, key, NULL, image, ret_why, err);
	r = load_image(cache, name, image, &manifest, ret_why, err);
	if (r < 0 || *ret_why || says(&manifest, CACHE_KEY, key))
		return r;
	return check_record(cache, stage, key, NULL, image, ret_why, err);
}

int cache_check_second(struct ix_cache *cache, const char *name, const char *stage, const struct ix_digest *second,
		       const struct ix_digest *image, const char **ret_why, struct ix_err *err)
{
	ix_auto_manifest manifest = { 0 };
	struct ix_digest key;
	const char *hex;
	int r;

	*ret_why = NULL;
	r = load_image(cache, name, image, &manifest, ret_why, err);
	if (r < 0 || *ret_why)
		return r;
	hex = ix_annotation(&manifest.annotations, CACHE_KEY);
	if (!hex || !ix_unhex(hex, key.bytes, sizeof(key.bytes)))
		*ret_why = "it says no key";
	else if (!says(&manifest, CACHE_SECOND, second))
		*ret_why = "it is of another second key";
	else if (cache->trust.signed_only)
		return check_record(cache, stage, &key, second, image, ret_why, err);
	return 0;
}
