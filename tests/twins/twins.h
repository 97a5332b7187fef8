/*
 * Twins in memory of rooms that need a disk or a server. A unit test names them in tests/unit/meson.build and gets them in the place of the room; what is
 * here is what only a test does to them. For one thread, but for what says otherwise.
 */
#ifndef TWINS_H
#define TWINS_H

#include "registry/registry.h"
#include "store/store.h"

/* An image of one layer, the image of the key there: its manifest. */
struct ix_digest twin_store_image(struct ix_store *store, const char *layer, const struct ix_digest *key);
/* The blob's file is gone. */
void twin_store_forget(struct ix_store *store, const struct ix_digest *digest);
/* A bit of it flips. */
void twin_store_damage(struct ix_store *store, const struct ix_digest *digest);

/* An image without layers, of this config (JSON), under its name there ("debian:12" or "host/path:tag"): its manifest. Nothing is asked for it. */
struct ix_digest twin_registry_image(struct ix_registry *registry, const char *name, const char *config);
/* The registry has been asked so often for anything; a batch counts once. */
unsigned twin_registry_trips(const struct ix_registry *registry);
/* Everything fails so from now on; IX_OK: it works again. */
void twin_registry_fail(struct ix_registry *registry, enum ix_errc code);
/* The repository ("host/path") has the blob no more, but its manifests still list it. */
void twin_registry_forget(struct ix_registry *registry, const char *repository, const struct ix_digest *digest);

#endif
