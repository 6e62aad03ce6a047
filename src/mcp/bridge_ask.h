/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers ask of clients in the middle of a call: elicitation, sampling, roots. Until 2025-11-25 these
 * are requests of the server; since 2026-07-28 the call is answered with input_required and sent again with
 * the answers.
 *
 *      upstream  client   an upstream's question becomes
 *      legacy    legacy   a request with a minted id; its answer goes back with the upstream's id
 *      legacy    modern   part of an input_required with a sealed requestState; the call is parked; the
 * answers come with the retry modern    legacy   a request with a minted id; the answers are gathered, and
 * the call is sent again modern    modern   itself: bridge_result() has passed it on
 *
 * A client is asked only for what it has declared.
 */
#ifndef MCP_BRIDGE_ASK_H
#define MCP_BRIDGE_ASK_H

#include "mcp/bridge.h"

enum { BRIDGE_ASKS_MAX = 16 /* questions of one round, or open in one call */ };

/* --- a legacy upstream's request --- */

enum bridge_ask {
    BRIDGE_ASK_FORWARD, /* legacy client: send out->text with out->edits to it, as request `number` */
    BRIDGE_ASK_COLLECT, /* modern client: keep the message; bridge_put_input_required() */
    BRIDGE_ASK_REPLY,   /* send out->text to the upstream: it is answered here, or refused */
    BRIDGE_ASK_FULL,    /* out->room or out->edits were too small */
};

/* `in_call`: it came on the stream of a call, or its upstream has one call only; a modern client cannot be
 * asked outside of one. Always scanned strictly. */
enum bridge_ask bridge_ask(const struct bridge *b, struct text message, const struct jsonrpc_envelope *env,
                           bool in_call, uint64_t number, struct bridge_out *out);

/* A client's answer (a result or an error) to a forwarded question, for the upstream: `id` is its own, raw.
 */
enum bridge_verdict bridge_answer(struct text message, const struct jsonrpc_envelope *env, struct text id,
                                  struct bridge_out *out);

/* The reply to the modern client's call: `asks` are the raw params-and-method carriers, that is the collected
 * messages; question n has the key "n" counted from 1. `state` is plain sealed text. */
void bridge_put_input_required(struct json_writer *w, struct text id, const struct text *asks, unsigned count,
                               struct text state);

/* The answer to question `key` (from 1) of the retry's inputResponses (raw), as a message for the upstream
 * with its id (raw). False: there is none, or it is no object; nothing is written. */
bool bridge_put_input_answer(struct json_writer *w, struct text responses, unsigned key, struct text id);

/* The reply to a modern client's call that a legacy upstream answered with -32042: pages to visit, of
 * data.elicitations (raw). False: there is none that is usable. */
bool bridge_put_visits(struct json_writer *w, struct text id, struct text elicitations, struct text state);

/* --- a modern upstream's input_required --- */

struct bridge_question {
    struct text key;    /* raw string of inputRequests */
    struct text method; /* without quotes */
    struct text params; /* raw object; may be empty */
};

/* The questions of a raw result, up to BRIDGE_ASKS_MAX. Returns how many there are (0: the call is just to be
 * sent again), or -1 when they are malformed or too many. *ret_state is the raw requestState; at NULL: none.
 */
int bridge_questions(struct text result, struct bridge_question questions[BRIDGE_ASKS_MAX],
                     struct text *ret_state);

/* The request for the legacy client. False: this client must not be asked that; nothing is written, and
 * *ret_why says what it lacks. A page to visit gets an elicitationId made of `number`. */
bool bridge_put_question(const struct bridge *b, const struct bridge_question *question, uint64_t number,
                         struct json_writer *w, const char **ret_why);

/* Adds a client's result to the object of inputResponses that w holds, opening it; `first`: it is empty. */
void bridge_put_response(struct json_writer *w, struct text key, struct text result, bool first);

/* The call once more, with a fresh `number`, the raw object of responses (len 0: none were asked for) and the
 * raw requestState (len 0: none). `message` is the client's own, as it first came. */
enum bridge_verdict bridge_retry(const struct bridge *b, struct text message,
                                 const struct jsonrpc_envelope *env, uint64_t number, struct text responses,
                                 struct text state, struct bridge_out *out);

/* The end of a call whose question could not be put or was not answered: for tools/call a result with
 * isError, so that the model reads it; else an error. `text` is UTF-8. */
void bridge_put_failure(struct json_writer *w, const struct bridge *b, const struct bridge_call *call,
                        struct text text);

/* What a client must have declared for a question: MCP_CLIENT_ bits, of which it needs all. 0: nothing
 * (ping); UINT32_MAX: servers may not ask that. */
uint32_t bridge_question_needs(struct text method, struct text params);

#endif
