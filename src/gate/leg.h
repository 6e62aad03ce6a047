/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg: one HTTP request of the gateway's own to an MCP upstream, on behalf of something that is translated,
 * and its reply taken apart into JSON-RPC messages: one of a JSON body, one of each event of a stream. To the
 * pool, the limits and the statistics it is an exchange like any other, with no client.
 *
 *      bond, call  <-- leg_up --  leg  <-- plan --  exchange  <-- server.c --  h1 (client role)
 *
 * An owner hears of each leg's end once, unless it has closed the leg itself.
 */
#ifndef GATE_LEG_H
#define GATE_LEG_H

#include "gate/exchange.h"
#include "gate/held.h"

struct leg;

struct leg_up {
    /* The head of the reply; borrowed. NULL: not wanted. */
    void (*on_head)(struct leg *leg, const struct http1_head *head);
    /* A message, whole; borrowed. What is not JSON comes too, when the reply is no stream. */
    void (*on_message)(struct leg *leg, struct text message);
    /* An event of a stream that is no message; borrowed. NULL: not wanted. */
    void (*on_event)(struct leg *leg, struct text name, struct text data);
    /* The reply is whole (CLOSE_DONE), or it never will be. The leg is gone afterwards. */
    void (*on_end)(struct leg *leg, enum close_reason reason);
};

struct leg_request {
    struct upstream *upstream;
    struct endpoint *endpoint; /* NULL: the least loaded one */
    enum http_method method;   /* POST, GET or DELETE */
    struct text path;          /* at NULL: the endpoint's */
    struct text body;          /* POST; copied */
    enum priority priority;    /* among the links of a turn; over WebSocket also of the body */
    struct text fields;        /* whole lines beside those that every MCP request has; copied */
};

/* What the owner may look at. */
struct leg {
    struct exchange *ex; /* NULL: it has ended, and the memory goes when its callback returns */
    const struct leg_up *up;
    void *owner;
    uint16_t status;  /* of the reply; 0: there is none yet */
    bool is_stream;   /* of events */
    bool is_standing; /* set by the owner: it has no end of its own, a drain ends it */
    /* private from here */
    bool busy;            /* a callback is on the stack */
    bool found_no_memory; /* for the message that is not whole yet */
    struct held held;     /* the message that is not whole yet */
    struct sse_buffer buffer;
    struct sse_parser parser;
    struct leg_ws *ws; /* NULL: plain HTTP */
};

/* Sends the request; to a ws:// upstream, whatever its method, that is the upgrade, and the body the first
 * message on the WebSocket. NULL and *ret_reason: it cannot be. No callback comes before this returns. */
struct leg *leg_open(struct worker *w, const struct leg_request *request, const struct leg_up *up,
                     void *owner, enum close_reason *ret_reason);

/* Ends it without a callback: the upstream sees its connection close. */
void leg_close(struct leg *leg);

/* Another message, of a WebSocket; copied. False: the upstream has fallen behind, there is no memory, or it
 * is closing. */
bool leg_send(struct leg *leg, enum priority priority, struct text message);

/* Stops and resumes reading the reply: the client that it is for takes no more. */
void leg_pause(struct leg *leg);
void leg_resume(struct leg *leg);

/* Where it went. */
struct endpoint *leg_endpoint(const struct leg *leg);

#endif
