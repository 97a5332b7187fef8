/*
 * ix.lock: what external images, repositories and files are, so that a build is the same until somebody says otherwise. It reads and writes
 * the file; it resolves nothing.
 */
#ifndef IX_PROJECT_LOCK_H
#define IX_PROJECT_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"

/* IMAGE: name is the reference as written, platform "linux/amd64", pin the digest of its manifest. GIT: "URL#ref" (no ref: the default branch), the
 * commit. HTTP: the URL, "sha256:...". */
enum ix_lock_kind { IX_LOCK_IMAGE, IX_LOCK_GIT, IX_LOCK_HTTP };

struct ix_lock;
struct ix_lock *ix_lock_new(void);
void ix_lock_free(struct ix_lock *lock);
IX_DEFINE_FREEP(struct ix_lock, ix_lock_free)
/* -IX_ENOTFOUND when there is no such file. Errors are path:line:column. */
int ix_lock_load(const char *path, struct ix_lock **ret_lock, struct ix_err *err);
int ix_lock_parse(const char *name, const char *text, size_t len, struct ix_lock **ret_lock, struct ix_err *err);
/* NULL when it is not pinned. platform: of images only, else NULL. */
const char *ix_lock_get(const struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform);
void ix_lock_set(struct ix_lock *lock, enum ix_lock_kind kind, const char *name, const char *platform, const char *pin);
/* The file's text, sorted, appended. */
void ix_lock_text(const struct ix_lock *lock, struct ix_buf *text);
/* Entry i in the order of the file; false behind the last. */
struct ix_lock_entry {
	enum ix_lock_kind kind;
	const char *name, *platform, *pin;
};
bool ix_lock_at(const struct ix_lock *lock, size_t i, struct ix_lock_entry *ret_entry);

#endif
