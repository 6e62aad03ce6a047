/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bond's messages reach its upstream and come back: over HTTP (bond_http.c), over HTTP+SSE of
 * 2024-11-05 (bond_sse.c), over WebSocket (bond_ws.c), over a process's stdin and stdout
 * (bond_stdio.c), or to the demo server in the worker itself (bond_demo.c). For
 * bond*.c only.
 */
#ifndef GATE_BOND_PORT_H
#define GATE_BOND_PORT_H

#include "gate/bond.h"

/* What has no answer, or one of no interest. */
struct bond_message {
    struct text text;
    const struct jsonrpc_envelope *env;
    enum priority priority;
    bool is_greeting; /* notifications/initialized and what is said behind it, before the bond is READY */
};

struct bond_port {
    /* Before the upstream is greeted. *ret_ready: it was greeted already, and bond->bridge.upstream is set;
     * bond->is_resumed: in another worker's life. CLOSE_NONE, or why it cannot be. */
    enum close_reason (*begin)(struct bond *bond, bool *ret_ready);
    uint64_t (*mint)(struct bond *bond);
    /* Sends a request, as urgent as the call is; bond_came() and, unless it was answered, bond_came_to_end() follow. */
    enum close_reason (*send)(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env,
                              struct text fields);
    /* Nothing more is wanted of this one; true: the upstream has to be told. */
    bool (*let_go)(struct bond_call *call);
    /* bond_posted() follows, perhaps at once. */
    void (*post)(struct bond *bond, const struct bond_message *m);
    /* The bond is READY or FAILED: others that waited for its greeting go on. NULL: there are none. */
    void (*greeted)(struct bond *bond);
    void (*listen)(struct bond *bond);
    /* The bond is over; `ended`: so is the session with the upstream. */
    void (*end)(struct bond *bond, bool ended);
    void (*pause)(struct bond_call *call);
    void (*resume)(struct bond_call *call);
};

/* What a dead worker has left of a session at one upstream ends (bonds_end_left()). */
void bond_http_end_left(struct session *s, struct upstream *up, struct text fields);
void bond_stdio_end_left(struct session *s, struct upstream *up);

extern const struct bond_port bond_http, bond_sse, bond_ws, bond_stdio, bond_demo;

/* From the port: a message for this call. */
void bond_came(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env);
/* No more will come for it. `forgotten`: because the upstream has forgotten its session. */
void bond_came_to_end(struct bond_call *call, enum close_reason reason, unsigned status, bool forgotten);
void bond_posted(struct bond *bond, bool is_greeting, enum close_reason reason, unsigned status);
/* The upstream itself has gone: nothing on its way will be answered. */
void bond_lost(struct bond *bond, enum close_reason reason);
/* bond_listen.c: ends it with the bond; whether there are calls besides. */
void bond_stop_listening(struct bond *bond);
bool bond_has_calls(const struct bond *bond);
/* Goes on with a bond that waited for another one's greeting. */
void bond_greet(struct bond *bond);

#endif
