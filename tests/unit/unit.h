/* cmocka, and what the unit tests share. Test names are sentences. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#define assert_ok(call, err)                                                                                                               \
	do {                                                                                                                               \
		if ((call) < 0)                                                                                                            \
			fail_msg("%s: %s", #call, (err)->msg);                                                                             \
	} while (0)

#define assert_says(err, text)                                                                                                             \
	do {                                                                                                                               \
		if (!strstr((err)->msg, (text)))                                                                                           \
			fail_msg("message is '%s', expected '%s' in it", (err)->msg, (text));                                              \
	} while (0)

#endif
