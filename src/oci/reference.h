/* Image references, by the grammar docker uses: [host[:port]/]path[:tag][@digest]. */
#ifndef IX_OCI_REFERENCE_H
#define IX_OCI_REFERENCE_H

#include "base/err.h"
#include "base/scope.h"

struct ix_ref {
	char *host;       /* "docker.io", "127.0.0.1:5000", "[::1]:5000" */
	char *repository; /* "library/debian" */
	char *tag;        /* NULL when only a digest was given; "latest" when neither was */
	char *digest;     /* "sha256:..." or NULL; wins over tag when both are there */
};

/* Normalises: default host docker.io, "library/" for one-part names there, tag "latest". Bad grammar is IX_EARG with what is wrong. */
int ix_ref_parse(const char *text, struct ix_ref *ret_ref, struct ix_err *err);
void ix_ref_copy(const struct ix_ref *from, struct ix_ref *ret_ref);
void ix_ref_release(struct ix_ref *ref);
#define ix_auto_ref ix_scoped(ix_ref_release) struct ix_ref
/* Whole text, "docker.io/library/debian:12". Caller frees. */
char *ix_ref_text(const struct ix_ref *ref);
/* As people write it: without docker.io and library/. Caller frees. */
char *ix_ref_familiar(const struct ix_ref *ref);
/* What goes behind /manifests/: digest if there is one, else tag. */
const char *ix_ref_selector(const struct ix_ref *ref);

#endif
