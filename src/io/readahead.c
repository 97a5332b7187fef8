#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/stream.h"

enum { BLOCKS = 4, BLOCK_SIZE = 1 << 20 };

/* A ring of blocks: the thread fills, the reader empties. */
struct readahead {
	struct ix_reader base;
	struct ix_reader *next;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct {
		unsigned char *bytes;
		ssize_t len; /* 0: the end; negative: error */
	} blocks[BLOCKS];
	unsigned full; /* blocks waiting to be read */
	unsigned head; /* the block being read */
	size_t at;     /* read from it so far */
	bool stop;
	struct ix_err err;
};

static ssize_t fill(struct readahead *self, unsigned char *bytes)
{
	size_t len = 0;

	while (len < BLOCK_SIZE) {
		ssize_t n = ix_read(self->next, bytes + len, BLOCK_SIZE - len, &self->err);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static void *filler(void *data)
{
	struct readahead *self = data;
	unsigned at = 0;
	ssize_t n;

	do {
		pthread_mutex_lock(&self->lock);
		while (self->full == BLOCKS && !self->stop)
			pthread_cond_wait(&self->changed, &self->lock);
		if (self->stop) {
			pthread_mutex_unlock(&self->lock);
			return NULL;
		}
		pthread_mutex_unlock(&self->lock);
		n = fill(self, self->blocks[at].bytes);
		pthread_mutex_lock(&self->lock);
		self->blocks[at].len = n;
		self->full++;
		at = (at + 1) % BLOCKS;
		pthread_cond_signal(&self->changed);
		pthread_mutex_unlock(&self->lock);
	} while (n > 0);
	return NULL;
}

static ssize_t readahead_read(struct ix_reader *reader, void *bytes, size_t len, struct ix_err *err)
{
	struct readahead *self = (struct readahead *)reader;
	ssize_t there;
	size_t n;

	pthread_mutex_lock(&self->lock);
	while (self->full == 0)
		pthread_cond_wait(&self->changed, &self->lock);
	pthread_mutex_unlock(&self->lock);
	there = self->blocks[self->head].len;
	if (there < 0) {
		*err = self->err;
		return there;
	}
	n = (size_t)there - self->at < len ? (size_t)there - self->at : len;
	memcpy(bytes, self->blocks[self->head].bytes + self->at, n);
	self->at += n;
	if (there > 0 && self->at == (size_t)there) {
		pthread_mutex_lock(&self->lock);
		self->at = 0;
		self->head = (self->head + 1) % BLOCKS;
		self->full--;
		pthread_cond_signal(&self->changed);
		pthread_mutex_unlock(&self->lock);
	}
	return (ssize_t)n;
}

static void readahead_free(struct ix_reader *reader)
{
	struct readahead *self = (struct readahead *)reader;

	pthread_mutex_lock(&self->lock);
	self->stop = true;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
	pthread_join(self->thread, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		free(self->blocks[i].bytes);
	pthread_mutex_destroy(&self->lock);
	pthread_cond_destroy(&self->changed);
	free(self);
}

static const struct ix_reader_ops readahead_ops = { readahead_read, readahead_free };

struct ix_reader *ix_readahead_reader_new(struct ix_reader *next)
{
	struct readahead *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &readahead_ops;
	self->next = next;
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->changed, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		self->blocks[i].bytes = ix_malloc(BLOCK_SIZE);
	if (pthread_create(&self->thread, NULL, filler, self) != 0)
		ix_bug("cannot start a thread");
	return &self->base;
}
