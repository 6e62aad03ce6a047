/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards https:// upstreams: the worker's contexts, the filter of each connection, and what is counted
 * and said of handshakes. Which bytes a connection carries, and when it is used again, does not depend on it.
 */
#ifndef GATE_SECURE_H
#define GATE_SECURE_H

#include "gate/upstream.h"

/* The context of config.tls[index]; may be called before there is a worker, to check the files. 0, or a
 * negated errno and one line in why[]. */
int secure_context_new(const struct config *c, uint32_t index, struct tls_context **ret, char *why,
                       size_t why_size);

/* Before upstreams_init() and after upstreams_done(). The admin process needs none. */
int secure_init(struct worker *w, char *why, size_t why_size);
void secure_done(struct worker *w);

/* An endpoint's part, and its end. */
void secure_endpoint_init(struct endpoint *ep);
void secure_endpoint_done(struct endpoint *ep);

/* Before link_connect(): gives the link of an https:// endpoint its filter. False: there is no memory for it.
 */
bool secure_prepare(struct endpoint *ep, struct link *link);
/* From on_connected, and from on_broken: counts, and logs why. */
void secure_note_ready(struct endpoint *ep, const struct link *link);
void secure_note_failure(struct endpoint *ep, enum close_reason reason);

/* What `reason` means for requests of `up` that fail now (NULL: of none): the peer's fault in words, or the
 * table's text. No character of it needs an escape in JSON. */
const char *secure_reason_text(const struct upstream *up, enum close_reason reason);

#endif
