#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/str.h"
#include "graph/graph.h"

/* Words of instructions that only change the config. */

static bool known_protocol(const char *text, char ret_proto[static 5])
{
	static const char *const known[] = { "tcp", "udp", "sctp" };

	for (size_t i = 0; i < IX_ARRAY_LEN(known); i++) {
		if (ix_strcaseeq(text, known[i])) {
			memcpy(ret_proto, known[i], strlen(known[i]) + 1);
			return true;
		}
	}
	return false;
}

int ix_ports_parse(const char *text, unsigned *ret_first, unsigned *ret_last, char ret_proto[static 5], struct ix_err *err)
{
	const char *colon = strrchr(text, ':'), *slash = strchr(text, '/');
	const char *start = colon ? colon + 1 : text;
	ix_auto_free char *ports = slash && slash >= start ? ix_strndup(start, (size_t)(slash - start)) : ix_strdup(start);
	char *dash = strchr(ports, '-');
	uint64_t first, last;

	if (dash)
		*dash = '\0';
	if (!ix_parse_u64(ports, 65535, &first) || !ix_parse_u64(dash ? dash + 1 : ports, 65535, &last) || last < first)
		return ix_err_set(err, IX_EARG, "invalid containerPort: %s", text);
	if (!known_protocol(slash && slash[1] ? slash + 1 : "tcp", ret_proto))
		return ix_err_set(err, IX_EARG, "invalid protocol '%s' in %s: tcp, udp or sctp", slash ? slash + 1 : "", text);
	*ret_first = (unsigned)first;
	*ret_last = (unsigned)last;
	return 0;
}

bool ix_signal_known(const char *text)
{
	uint64_t n;

	if (ix_parse_u64(text, INT32_MAX, &n))
		return n > 0;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < SIGSYS + 1; i++)
		if (sigabbrev_np(i) && strcasecmp(sigabbrev_np(i), text) == 0)
			return true;
	if (strcasecmp(text, "CLD") == 0 || strcasecmp(text, "IOT") == 0)
		return true;
	if (strncasecmp(text, "RTMIN", 5) != 0 && strncasecmp(text, "RTMAX", 5) != 0)
		return false;
	return !text[5] || ((text[5] == '+' || text[5] == '-') && ix_parse_u64(text + 6, 30, &n));
}
