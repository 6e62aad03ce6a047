/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of a load run as bytes. A pure function of the plan, the session and the message. JSON-RPC ids
 * are ten digits wide, so that the next request of a connection is the last one with other digits.
 */
#ifndef MCPLOAD_REQUEST_H
#define MCPLOAD_REQUEST_H

#include "address.h"
#include "bytes.h"
#include "flags.h"
#include "priority.h"

enum load_kind { KIND_HTTP, KIND_MCP, KIND_MCP_2026 };

enum message {
    MESSAGE_INITIALIZE,  /* KIND_MCP: opens a session */
    MESSAGE_INITIALIZED, /* and says so */
    MESSAGE_WORK,        /* what the run measures */
    MESSAGE_STREAM,      /* GET of an event stream; KIND_MCP_2026: a subscription to changes of the tools */
    MESSAGE_DELETE,      /* KIND_MCP: ends the session */
};

struct plan {
    enum load_kind kind;
    struct url url;
    const char *method;              /* KIND_HTTP */
    uint64_t body_bytes;             /* KIND_HTTP */
    const struct flag_list *headers; /* "Name: value" */
    const char *tool, *args;         /* tools/call */
    bool list;                       /* tools/list instead */
    bool has_priority;               /* work and streams carry the field Priority */
    struct bytes filler; /* the body of KIND_HTTP requests, too large to be copied into each; else empty */
};

enum { REQUEST_FIRST_ID = 1000000000, REQUEST_ID_DIGITS = 10, REQUEST_BODY_INLINE = 16 << 10 };

/* Where in a request the digits stand that differ from one request to the next; 0: it has none. */
struct request_marks {
    size_t id_at, urgency_at;
};

/* Appends the request to *out, which is empty: head and body, without the body when it is plan->filler.
 * `version` is the negotiated revision (KIND_MCP after initialize). */
struct request_marks request_build(const struct plan *plan, enum message message, const char *path,
                                   struct text session, struct text version, struct bytes *out);
void request_set_id(struct bytes *request, size_t id_at, uint32_t id);
void request_set_priority(struct bytes *request, size_t urgency_at, enum priority priority);

#endif
