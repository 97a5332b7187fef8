/* Images by the names people give them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cache/cache.h"
#include "io/digest.h"
#include "oci/image.h"
#include "oci/reference.h"
#include "store/store.h"
#include "workspace_int.h"

/* Full name; names of stage images (webpack:<key>) stand as they are. */
char *ix_workspace_image_name(const struct ix_workspace *workspace, const char *name)
{
	ix_auto_ref ref = { 0 };
	struct ix_digest digest;
	struct ix_err err;

	if (ix_store_name(workspace->store, name, &digest, &err) == 0 || ix_ref_parse(name, &ref, &err) < 0)
		return ix_strdup(name);
	return ix_ref_text(&ref);
}

/* A local name, a digest (or the beginning of one that is named), or an image of a registry. */
int ix_workspace_image(const struct ix_workspace *workspace, const char *name, struct ix_digest *ret_manifest, char **ret_ref,
		       struct ix_err *err)
{
	ix_auto_free char *full = ix_workspace_image_name(workspace, name);
	ix_auto_names names = { 0 };
	struct ix_platform host;
	int r = ix_store_name(workspace->store, full, ret_manifest, err);

	if (r != -IX_ENOTFOUND)
		return r;
	r = ix_store_names(workspace->store, &names, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.count && strlen(name) >= 8; i++) {
		char text[IX_DIGEST_TEXT];

		ix_digest_text(&names.items[i].digest, text);
		if (ix_starts(text, name) || ix_starts(text + 7, name)) {
			*ret_manifest = names.items[i].digest;
			return 0;
		}
	}
	ix_platform_host(&host);
	r = ix_cache_resolve(workspace->cache, full, &host, ret_manifest, err);
	if (r < 0)
		return r;
	*ret_ref = ix_steal(&full);
	return 0;
}
