#include <stdlib.h>

#include "base/alloc.h"
#include "io/stream.h"

struct tee {
	struct ix_writer base;
	struct ix_writer *one, *two;
};

static int tee_write(struct ix_writer *writer, const void *bytes, size_t len, struct ix_err *err)
{
	struct tee *self = (struct tee *)writer;
	int r = ix_write(self->one, bytes, len, err);

	return r < 0 ? r : ix_write(self->two, bytes, len, err);
}

static int tee_finish(struct ix_writer *writer, struct ix_err *err)
{
	struct tee *self = (struct tee *)writer;
	int r = ix_write_finish(self->one, err);

	return r < 0 ? r : ix_write_finish(self->two, err);
}

static void tee_free(struct ix_writer *writer)
{
	free(writer);
}

struct ix_writer *ix_tee_writer_new(struct ix_writer *one, struct ix_writer *two)
{
	static const struct ix_writer_ops ops = { tee_write, tee_finish, tee_free };
	struct tee *self = ix_calloc(1, sizeof(*self));

	*self = (struct tee){ .base.ops = &ops, .one = one, .two = two };
	return &self->base;
}
