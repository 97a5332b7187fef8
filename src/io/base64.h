/* RFC 4648 base64. */
#ifndef IX_IO_BASE64_H
#define IX_IO_BASE64_H

#include <stddef.h>

/* Caller frees. */
char *ix_base64_encode(const void *bytes, size_t len);
/* With or without padding, of either alphabet. NULL when text is something else; NUL-terminated, caller frees. */
char *ix_base64_decode(const char *text, size_t *ret_len);

#endif
