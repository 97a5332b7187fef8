/*
 * Another machine for the same steps: what they read lies in directories whose entries were made in the opposite order. On file systems that
 * list entries as they were made, or by where they lie, steps see another order.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/fsutil.h"
#include "base/map.h"
#include "image_int.h"
#include "layer/layer.h"
#include "store/store.h"

struct ix_perturbed {
	struct ix_store *store;
	pthread_mutex_t lock;
	struct ix_map copies; /* directory -> its copy */
};

struct ix_perturbed *ix_perturbed_new(struct ix_store *store)
{
	struct ix_perturbed *perturbed = ix_calloc(1, sizeof(*perturbed));

	perturbed->store = store;
	pthread_mutex_init(&perturbed->lock, NULL);
	return perturbed;
}

void ix_perturbed_free(struct ix_perturbed *perturbed)
{
	struct ix_err ignored;

	if (!perturbed)
		return;
	for (size_t i = 0; i < perturbed->copies.count; i++) {
		(void)ix_remove_tree(AT_FDCWD, perturbed->copies.entries[i].value, &ignored);
		free(perturbed->copies.entries[i].value);
	}
	ix_map_release(&perturbed->copies);
	pthread_mutex_destroy(&perturbed->lock);
	free(perturbed);
}

int perturb_dir(struct ix_perturbed *perturbed, char **dir, struct ix_err *err)
{
	ix_auto_free char *copy = NULL;
	char *known;
	int r = 0;

	pthread_mutex_lock(&perturbed->lock);
	known = ix_map_get(&perturbed->copies, *dir);
	if (!known) {
		r = ix_store_tmpdir(perturbed->store, &copy, err);
		if (r == 0)
			r = ix_layer_copy_reversed(*dir, copy, err);
		if (r == 0)
			ix_map_set(&perturbed->copies, *dir, known = ix_steal(&copy));
	}
	pthread_mutex_unlock(&perturbed->lock);
	if (r < 0)
		return ix_err_wrap(err, "another order of %s", *dir);
	free(*dir);
	*dir = ix_strdup(known);
	return 0;
}
