#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/stream.h"

/* Both ends hold it; the last one frees it. */
struct pipe {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char *ring;
	size_t room, start, used;
	bool finished, given_up, unread; /* the writer's end, well or not; the reader's */
	unsigned ends;
};

struct pipe_writer {
	struct ix_writer base;
	struct pipe *pipe;
	bool finished;
};

struct pipe_reader {
	struct ix_reader base;
	struct pipe *pipe;
};

static void leave(struct pipe *pipe, bool *flag)
{
	bool last;

	pthread_mutex_lock(&pipe->lock);
	*flag = true;
	last = --pipe->ends == 0;
	pthread_cond_broadcast(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&pipe->lock);
	pthread_cond_destroy(&pipe->changed);
	free(pipe->ring);
	free(pipe);
}

/* --- in --- */

/* As much as fits behind what is there, up to the end of the ring. */
static size_t put_some(struct pipe *pipe, const char *bytes, size_t len)
{
	size_t at = (pipe->start + pipe->used) % pipe->room;
	size_t fits = pipe->room - pipe->used, straight = pipe->room - at;
	size_t n = len < fits ? len : fits;

	n = n < straight ? n : straight;
	memcpy(pipe->ring + at, bytes, n);
	pipe->used += n;
	return n;
}

static int pipe_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	struct pipe *pipe = ((struct pipe_writer *)writer)->pipe;
	const char *from = bytes;

	(void)err;
	pthread_mutex_lock(&pipe->lock);
	while (len > 0 && !pipe->unread) {
		size_t n;

		if (pipe->used == pipe->room) {
			pthread_cond_wait(&pipe->changed, &pipe->lock);
			continue;
		}
		n = put_some(pipe, from, len);
		from += n;
		len -= n;
		pthread_cond_broadcast(&pipe->changed);
	}
	pthread_mutex_unlock(&pipe->lock);
	return 0;
}

static int pipe_finish(struct ix_writer *writer, struct ix_err *err)
{
	struct pipe_writer *self = (struct pipe_writer *)writer;

	(void)err;
	pthread_mutex_lock(&self->pipe->lock);
	self->pipe->finished = self->finished = true;
	pthread_cond_broadcast(&self->pipe->changed);
	pthread_mutex_unlock(&self->pipe->lock);
	return 0;
}

static void pipe_writer_free(struct ix_writer *writer)
{
	struct pipe_writer *self = (struct pipe_writer *)writer;
	bool ignored;

	leave(self->pipe, self->finished ? &ignored : &self->pipe->given_up);
	free(self);
}

/* --- out --- */

static ssize_t pipe_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct pipe *pipe = ((struct pipe_reader *)reader)->pipe;
	size_t straight, n;

	pthread_mutex_lock(&pipe->lock);
	while (pipe->used == 0 && !pipe->finished && !pipe->given_up)
		pthread_cond_wait(&pipe->changed, &pipe->lock);
	if (pipe->used == 0 && pipe->given_up) {
		pthread_mutex_unlock(&pipe->lock);
		return ix_err_set(err, IX_ECANCELED, "the stream was given up");
	}
	straight = pipe->room - pipe->start;
	n = pipe->used < straight ? pipe->used : straight;
	n = n < len ? n : len;
	memcpy(bytes, pipe->ring + pipe->start, n);
	pipe->start = (pipe->start + n) % pipe->room;
	pipe->used -= n;
	pthread_cond_broadcast(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
	return (ssize_t)n;
}

static void pipe_reader_free(struct ix_reader *reader)
{
	struct pipe_reader *self = (struct pipe_reader *)reader;

	leave(self->pipe, &self->pipe->unread);
	free(self);
}

static const struct ix_writer_ops writer_ops = { pipe_write, pipe_finish, pipe_writer_free };
static const struct ix_reader_ops reader_ops = { pipe_read, pipe_reader_free };

void ix_pipe_new(size_t room, struct ix_writer **ret_writer, struct ix_reader **ret_reader)
{
	struct pipe *pipe = ix_calloc(1, sizeof(*pipe));
	struct pipe_writer *writer = ix_calloc(1, sizeof(*writer));
	struct pipe_reader *reader = ix_calloc(1, sizeof(*reader));

	pthread_mutex_init(&pipe->lock, NULL);
	pthread_cond_init(&pipe->changed, NULL);
	pipe->ring = ix_malloc(room);
	pipe->room = room;
	pipe->ends = 2;
	*writer = (struct pipe_writer){ .base.ops = &writer_ops, .pipe = pipe };
	*reader = (struct pipe_reader){ .base.ops = &reader_ops, .pipe = pipe };
	*ret_writer = &writer->base;
	*ret_reader = &reader->base;
}
