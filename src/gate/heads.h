/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the heads that leave: a request's towards an upstream, a reply's towards a client, and the gateway's
 * own. */
#ifndef GATE_HEADS_H
#define GATE_HEADS_H

#include "gate/exchange.h"
#include "gate/held.h"

enum { HEADS_IP_MAX = 48 };

/* The peer's address as text, NUL-terminated ("unknown" for a unix socket); returns its length. */
uint32_t heads_format_ip(const struct ring_peer *peer, char out[HEADS_IP_MAX]);

/* A slab buffer with the request head for `ep`: fields of hops removed, Host, forwarding and static fields
 * set. The span holds one reference, which is the caller's. buf NULL: no memory. */
struct span heads_request(struct exchange *ex, const struct http1_head *head, const struct endpoint *ep);

/* The same for a request of the gateway's own. `ws_key`: it is an upgrade, with this key; at NULL: it is
 * none. */
struct leg_request;
struct span heads_leg(struct exchange *ex, const struct leg_request *request, const struct endpoint *ep,
                      struct text ws_key);

/* What passes of a client's fields on its way to a leg: appends whole lines to `held`, those that say
 * something about the message (Mcp-*) last; *ret_plain is the length without them, *ret_credentials the
 * Authorization line within. False: no memory. */
bool heads_keep(struct exchange *ex, const struct http1_head *head, struct held *held, uint32_t *ret_plain,
                struct text *ret_credentials);

/* The bytes of a request that was built for `from` (they begin with its head), as they are for `to`. Same
 * ownership. */
struct span heads_readdress(struct exchange *ex, struct span request, const struct endpoint *from,
                            const struct endpoint *to);

/* The reply head for the client; *ret_framing is how its body is to be framed. */
struct span heads_reply(struct exchange *ex, const struct http1_head *head, enum http1_framing *ret_framing);

/* A head of the gateway's own. `extra`: whole field lines or len 0. length < 0: chunked, or until the end for
 * a HTTP/1.0 client; *ret_framing tells. Behind it is room for a body of up to HEADS_JOIN_MAX bytes: one
 * piece costs the kernel less than two. */
enum { HEADS_JOIN_MAX = 4096 };
struct span heads_local(struct exchange *ex, int status, struct text content_type, int64_t length,
                        struct text extra, enum http1_framing *ret_framing);

/* Where a request for `ep` goes: the endpoint's path, what the client asked for behind the prefix, and the
 * query. */
uint32_t heads_target(struct exchange *ex, struct text path, const struct endpoint *ep, char *out,
                      uint32_t size);

#endif
