#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/err.h"
#include "oci/image.h"

static const struct {
	const char *name, *arch, *variant;
} aliases[] = {
	{ "x86_64", "amd64", "" }, { "x86-64", "amd64", "" }, { "aarch64", "arm64", "" }, { "i386", "386", "" },     { "i686", "386", "" },
	{ "armhf", "arm", "v7" },  { "armel", "arm", "v6" },  { "armv7l", "arm", "v7" },  { "armv6l", "arm", "v6" },
};

static void normalise(struct ix_platform *platform)
{
	for (size_t i = 0; i < IX_ARRAY_LEN(aliases); i++) {
		if (strcmp(platform->arch, aliases[i].name) != 0)
			continue;
		snprintf(platform->arch, sizeof(platform->arch), "%s", aliases[i].arch);
		if (!platform->variant[0])
			snprintf(platform->variant, sizeof(platform->variant), "%s", aliases[i].variant);
		break;
	}
	if (strcmp(platform->arch, "arm64") == 0 && (strcmp(platform->variant, "v8") == 0 || strcmp(platform->variant, "8") == 0))
		platform->variant[0] = '\0';
	if (strcmp(platform->arch, "amd64") == 0 && strcmp(platform->variant, "v1") == 0)
		platform->variant[0] = '\0';
	if (strcmp(platform->arch, "arm") == 0 && !platform->variant[0])
		snprintf(platform->variant, sizeof(platform->variant), "v7");
}

/* Copy the next part up to '/', lower-cased, to out of 32 bytes. */
static bool take_part(const char **text, char *out)
{
	size_t n = strcspn(*text, "/");

	if (n == 0 || n > 31)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = (*text)[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
			return false;
		out[i] = c;
	}
	out[n] = '\0';
	*text += n + ((*text)[n] == '/');
	return true;
}

int ix_platform_parse(const char *text, struct ix_platform *ret_platform, struct ix_err *err)
{
	struct ix_platform platform = { .os = "linux" };
	const char *at = text;
	bool ok;

	if (strchr(text, '/'))
		ok = take_part(&at, platform.os) && take_part(&at, platform.arch) && (!*at || take_part(&at, platform.variant));
	else
		ok = take_part(&at, platform.arch);
	if (!ok || *at)
		return ix_err_set(err, IX_EARG, "'%s' is not a platform: write os/arch[/variant], as linux/amd64", text);
	normalise(&platform);
	*ret_platform = platform;
	return 0;
}

char *ix_platform_text(const struct ix_platform *platform)
{
	return ix_asprintf("%s/%s%s%s", platform->os, platform->arch, platform->variant[0] ? "/" : "", platform->variant);
}

bool ix_platform_eq(const struct ix_platform *a, const struct ix_platform *b)
{
	return strcmp(a->os, b->os) == 0 && strcmp(a->arch, b->arch) == 0 && strcmp(a->variant, b->variant) == 0;
}

void ix_platform_host(struct ix_platform *ret_platform)
{
	struct utsname names;

	*ret_platform = (struct ix_platform){ .os = "linux" };
	if (uname(&names) == 0)
		snprintf(ret_platform->arch, sizeof(ret_platform->arch), "%.31s", names.machine);
	normalise(ret_platform);
}
