/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the demo server: one message being answered. demo.c decides what a message is and whether its
 * revision, envelope and header fields are right; demo_methods.c answers methods, demo_tools.c tools;
 * demo_reply.c writes.
 */
#ifndef MCP_DEMO_TURN_H
#define MCP_DEMO_TURN_H

#include "mcp/demo.h"
#include "mcp/headers.h"
#include "proto/json.h"
#include "proto/jsonrpc.h"

enum demo_kind {
    DEMO_IDLE,       /* nothing is owed */
    DEMO_SLOW_COUNT, /* steps are due at started_ms + n * interval_us; the result after `total` of them */
    DEMO_GENERATE,   /* the same; seed gives the words */
    DEMO_LISTEN,     /* a subscription: open until cancelled or finished */
};

struct demo_turn {
    struct demo_call *call;
    struct demo_effects *out;
    uint64_t now_ms;
    enum mcp_revision revision;
    bool in_batch;
    bool open; /* the answer comes later */
    struct jsonrpc_envelope env;
    struct text id; /* raw, of the request being answered; len 0: unknown */
    struct json_writer w;
    uint32_t begin; /* where in w the current message starts; not 0 only in a batch */
};

static inline bool
demo_is_modern(const struct demo_turn *t)
{
    return mcp_revision_is_modern(t->revision);
}

/* --- demo_reply.c --- */

/* `"key":`, after a comma where one is due; the value is put next. */
void demo_key(struct demo_turn *t, struct text key);
/* A comma where one is due, in an array. */
void demo_item(struct demo_turn *t);
/* The two together with a value. */
void demo_put(struct demo_turn *t, struct text key, struct text raw);
void demo_put_string(struct demo_turn *t, struct text key, struct text utf8);

/* Hands the message in the writer over (in a batch: leaves it there). */
void demo_emit(struct demo_turn *t, bool final);

/* A result: everything up to its first member of its own, then what ends and emits it. */
void demo_result_begin(struct demo_turn *t);
void demo_result_end(struct demo_turn *t);
/* ttlMs and cacheScope, where the revision has them. */
void demo_cacheable(struct demo_turn *t);

/* A notification up to the inside of params, then what ends and emits it. */
void demo_notification_begin(struct demo_turn *t, struct text method);
void demo_notification_end(struct demo_turn *t);

/* An error whose text is made by printf's rules; between the two a "data" member may be put. */
void demo_error_begin(struct demo_turn *t, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void demo_error_end(struct demo_turn *t, uint16_t status);
/* Both in one. */
void demo_error(struct demo_turn *t, uint16_t status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A raw JSON value made fit for an error text, in out: decoded if it is a string, shortened, without control
 * characters. Returns out. */
const char *demo_clip(struct text raw, char out[static 64]);

/* --- demo_methods.c --- */

/* Answers the request in t->env, by the rules of t->revision. */
void demo_method(struct demo_turn *t);

/* Members of the serverInfo and capabilities objects, as both eras have them. */
void demo_put_server_info(struct demo_turn *t);

/* --- demo_tools.c --- */

void demo_tools_list(struct demo_turn *t);
void demo_tools_call(struct demo_turn *t);

/* Goes on with an open tool call: messages that are due, and the wake that is wanted. Clears t->open at its
 * end. */
void demo_tools_step(struct demo_turn *t);

#endif
