#include "gzip_int.h"

#include <isa-l.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"

static const uint32_t level_buf_sizes[] = { ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT };

/* Compress one block of raw deflate, ending on a byte boundary; last ends the stream. Thread-safe. out has no limit of its own. */
static void gzip_block(const void *window, size_t window_len, const void *bytes, size_t len, bool last, int level, struct ix_buf *out)
{
	ix_auto_free uint8_t *level_buf = ix_malloc(level_buf_sizes[level]);
	ix_auto_free struct isal_zstream *z = ix_malloc(sizeof(*z));

	isal_deflate_init(z);
	z->level = (uint32_t)level;
	z->level_buf = level_buf;
	z->level_buf_size = level_buf_sizes[level];
	z->gzip_flag = IGZIP_DEFLATE;
	z->end_of_stream = last;
	z->flush = last ? NO_FLUSH : SYNC_FLUSH;
	if (window_len > 0)
		isal_deflate_set_dict(z, (uint8_t *)(uintptr_t)window, (uint32_t)window_len);
	z->next_in = (uint8_t *)(uintptr_t)bytes;
	z->avail_in = (uint32_t)len;
	do {
		size_t room = len / 2 + 4096;

		z->next_out = (uint8_t *)ix_buf_reserve(out, room);
		z->avail_out = (uint32_t)room;
		if (isal_deflate(z) != COMP_OK)
			ix_bug("isal_deflate failed");
		out->len += room - z->avail_out;
	} while (z->avail_out == 0);
	if (z->avail_in != 0)
		ix_bug("isal_deflate left input");
	if (out->data)
		out->data[out->len] = '\0';
}

static uint32_t gzip_crc(uint32_t crc, const void *bytes, size_t len)
{
	return crc32_gzip_refl(crc, bytes, len);
}

/* A block on its way: the caller fills it, a worker compresses it, the caller writes it out in order. */
struct block {
	unsigned char *in; /* window, then the block's bytes */
	size_t window_len;
	size_t len;
	bool last;
	struct ix_buf out;
	enum { EMPTY, FULL, BUSY, DONE } state;
};

struct gzip_writer {
	struct ix_writer base;
	struct ix_writer *next;
	int level;
	uint32_t crc;
	uint64_t size;
	bool started;

	unsigned nblocks;
	struct block *blocks; /* a ring */
	unsigned filling;     /* the block being filled */
	unsigned oldest;      /* the first one not written out yet */
	unsigned in_flight;   /* full, busy or done */

	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_t *threads;
	unsigned nthreads;
	unsigned next_work; /* ring index the workers take next */
	bool stop;
};

static void *worker(void *data)
{
	struct gzip_writer *self = data;

	pthread_mutex_lock(&self->lock);
	for (;;) {
		struct block *block = &self->blocks[self->next_work];

		if (block->state == FULL) {
			block->state = BUSY;
			self->next_work = (self->next_work + 1) % self->nblocks;
			pthread_mutex_unlock(&self->lock);
			gzip_block(block->in + GZIP_WINDOW - block->window_len, block->window_len, block->in + GZIP_WINDOW, block->len,
				   block->last, self->level, &block->out);
			pthread_mutex_lock(&self->lock);
			block->state = DONE;
			pthread_cond_broadcast(&self->done);
		} else if (self->stop) {
			break;
		} else {
			pthread_cond_wait(&self->work, &self->lock);
		}
	}
	pthread_mutex_unlock(&self->lock);
	return NULL;
}

/* Write out the oldest block in flight, waiting for it. */
static int write_oldest(struct gzip_writer *self, struct ix_err *err)
{
	struct block *block = &self->blocks[self->oldest];
	int r;

	pthread_mutex_lock(&self->lock);
	while (block->state != DONE)
		pthread_cond_wait(&self->done, &self->lock);
	pthread_mutex_unlock(&self->lock);
	r = ix_write(self->next, block->out.data, block->out.len, err);
	ix_buf_reset(&block->out);
	block->state = EMPTY;
	self->oldest = (self->oldest + 1) % self->nblocks;
	self->in_flight--;
	return r;
}

/* RFC 1952 header: no name, no time, unknown system: the same bytes everywhere. */
static const unsigned char header[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };

static int submit(struct gzip_writer *self, bool last, struct ix_err *err)
{
	struct block *block = &self->blocks[self->filling];
	struct block *following;
	size_t keep = block->len < GZIP_WINDOW ? block->len : GZIP_WINDOW;
	int r;

	if (!self->started && (r = ix_write(self->next, header, sizeof(header), err)) < 0)
		return r;
	self->started = true;
	self->crc = gzip_crc(self->crc, block->in + GZIP_WINDOW, block->len);
	self->size += block->len;
	self->filling = (self->filling + 1) % self->nblocks;
	following = &self->blocks[self->filling];
	self->in_flight++;
	pthread_mutex_lock(&self->lock);
	block->last = last;
	block->state = FULL;
	pthread_cond_signal(&self->work);
	pthread_mutex_unlock(&self->lock);
	/* A full ring: the block to fill next is the oldest one in flight. */
	if (self->in_flight == self->nblocks && (r = write_oldest(self, err)) < 0)
		return r;
	memcpy(following->in + GZIP_WINDOW - keep, block->in + GZIP_WINDOW + block->len - keep, keep);
	following->window_len = keep;
	following->len = 0;
	return 0;
}

static int gzip_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	struct gzip_writer *self = (struct gzip_writer *)writer;
	const unsigned char *at = bytes;
	int r;

	while (len > 0) {
		struct block *block = &self->blocks[self->filling];
		size_t n = GZIP_BLOCK - block->len;

		if (n > len)
			n = len;
		memcpy(block->in + GZIP_WINDOW + block->len, at, n);
		block->len += n;
		at += n;
		len -= n;
		if (block->len == GZIP_BLOCK && (r = submit(self, false, err)) < 0)
			return r;
	}
	return 0;
}

static int gzip_finish(struct ix_writer *writer, struct ix_err *err)
{
	struct gzip_writer *self = (struct gzip_writer *)writer;
	unsigned char trailer[8];
	int r = submit(self, true, err);

	if (r < 0)
		return r;
	while (self->in_flight > 0)
		if ((r = write_oldest(self, err)) < 0)
			return r;
	for (int i = 0; i < 4; i++) {
		trailer[i] = (unsigned char)(self->crc >> (8 * i));
		trailer[4 + i] = (unsigned char)(self->size >> (8 * i));
	}
	return ix_write(self->next, trailer, sizeof(trailer), err);
}

static void gzip_free(struct ix_writer *writer)
{
	struct gzip_writer *self = (struct gzip_writer *)writer;

	pthread_mutex_lock(&self->lock);
	self->stop = true;
	pthread_cond_broadcast(&self->work);
	pthread_mutex_unlock(&self->lock);
	for (unsigned i = 0; i < self->nthreads; i++)
		pthread_join(self->threads[i], NULL);
	for (unsigned i = 0; i < self->nblocks; i++) {
		free(self->blocks[i].in);
		ix_buf_release(&self->blocks[i].out);
	}
	pthread_mutex_destroy(&self->lock);
	pthread_cond_destroy(&self->work);
	pthread_cond_destroy(&self->done);
	free(self->threads);
	free(self->blocks);
	free(self);
}

static const struct ix_writer_ops gzip_ops = { gzip_write, gzip_finish, gzip_free };

struct ix_writer *gzip_writer_new(struct ix_writer *next, int level, unsigned threads)
{
	struct gzip_writer *self = ix_calloc(1, sizeof(*self));

	self->base.ops = &gzip_ops;
	self->next = next;
	self->level = level < 1 ? 1 : level > 3 ? 3 : level;
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->work, NULL);
	pthread_cond_init(&self->done, NULL);
	self->nblocks = threads + 2;
	self->blocks = ix_calloc(self->nblocks, sizeof(*self->blocks));
	for (unsigned i = 0; i < self->nblocks; i++)
		self->blocks[i].in = ix_malloc(GZIP_WINDOW + GZIP_BLOCK);
	self->threads = ix_calloc(threads, sizeof(*self->threads));
	while (self->nthreads < threads) {
		if (pthread_create(&self->threads[self->nthreads], NULL, worker, self) != 0)
			break;
		self->nthreads++;
	}
	if (self->nthreads == 0)
		ix_bug("cannot start a compression thread");
	return &self->base;
}
