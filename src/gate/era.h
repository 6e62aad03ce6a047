/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which era an upstream is of: asked with server/discover when somebody first wants to know, remembered
 * for --era-ttl, and then asked again behind the back of those who go on with the old verdict. What is no
 * evidence (401, 403, 5xx, silence) is no verdict, and is asked again soon.
 *
 * A server of HTTP+SSE takes no POST at the URL of its stream: where server/discover and then initialize get
 * a 400, 404 or 405, a GET that brings the endpoint event proves it (mcp-wire 2.11).
 */
#ifndef GATE_ERA_H
#define GATE_ERA_H

#include "base/list.h"
#include "gate/held.h"
#include "mcp/bridge_server.h"
#include "mcp/token.h"
#include "ring/ring.h"

struct upstream;
struct leg;
struct stdio_child;

/* Somebody who cannot go on without a verdict. */
struct era_wait {
    struct list_node node;
    void (*known)(struct era_wait *wait); /* on return it is off the list */
};

/* Of one upstream in one worker. */
struct era {
    uint8_t era;             /* enum bridge_era */
    bool speaks_both;        /* MODERN over HTTP: answers initialize, too */
    bool is_sse;             /* LEGACY over HTTP+SSE of 2024-11-05 */
    bool is_seeking;         /* in between: turned the probe away as such a server would */
    uint8_t greeted, spoken; /* bits 1 << revision: with which initialize was tried, and settled on */
    uint8_t greeting;        /* the revision that is being tried */
    uint8_t revision;        /* MODERN: the newest that both speak; LEGACY: the one to offer */
    struct held result;      /* MODERN: what it said of itself, the raw discover result; or nothing */
    bool result_is_public;   /* cacheScope */
    uint8_t asker[MCP_TOKEN_PRINCIPAL_BYTES]; /* whose credentials the probe carried, hashed */
    uint64_t until_ms;                        /* then it is asked again; 0: never asked */
    struct stdio_child *sibling; /* the same of a program: a process that is asked nothing else */
    struct leg *probe;           /* in progress */
    struct held fields;          /* that it carries */
    struct held answer;          /* its first message */
    struct timer timer;          /* its limit */
    struct held leave_fields;    /* ends the session of a greeting: its fields, and where to */
    struct endpoint *leave_at;   /* NULL: there is none */
    struct list_node waiting;    /* struct era_wait */
};

void era_init(struct upstream *up);
void era_done(struct upstream *up);

/* True: up->era is a verdict, perhaps UNKNOWN. False: `wait` is queued, and era_forget() takes it off. A
 * probe carries `fields`, the lines of the request that asks (credentials). */
bool era_ask(struct upstream *up, struct text fields, struct era_wait *wait);
void era_forget(struct era_wait *wait);

/* True: up->era.spoken has a verdict on this revision, of those before 2026-07-28: a server that cannot be
 * asked counts as speaking it. False: as with era_ask(). Asked over HTTP only. */
bool era_ask_spoken(struct upstream *up, enum mcp_revision revision, struct text fields,
                    struct era_wait *wait);
/* Whether every revision before 2026-07-28 that has streamable HTTP is known to be spoken. */
bool era_speaks_all(const struct upstream *up);

/* Of a program: it is known now which of its processes a dead worker has left (stdio_pool.c). */
void era_synced(struct upstream *up);

/* What a modern upstream said of itself, if it said so to everybody or to one with these credentials (field
 * lines, as with era_ask()); else at NULL. */
struct text era_result_for(const struct upstream *up, struct text fields);

/* It was wrong: the next one who asks waits for a fresh probe. */
void era_doubt(struct upstream *up);

#endif
