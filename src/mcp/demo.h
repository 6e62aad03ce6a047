/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in demo MCP server as a pure machine, for every revision: a message in, messages and wishes out.
 * It knows no socket, no clock and no HTTP beyond the status that goes with an answer; its fronts are the
 * gateway's local plan and lines on stdin and stdout.
 *
 *     demo_begin() -> true: the call is open; ask demo_wake() again after effects.wake_ms
 *     demo_wake()  -> true: still open
 *     demo_cancel() ends an open call without a word, demo_finish() with a last message
 *
 * A call is one HTTP request, or one line, of which at most one answer is owed. Nothing is remembered between
 * calls: the session's revision comes with each message, and 2026-07-28 messages carry theirs.
 */
#ifndef MCP_DEMO_H
#define MCP_DEMO_H

#include "base/text.h"
#include "proto/mcp_names.h"

enum {
    DEMO_ROOM_MIN = 128 * 1024, /* bytes that effects.room has at least */
    DEMO_ID_MAX = 80,           /* bytes of an id as raw JSON; longer ones are refused */
    DEMO_TOKEN_MAX = 64,        /* the same for a progress token */
};

struct demo_input {
    struct text message;       /* the body, or the line */
    bool http;                 /* the message came with header fields: the rules for them hold */
    struct text version;       /* MCP-Protocol-Version; this and the next two: at NULL when not sent */
    struct text method;        /* Mcp-Method */
    struct text name;          /* Mcp-Name, as sent */
    enum mcp_revision session; /* what initialize agreed on; MCP_NO_REVISION: there is no session */
    uint64_t now_ms;           /* of any clock that only goes forward */
};

struct demo_effects {
    /* Set by the caller before each call. */
    void (*message)(void *context, struct text json,
                    bool final); /* one JSON text; borrowed until it returns */
    void *context;
    char *room; /* scratch; may be shared by all calls of a worker */
    uint32_t room_size;
    /* Set by the machine; status, wants_stream and initialized are right before the first message() of a
     * call. */
    uint16_t status;   /* HTTP: 200, 202 (nothing is sent), 400 or 404 */
    bool wants_stream; /* more than one message will come: answer with text/event-stream */
    uint32_t wake_ms;  /* when the call is open: call demo_wake() in so many ms; 0: never by itself */
    enum mcp_revision
        initialized; /* not MCP_NO_REVISION: initialize was answered, mint a session of this revision */
    uint32_t client_capabilities; /* with `initialized`: MCP_CLIENT_ bits (mcp/client_caps.h) */
    struct text
        cancel_id; /* at not NULL: a notification asks to cancel this request (raw id) of its sender */
};

/* An open call; embedded in whatever the front keeps per request. */
struct demo_call {
    uint8_t kind; /* private, all of it */
    uint8_t revision;
    uint8_t id_len, token_len;
    uint32_t step, total;
    uint32_t interval_us;
    uint64_t started_ms;
    uint64_t seed;
    char id[DEMO_ID_MAX];
    char token[DEMO_TOKEN_MAX];
};

/* Takes a message. Returns whether the call stays open; if not, all that was to be said has been said (status
 * 202: nothing), and *call may be forgotten. */
bool demo_begin(struct demo_call *call, const struct demo_input *in, struct demo_effects *out);

/* Goes on with an open call. Called early it does nothing but set wake_ms again. Returns as above. */
bool demo_wake(struct demo_call *call, uint64_t now_ms, struct demo_effects *out);

/* Ends an open call without an answer: it was cancelled, or its client is gone. */
void demo_cancel(struct demo_call *call);

/* Ends an open call with a last message, because the server stops: a subscription with its result, any other
 * call with an error. */
void demo_finish(struct demo_call *call, struct demo_effects *out);

/* The raw id of an open call, to find the one that cancel_id means. */
struct text demo_call_id(const struct demo_call *call);

#endif
