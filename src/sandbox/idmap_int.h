/* Which ids of this machine a user namespace maps to which inside, and who writes that down. */
#ifndef IX_SANDBOX_IDMAP_INT_H
#define IX_SANDBOX_IDMAP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { ID_RANGES_MAX = 64 }; /* the kernel takes 340 lines */

struct id_range {
	uint32_t inside, outside, count;
};

struct id_map {
	struct id_range ranges[ID_RANGES_MAX];
	size_t count;
};

/* A map that makes self root inside. */
void sandbox_idmap_init(struct id_map *map, uint32_t self);
/* Append the ranges that /etc/subuid or /etc/subgid text gives to the user name (may be NULL) or number. Overlapping ones are left out. */
void sandbox_idmap_add_subids(struct id_map *map, const char *text, const char *name, uint32_t id);
/* A map in which everything that the text of /proc/self/uid_map knows keeps its number. */
void sandbox_idmap_identity(struct id_map *map, const char *text);
/* Both of this process so: maps[0] of users, maps[1] of groups. */
bool sandbox_idmap_same(struct id_map maps[2]);

/* Write the maps of pid, from outside its namespace: by newuidmap and newgidmap, or directly when direct says that we may. */
int sandbox_idmap_write(pid_t pid, const struct id_map *uids, const struct id_map *gids, bool direct, struct ix_err *err);

#endif
