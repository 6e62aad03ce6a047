/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c and session_request.c share: the worker's sessions. */
#ifndef GATE_SESSION_IMPL_H
#define GATE_SESSION_IMPL_H

#include "gate/session.h"

enum {
    SESSION_BUCKETS = 1024,
    SESSION_MEMOS = 1024, /* tokens that were opened: a worker meets the same ones again and again */
};

struct session_memo {
    char text[MCP_TOKEN_SIZE];
    struct mcp_token token; /* expires_s 0: the memo is empty */
};

struct sessions {
    struct session_table *table;
    struct session_writer me;
    struct list_node buckets[SESSION_BUCKETS]; /* struct session, by id */
    uint64_t next_id;                          /* session_mint_id() */
    uint32_t next_bucket;                      /* where the next tick goes on */
    uint32_t live;                             /* records in the places that this worker serves, */
    uint32_t live_in[SESSION_PLACES_MAX];      /* and in each of them */
    int64_t gained;                            /* of them, what this incarnation made less what it removed */
    uint32_t sweep_place, sweep_at;            /* where the sweep goes on */
    struct session_sweep swept;                /* in that place so far */
    bool was_swept;                            /* once */
    uint16_t
        memo_at[SESSION_MEMOS]; /* by a token's last characters: 1 + where its memo is; 0: it has none yet */
    uint16_t memos_used;        /* from the first on, so that few tokens are on few pages */
    struct session_memo memos[SESSION_MEMOS];
};

/* What a request for a session met. */
enum session_found {
    SESSION_HERE,      /* held */
    SESSION_ELSEWHERE, /* a live process of another slot has it */
    SESSION_OVER,      /* deleted or idle for too long */
    SESSION_NO_ROOM,
    SESSION_NO_MEMORY,
};

/* The session of a token in this worker, made of its record, or anew when that is lost. */
enum session_found session_enter(struct worker *w, const struct mcp_token *token, struct session **ret);

/* The one in this worker's memory, or NULL. */
struct session *session_find(struct sessions *all, const uint8_t id[SESSION_ID_BYTES]);

/* The place that a token names; tokens of other nodes, and of a state directory that is lost, have one too.
 */
uint32_t session_place(const struct sessions *all, const struct mcp_token *token);

uint32_t session_now_s(void);

#endif
