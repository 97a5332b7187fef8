#ifndef IX_REGISTRY_LINK_INT_H
#define IX_REGISTRY_LINK_INT_H

/* The target with rel=next of a Link header (RFC 8288), NULL when there is none. Caller frees. */
char *link_next(const char *value);

#endif
