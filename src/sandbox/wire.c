#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sandbox_int.h"

enum { LIST_MAX = 100000 };

void wire_put_int(struct ix_buf *buf, int64_t value)
{
	ix_buf_put(buf, &value, sizeof(value));
}

void wire_put_text(struct ix_buf *buf, const char *text)
{
	wire_put_int(buf, text ? (int64_t)strlen(text) : -1);
	if (text)
		ix_buf_put(buf, text, strlen(text) + 1);
}

void wire_put_list(struct ix_buf *buf, const char *const *list)
{
	int64_t n = 0;

	while (list && list[n])
		n++;
	wire_put_int(buf, n);
	for (int64_t i = 0; i < n; i++)
		wire_put_text(buf, list[i]);
}

int64_t wire_int(struct wire *wire)
{
	int64_t value;

	if (wire->left < sizeof(value)) {
		wire->bad = true;
		return 0;
	}
	memcpy(&value, wire->at, sizeof(value));
	wire->at += sizeof(value);
	wire->left -= sizeof(value);
	return value;
}

const char *wire_text(struct wire *wire)
{
	int64_t len = wire_int(wire);
	const char *text = wire->at;

	if (len < 0)
		return NULL;
	if ((uint64_t)len >= wire->left || text[len] != '\0') {
		wire->bad = true;
		return "";
	}
	wire->at += len + 1;
	wire->left -= (size_t)len + 1;
	return text;
}

const char **wire_list(struct wire *wire)
{
	int64_t n = wire_int(wire);
	const char **list;

	if (n < 0 || n > LIST_MAX) {
		wire->bad = true;
		n = 0;
	}
	list = ix_calloc((size_t)n + 1, sizeof(char *));
	for (int64_t i = 0; i < n && !wire->bad; i++)
		list[i] = wire_text(wire);
	return list;
}
