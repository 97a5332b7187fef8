/* Which certificates one host is believed with, and how ix shows who it is. */
#ifndef IX_REGISTRY_TRUST_INT_H
#define IX_REGISTRY_TRUST_INT_H

#include <stdbool.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/err.h"

struct trust {
	struct ix_buf bundle; /* PEM: the system's authorities and the host's own; empty: the system's alone */
	char *cert;           /* client certificate and key, or NULL */
	char *key;
	bool insecure; /* certificates are not checked */
};

/* Authorities from ca_file (NULL: none) and from certs.d/<name>/ of docker and containers, for both names of a host. */
int trust_init(struct trust *trust, const char *ca_file, const char *name, const char *authority, bool insecure, struct ix_err *err);
void trust_release(struct trust *trust);
/* Something about this host was configured. */
bool trust_is_own(const struct trust *trust);
/* show: present the client certificate, if there is one. */
void trust_apply(const struct trust *trust, bool show, CURL *easy);

#endif
