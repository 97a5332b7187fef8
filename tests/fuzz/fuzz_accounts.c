/* passwd and group of an image, and a subuid file: the input is spec, passwd and group, separated by NUL. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/scope.h"
#include "jail/users_int.h"
#include "sandbox/idmap_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take_part(const uint8_t **data, size_t *size)
{
	size_t len = strnlen((const char *)*data, *size);
	char *part = ix_strndup((const char *)*data, len);

	len += len < *size;
	*data += len;
	*size -= len;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ix_auto_free char *spec = take_part(&data, &size);
	ix_auto_free char *passwd = take_part(&data, &size);
	ix_auto_free char *group = take_part(&data, &size);
	struct id_map map;
	struct user user;
	struct ix_err err;

	if (jail_user_find(spec, passwd, group, &user, &err) == 0)
		jail_user_release(&user);
	sandbox_idmap_init(&map, 1000);
	sandbox_idmap_add_subids(&map, passwd, spec, 1000);
	for (size_t i = 0; i < map.count; i++)
		if (map.ranges[i].count == 0)
			__builtin_trap();
	return 0;
}
