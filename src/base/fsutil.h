/* File helpers: whole files, directories, publishing by rename. Descriptor first, path second. */
#ifndef IX_BASE_FSUTIL_H
#define IX_BASE_FSUTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Nothing of the caller's umask may show in what is built: from here on it is 022. Called once, before any thread. What is written for the
 * caller itself (archives, lists, lock files) has the modes the caller's umask leaves.
 */
void ix_umask_fix(void);
mode_t ix_umask_of_caller(void);

/* The whole file at path below dirfd (AT_FDCWD allowed), not larger than buf's limit. */
int ix_read_file(int dirfd, const char *path, struct ix_buf *buf, struct ix_err *err) ix_must_use;
/* Publish a file: written beside its name, fsynced, renamed over it, directory fsynced. A reader sees the old or the new one. Of mode the
 * caller's umask is taken away. */
int ix_publish_file(int dirfd, const char *path, const void *bytes, size_t len, mode_t mode, struct ix_err *err) ix_must_use;
/* Write all, through short writes and EINTR. */
int ix_write_all(int fd, const void *bytes, size_t len, struct ix_err *err) ix_must_use;
/* mkdir -p. */
int ix_mkdir_p(int dirfd, const char *path, mode_t mode, struct ix_err *err) ix_must_use;
/* rm -rf without following links or crossing a symlink swapped in meanwhile; absent is success. */
int ix_remove_tree(int dirfd, const char *path, struct ix_err *err);
/* Open path beneath root: no component may lead outside (openat2 RESOLVE_BENEATH); symlinks inside are followed unless flags say
 * O_NOFOLLOW. Returns the descriptor or a negative code. flags always get O_CLOEXEC. */
int ix_open_beneath(int root_fd, const char *path, int flags, struct ix_err *err) ix_must_use;
/* Open path as a process chrooted at root would see it: absolute links and ".." stay inside (RESOLVE_IN_ROOT). */
int ix_open_in_root(int root_fd, const char *path, int flags, struct ix_err *err) ix_must_use;
bool ix_path_exists(int dirfd, const char *path);
/* Six random characters, for temporary names. out holds at least 13 bytes; 12 hex digits. */
void ix_random_name(char out[static 13]);

#endif
