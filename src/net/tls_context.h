/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the TLS connections of one kind share: which CAs are believed, our certificate and key, protocol
 * versions. Made from bytes that are in memory already: nothing here opens a file, so that it works after the
 * rights to read a key were dropped, and no connection looks into a directory later. One thread only.
 *
 * TLS 1.2 or later; no renegotiation, no compression; ALPN offers http/1.1.
 */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_context;

/* A PEM text and the name of the file that it came from, for errors. */
struct tls_pem {
    const char *name; /* NULL: none */
    struct text text;
};

struct tls_settings {
    struct tls_pem ca;        /* one or more certificates that may sign the peer's */
    struct tls_pem cert, key; /* ours; both or none */
    bool verify;              /* else any certificate will do */
};

/* 0 and *ret_context; or a negated errno and in why[] one line that names the file and the way out.
 * `settings` is not needed afterwards. */
int tls_context_new(const struct tls_settings *settings, struct tls_context **ret_context, char *why,
                    size_t why_size);
/* No filter (net/tls.h) uses it any more. Takes NULL and leaves it. */
void tls_context_free(struct tls_context **context);

#endif
