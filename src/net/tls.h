/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards a server, as a filter of a link (net/link.h): what is pushed becomes records in slab memory
 * when its turn to be sent comes, what arrives is decrypted into slab memory and delivered. OpenSSL does the
 * protocol and sees no descriptor: it reads from the span at hand and writes to the link's queue.
 *
 * The certificate is checked against the context's CAs and the peer's host: a name (also sent as SNI) or an
 * IP address. A connection that cannot be trusted, or whose peer does not speak TLS, breaks (on_broken) with
 * one of CLOSE_CERT_EXPIRED, CLOSE_CERT_UNKNOWN_CA, CLOSE_CERT_NAME, CLOSE_CERT_REFUSED, CLOSE_TLS_FAILED and
 * tls_peer.why says it in words. Memory per connection is OpenSSL's (about 10 KiB while it is idle), one
 * record of each direction, and what the marks of the link allow.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/link.h"
#include "net/tls_context.h"

enum { TLS_WHY_MAX = 224 };

/* A server, as the connections to it share it; embedded by the owner, zeroed but for `context` and `host`. */
struct tls_peer {
    struct tls_context *context;
    const char *host;      /* name or IP address; stays where it is */
    void *session;         /* of the last connection, to be resumed; private */
    char why[TLS_WHY_MAX]; /* of the last failure, valid within on_broken(); plain ASCII without quotes */
};

/* Forgets the session. No filter of this peer is left. */
void tls_peer_done(struct tls_peer *peer);

/* A filter for link_set_filter(), or NULL: no memory. */
struct filter *tls_filter_new(struct tls_peer *peer);
/* Of a link that is open: the handshake was an abbreviated one. */
bool tls_is_resumed(const struct filter *filter);

#endif
