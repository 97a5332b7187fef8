/*
 * Scoped ownership: a local declared ix_auto_* is released when its scope ends; success moves it out with ix_steal*.
 *
 *	ix_auto_close int fd = openat(...);
 *	ix_auto_free char *text = NULL;
 *	ix_scoped(ix_store_freep) struct ix_store *store = NULL;
 */
#ifndef IX_BASE_SCOPE_H
#define IX_BASE_SCOPE_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ix_scoped(fn) __attribute__((cleanup(fn)))

/* Declare <type>'s ..._freep for ix_scoped from its ..._free. */
#define IX_DEFINE_FREEP(type, free_fn)                                                                                                     \
	static inline void free_fn##p(type **object)                                                                                       \
	{                                                                                                                                  \
		free_fn(*object);                                                                                                          \
	}

static inline void ix_freep(void *pointer)
{
	int saved = errno;

	free(*(void **)pointer);
	errno = saved;
}

/* close(2) is called once and never retried: on Linux the descriptor is gone even after EINTR. */
static inline void ix_closep(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void ix_closedirp(DIR **dir)
{
	int saved = errno;

	if (*dir)
		closedir(*dir);
	errno = saved;
}

static inline void ix_fclosep(FILE **file)
{
	int saved = errno;

	if (*file)
		fclose(*file);
	errno = saved;
}

#define ix_auto_free     ix_scoped(ix_freep)
#define ix_auto_close    ix_scoped(ix_closep)
#define ix_auto_closedir ix_scoped(ix_closedirp)
#define ix_auto_fclose   ix_scoped(ix_fclosep)

static inline void *ix_steal_pointer(void *pointer)
{
	void *value = *(void **)pointer;

	*(void **)pointer = NULL;
	return value;
}

/* Take the pointer out of a scoped variable, leaving NULL. */
#define ix_steal(pointer) ((__typeof__(*(pointer)))ix_steal_pointer(pointer))

static inline int ix_steal_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

#endif
